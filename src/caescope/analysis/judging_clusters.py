"""Clusters of a map beside other clusterings, and how labels lie in them."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from caescope.analysis.agreement import judge_clusters, match_clusters
from caescope.analysis.choosing import choose_k, cohesion, invented, silhouettes
from caescope.analysis.clustering import CLUSTER_METHODS, Clusters, cluster_points
from caescope.analysis.subject import JudgingOptions, Subject
from caescope.metrics import ari, nmi

Spaces = Mapping[str, np.ndarray]  # "map" and "latents" of the train images


def find_clusters(spaces: Spaces, options: JudgingOptions) -> tuple[Clusters, dict[str, Any]]:
    """Cluster the map as asked for, and return what metrics.json says of the clusters without labels."""
    facts: dict[str, Any] = {"method": options.cluster_method, "on": "map", "chosen": False}
    k = options.clusters
    if k is None and options.cluster_method != "hdbscan":
        chosen = choose_k(spaces["map"], seed=options.seed)
        k = chosen.k
        facts |= chosen.as_dict()
    clusters = cluster_points(spaces["map"], options.cluster_method, k or 1, options.seed)
    return clusters, facts | _describe(clusters, spaces, options.seed)


def _describe(clusters: Clusters, spaces: Spaces, seed: int) -> dict[str, Any]:
    """Return sizes, silhouettes and cohesion of clusters of the map."""
    sizes = dict(enumerate(clusters.sizes.tolist()))
    together = cohesion(spaces["latents"], clusters.labels, seed=seed)
    facts = {
        "k": clusters.k,
        "sizes": by_name(sizes),
        "cohesion": by_name(together),
        "invented": [str(cluster) for cluster in invented(together, sizes)],
    }
    if clusters.k < 2:  # nothing to stand apart from
        return facts
    found = {name: silhouettes(points, clusters.labels, seed) for name, points in spaces.items()}
    return facts | {
        "silhouette": {name: mean for name, (mean, _) in found.items()},
        "silhouettes": {name: by_name(each) for name, (_, each) in found.items()},
    }


def compare_clusterings(
    spaces: Spaces, clusters: Clusters, subject: Subject, options: JudgingOptions
) -> list[dict[str, Any]]:
    """Return one row for each method on the map and on the latents, as many clusters in each."""
    rows = []
    for method in CLUSTER_METHODS:
        for name, points in spaces.items():
            is_main = (method, name) == (options.cluster_method, "map")
            k = min(max(clusters.k, 1), count_distinct(points))
            other = clusters if is_main else cluster_points(points, method, k, options.seed)
            rows.append({"method": method, "on": name, **_score(other, points, subject, options.seed)})
    return rows


def _score(clusters: Clusters, points: np.ndarray, subject: Subject, seed: int) -> dict[str, Any]:
    facts: dict[str, Any] = {"k": clusters.k, "noise": clusters.noise}
    if clusters.k > 1:
        facts["silhouette"] = silhouettes(points, clusters.labels, seed)[0]
    if subject.labels is None or not clusters.k:
        return facts
    assigned, labels = with_labels(clusters.labels, subject)
    judged = judge_against_labels(clusters.labels, subject)
    facts |= {name: judged[name] for name in ("gini_mean", "entropy_mean", "purity") if name in judged}
    return facts | {"nmi": nmi(assigned, labels), "ari": ari(assigned, labels)}


def judge_against_labels(assigned: np.ndarray, subject: Subject) -> dict[str, Any]:
    """Return how mixed the labels in each cluster are; images in no cluster are left out."""
    assigned, labels = with_labels(assigned, subject)
    clustered = assigned >= 0
    if not clustered.any():
        return {}
    judged = judge_clusters(assigned[clustered], labels[clustered])
    return judged | {name: by_name(judged[name]) for name in ("gini", "entropy", "purities")}


def match_labels(spaces: Spaces, subject: Subject, seed: int) -> dict[str, Any]:
    """Return how KMeans with as many clusters as labels agrees with them, on the map and on the latents."""
    tables = {name: points[subject.known[subject.train]] for name, points in spaces.items()}
    labels = np.asarray(subject.labels)[subject.train & subject.known]
    k = len(np.unique(labels))
    found = {
        name: match_clusters(points, labels, seed)
        for name, points in tables.items()
        if count_distinct(points) >= k
    }
    latents = {name: value for name, value in found.get("latents", {}).items() if name != "k"}
    return found.get("map", {}) | ({"latents": latents} if latents else {})


def with_labels(assigned: np.ndarray, subject: Subject) -> tuple[np.ndarray, np.ndarray]:
    """Return clusters and labels of the train images that have a label."""
    labels = np.asarray(subject.labels)[subject.train & subject.known]
    return assigned[subject.known[subject.train]], labels


def count_distinct(points: np.ndarray) -> int:
    """Return how many different points there are."""
    return len(np.unique(points, axis=0))


def by_name(values: Mapping) -> dict[str, Any]:
    """Return what belongs to each cluster under names as JSON has them."""
    return {str(name): value for name, value in values.items()}
