"""How well clusters agree with labels."""

from typing import Any

import numpy as np

from caescope import metrics
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
    gini = metrics.cluster_gini(clusters, labels)
    entropy = metrics.cluster_entropy(clusters, labels)
    return {
        "gini": gini,
        "entropy": entropy,
        "purities": metrics.cluster_purity(clusters, labels),
        "gini_mean": float(np.mean(list(gini.values()))),
        "entropy_mean": float(np.mean(list(entropy.values()))),
        "purity": metrics.purity(clusters, labels),
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
    clusters = kmeans(table, len(names), seed).labels
    return {
        "k": len(names),
        "accuracy": metrics.matched_accuracy(clusters, codes),
        "nmi": metrics.nmi(clusters, codes),
        "ari": metrics.ari(clusters, codes),
    }


def _demand_alike(n: int, name: str, points: np.ndarray) -> None:
    if n != len(points):
        raise DataError(
            f"points and {name} must be of the same images",
            f"{len(points)} points and {n} {name}",
            "Give both for the same images, in the same order.",
        )
