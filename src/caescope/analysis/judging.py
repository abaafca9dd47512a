"""All that can be said about latents, in one call: probes, a map, clusters, and how these fit labels."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np

from caescope.analysis.clustering import Clusters, judge_clusters, kmeans, match_clusters
from caescope.analysis.latents import audit_latents, flatten_latents
from caescope.analysis.probe import Probe, knn, logistic_ovr
from caescope.analysis.projection import PCAMap, explained_variance_ratio, make_projection
from caescope.errors import OptionError

MAX_CLASSES = 200
MAX_COMPONENTS = 50


@dataclass(frozen=True)
class Judgement:
    """What `judge` found.

    Attributes
    ----------
    metrics : dict
        The part of metrics.json that follows from latents and labels.
    map : numpy.ndarray, shape (n_images, 2), float32
    pca_map : numpy.ndarray, shape (n_images, 2), float32
    clusters : Clusters
        Fitted on the map of the train images.
    assigned : numpy.ndarray, shape (n_images,), int32
        The cluster of every image.
    probe : Probe or None
        The logistic regression; None without labels.
    """

    metrics: dict[str, Any]
    map: np.ndarray
    pca_map: np.ndarray
    clusters: Clusters
    assigned: np.ndarray
    probe: Probe | None = None


Stage = Callable[[str, str], AbstractContextManager]


def judge(
    latents: np.ndarray,
    split: np.ndarray,
    labels: np.ndarray | None,
    stage: Stage,
    method: str = "tsne",
    perplexity: float = 40,
    k: int = 20,
    seed: int = 0,
) -> Judgement:
    """Judge latents by probes, PCA, a map and KMeans on it; fitted on the train images, others are placed.

    Parameters
    ----------
    latents : numpy.ndarray, shape (n_images, ...), float
    split : numpy.ndarray, shape (n_images,), of "train", "validation" and "test"
    labels : numpy.ndarray, shape (n_images,), or None
        None leaves out what needs labels; so do labels that `can_judge` refuses.
    stage : callable
        ``stage(name, detail)`` is a context that times and announces what happens inside.
    method, perplexity
        As in `caescope.analysis.projection.make_projection`.
    k : int
        Clusters.
    seed : int

    Raises
    ------
    DataError, OptionError
        If the latents or an option cannot be used.
    """
    latents = flatten_latents(latents)
    train, test = split == "train", split == "test"
    audit = audit_latents(latents)
    metrics: dict[str, Any] = {"latents": {"features": audit["features"], "dead": audit["dead"]}}
    probe = None
    labels = labels if can_judge(labels, train) else None
    if labels is not None:
        with stage("probe", f"logistic regression and neighbours on {train.sum():,} latents"):
            probe, metrics["probe"] = _probe(latents, labels, train, test, seed)
    with stage("map", f"{method} of {train.sum():,} latents, then {(~train).sum():,} placed on it"):
        points, pca_points, metrics["projection"] = _project(latents, train, method, perplexity, seed)
    with stage("cluster", f"KMeans with K={k} on the map"):
        clusters = kmeans(points[train], k, seed)
        assigned = clusters.predict(points)
        assigned[train] = clusters.labels
        metrics |= _judge_clusters(points, clusters, labels, train, seed)
    return Judgement(metrics, points, pca_points, clusters, assigned, probe)


def can_judge(labels: np.ndarray | None, train: np.ndarray) -> bool:
    """Say whether labels can be judged against: 2 to 200 different ones among the train images."""
    return labels is not None and 2 <= len(np.unique(labels[train])) <= MAX_CLASSES


def demand_clusters_fit(k: int, n_images: int) -> None:
    """Raise `OptionError` unless ``k`` clusters can be made of ``n_images`` images."""
    if not 1 <= k <= n_images:
        raise OptionError(
            "The number of clusters must be at least 1 and at most the number of train images",
            f"clusters={k} for {n_images} train images",
            "Give fewer clusters, or more images.",
        )


def _probe(latents, labels, train, test, seed: int) -> tuple[Probe, dict[str, Any]]:
    sets = latents[train], labels[train], latents[test], labels[test]
    logistic, neighbours = logistic_ovr(*sets, seed=seed), knn(*sets)
    return logistic, {
        "logistic_ovr": {
            "train": logistic.train,
            "test": logistic.test,
            "converged": logistic.converged,
            "classes": logistic.classes,
            "confusion": logistic.confusion.tolist(),
            "report": logistic.report,
        },
        "knn": {"train": neighbours.train, "test": neighbours.test, "neighbours": 5},
    }


def _project(latents, train, method: str, perplexity: float, seed: int):
    """Return the map, the PCA map, and what metrics.json says of them."""
    projection = make_projection(method, perplexity, seed)
    pca = PCAMap(seed=seed)
    points, pca_points = (_place(fitted, latents, train) for fitted in (projection, pca))
    facts = {"method": method}
    if method == "tsne":
        facts["perplexity"] = projection.perplexity_  # pyright: ignore[reportAttributeAccessIssue]
    n_components = min(MAX_COMPONENTS, *latents[train].shape)
    ratio = explained_variance_ratio(latents[train], n_components).tolist()
    return points, pca_points, {"pca": {"explained_variance_ratio": ratio}, "map": facts}


def _place(projection, latents, train) -> np.ndarray:
    """Fit a projection on the train images and place the others on it."""
    points = np.empty((len(latents), 2), np.float32)
    points[train] = projection.fit_transform(latents[train])
    if not train.all():
        points[~train] = projection.transform(latents[~train])
    return points


def _judge_clusters(points, fitted: Clusters, labels, train, seed: int) -> dict[str, Any]:
    sizes = {str(i): int(size) for i, size in enumerate(fitted.sizes)}
    clusters: dict[str, Any] = {"k": fitted.k, "sizes": sizes}
    if labels is None:
        return {"clusters": clusters}
    judged = judge_clusters(fitted.labels, labels[train])
    clusters |= judged | {"gini": {str(name): value for name, value in judged["gini"].items()}}
    return {"clusters": clusters, "matched": match_clusters(points[train], labels[train], seed)}
