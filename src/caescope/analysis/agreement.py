"""How well clusters agree with labels."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from caescope import counts, metrics
from caescope.analysis.clustering import kmeans
from caescope.analysis.latents import parse_latents
from caescope.errors import DataError


def judge_clusters(clusters, labels) -> dict[str, Any]:
    """Measure how mixed the labels in each cluster are.

    Parameters
    ----------
    clusters, labels : array_like, shape (n_images,)

    Returns
    -------
    dict
        ``gini``, ``entropy`` (bits) and ``purities`` of each cluster; ``gini_mean`` and ``entropy_mean``,
        means over the clusters, each of the same weight; ``purity``, over all images. See
        `caescope.metrics`. Noise, -1, is a cluster like any other here: leave it out where it is none.

    Raises
    ------
    DataError
        If clusters or labels cannot be used.

    Examples
    --------
    >>> judged = judge_clusters([0, 0, 1, 1], ["cat", "cat", "cat", "dog"])
    >>> judged["gini"], judged["entropy"], judged["purities"]
    ({0: 0.0, 1: 0.5}, {0: 0.0, 1: 1.0}, {0: 1.0, 1: 0.5})
    >>> judged["gini_mean"], judged["entropy_mean"], judged["purity"]
    (0.25, 0.5, 0.75)
    """
    table, names, _ = metrics.contingency(clusters, labels)
    return judge_counts(table, names)


def judge_counts(table, names: Sequence[Any]) -> dict[str, Any]:
    """Measure how mixed the labels in each cluster are, where they are counted already.

    Parameters
    ----------
    table : array_like, shape (n_clusters, n_labels), int
        As `caescope.metrics.contingency` counts it. Clusters without images are left out.
    names : sequence
        What its rows stand for.

    Returns
    -------
    dict
        As `judge_clusters`.

    Raises
    ------
    DataError
        If the table cannot be used.

    Examples
    --------
    >>> judge_counts([[2, 0], [1, 1]], ["0", "1"])["gini"]
    {'0': 0.0, '1': 0.5}
    """
    table = counts.parse_table(table)
    used = np.flatnonzero(table.sum(axis=1)).tolist()
    table, names = table[used], [names[row] for row in used]
    gini, entropy, purities = counts.gini(table), counts.entropy(table), counts.purities(table)
    return {
        "gini": dict(zip(names, gini.tolist(), strict=True)),
        "entropy": dict(zip(names, entropy.tolist(), strict=True)),
        "purities": dict(zip(names, purities.tolist(), strict=True)),
        "gini_mean": float(gini.mean()),
        "entropy_mean": float(entropy.mean()),
        "purity": counts.purity(table),
    }


def match_counts(table) -> dict[str, float]:
    """Return ``accuracy``, ``nmi`` and ``ari`` as `compare_to_labels`, where they are counted already.

    >>> match_counts([[0, 2], [2, 0]])
    {'accuracy': 1.0, 'nmi': 1.0, 'ari': 1.0}
    """
    table = counts.parse_table(table)
    return {
        "accuracy": counts.matched_accuracy(table),
        "nmi": counts.nmi(table),
        "ari": counts.ari(table),
    }


def match_clusters(points, labels, seed: int = 0) -> dict[str, Any]:
    """Group points into as many clusters as there are labels, and compare the two.

    Parameters
    ----------
    points : array_like, shape (n_images, features)
    labels : array_like, shape (n_images,)
    seed : int, 0 to 2**32 - 1

    Returns
    -------
    dict
        ``k``, ``accuracy`` (see `caescope.metrics.matched_accuracy`), ``nmi`` and ``ari``.

    Raises
    ------
    DataError
        If points or labels cannot be used.
    OptionError
        If there are fewer different points than labels.

    Examples
    --------
    >>> match_clusters([[0, 0], [0, 1], [9, 8], [9, 9]], ["cat", "cat", "dog", "dog"])
    {'k': 2, 'accuracy': 1.0, 'nmi': 1.0, 'ari': 1.0}
    """
    codes, names = metrics.encode_labels(labels)
    table = parse_latents(points, "points")
    _demand_alike(len(codes), "labels", table)
    return {"k": len(names)} | compare_to_labels(kmeans(table, len(names), seed).labels, codes)


def compare_to_labels(clusters, labels) -> dict[str, float]:
    """Return how well clusters that are as many as the labels match them; see `match_clusters`.

    >>> compare_to_labels([0, 0, 1, 1], ["cat", "cat", "dog", "dog"])
    {'accuracy': 1.0, 'nmi': 1.0, 'ari': 1.0}
    """
    return {
        "accuracy": metrics.matched_accuracy(clusters, labels),
        "nmi": metrics.nmi(clusters, labels),
        "ari": metrics.ari(clusters, labels),
    }


def _demand_alike(n: int, name: str, points: np.ndarray) -> None:
    if n != len(points):
        raise DataError(
            f"points and {name} must be of the same images",
            f"{len(points)} points and {n} {name}",
            "Give both for the same images, in the same order.",
        )
