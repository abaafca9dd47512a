"""What deep clustering did to latents: their clusters before and after it."""

from typing import Any

import numpy as np

from caescope.analysis.agreement import compare_to_labels, match_clusters
from caescope.analysis.choosing import silhouettes
from caescope.analysis.clustering import kmeans
from caescope.analysis.subject import MAX_CLASSES
from caescope.metrics import ari

MOST_COMPARED = 20_000  # images; clusterings of more agree no less


def compare_gathering(before, after, k: int, labels=None, seed: int = 0) -> dict[str, Any]:
    """Cluster latents by KMeans as they were and as they are, and compare the two.

    Parameters
    ----------
    before, after : array_like, shape (n_images, features)
        Latents of the same images, in the same order; of more than 20,000 a random 20,000 are looked at.
    k : int
        How many clusters.
    labels : array_like, shape (n_images,), optional
        Masked where nobody knows.
    seed : int, 0 to 2**32 - 1

    Returns
    -------
    dict
        ``before`` and ``after``: the mean ``silhouette`` of K clusters of the latents and, where there are 2
        to 200 different labels, ``matched``: as many clusters as labels, matched one to one (see
        `caescope.analysis.agreement.match_clusters`); and ``agreement``, the adjusted Rand index between K
        clusters before and K after, 1 where no image changed its cluster.

    Examples
    --------
    >>> far = np.repeat([[0.0, 0.0], [9.0, 9.0]], 5, axis=0) + np.linspace(0, 1, 10)[:, None]
    >>> found = compare_gathering(far, 2 * far, k=2, labels=[0] * 5 + [1] * 5)
    >>> found["agreement"], found["after"]["matched"]["accuracy"]
    (1.0, 1.0)
    """
    rows = np.random.default_rng(seed).permutation(len(before))[:MOST_COMPARED]
    tables = {"before": np.asarray(before)[rows], "after": np.asarray(after)[rows]}
    clusters = {name: kmeans(table, k, seed).labels for name, table in tables.items()}
    facts: dict[str, Any] = {"agreement": ari(clusters["before"], clusters["after"])}
    known = None if labels is None else np.ma.masked_array(labels)[rows]
    for name, table in tables.items():
        facts[name] = {"silhouette": silhouettes(table, clusters[name], seed)[0]}
        if known is not None and 2 <= len(np.unique(known.compressed())) <= MAX_CLASSES:
            facts[name]["matched"] = _matched(table, clusters[name], k, known, seed)
    return facts


def _matched(table: np.ndarray, clusters: np.ndarray, k: int, known: Any, seed: int) -> dict[str, Any]:
    """Return how as many clusters as labels match them: those that there are, where there are as many."""
    is_known = ~np.ma.getmaskarray(known)
    if is_known.all() and len(np.unique(known.data)) == k:
        return {"k": k} | compare_to_labels(clusters, known.data)
    return match_clusters(table[is_known], known.compressed(), seed)
