"""Figures that need only latents and what is known about the images."""

from pathlib import Path
from typing import Any

import numpy as np

from caescope import plots
from caescope.analysis.judging import Judgement
from caescope.figures.saving import save_png
from caescope.metrics import contingency
from caescope.table import LatentTable

MOST_GROUPS = 40  # rows of a heat map that fits a page
MOST_COLUMN_MAPS = 6  # maps coloured by what else is known; more would bury the rest of a report
PROBE_NAMES = {
    "logistic_ovr": "one-versus-rest logistic",
    "logistic_multinomial": "multinomial logistic",
    "knn": "5 nearest neighbours",
}
SET_NAMES = {"latents": "latents", "pca": "PCA of the pixels", "histogram": "histogram of the pixels"}


def draw_judgement(folder: Path, table: LatentTable, judgement: Judgement) -> None:
    """Draw variables, maps, probes, clusters, stability and confounders."""
    _draw_variables(folder, judgement)
    if judgement.clusters is None:
        return
    _draw_maps(folder, table, judgement)
    _draw_clusters(folder, judgement.metrics)
    if judgement.probes is not None:
        _draw_probes(folder, judgement)
        _draw_labels(folder, table, judgement)
    if "slides" in judgement.metrics:
        _draw_groups(folder, judgement)


def _draw_variables(folder: Path, judgement: Judgement) -> None:
    audit = judgement.variables
    save_png(folder, "latent_std", plots.plot_latent_std(audit["std"], dead=audit["dead_mask"]))
    if audit["correlation"] is not None and audit["features"] > 1:
        save_png(folder, "correlation", plots.plot_correlation(audit["correlation"]))
    if judgement.clusters is not None:
        ratio = judgement.metrics["projection"]["pca"]["explained_variance_ratio"]
        save_png(folder, "explained_variance", plots.plot_explained_variance(ratio))


def _draw_maps(folder: Path, table: LatentTable, judgement: Judgement) -> None:
    """Draw the train images' map by cluster, error and other columns, and both maps by label."""
    assert table.split is not None
    assert judgement.map is not None
    assert judgement.pca_map is not None
    assert judgement.clusters is not None
    train = table.split == "train"
    points, pca_points = judgement.map[train], judgement.pca_map[train]
    named = None if judgement.probes is None else shown_labels(table.labels)[train]
    save_png(folder, "pca_map", plots.plot_map(pca_points, named, kind="category", name="label"))
    clusters = shown_clusters(judgement.clusters.labels)
    save_png(folder, "map_clusters", plots.plot_map(points, clusters, kind="category", name="cluster"))
    if named is not None:
        save_png(folder, "map_labels", plots.plot_map(points, named, kind="category", name="label"))
    if table.errors is not None:
        errors = table.errors[train]
        save_png(folder, "map_error", plots.plot_map(points, errors, kind="number", name="squared error"))
    columns = judgement.metrics.get("confounders", {}).get("columns", {})
    for i, (name, facts) in enumerate(list(columns.items())[:MOST_COLUMN_MAPS]):
        kind = facts["kind"]
        if kind in ("category", "number"):
            values = table.columns[name][train]
            shown = shown_labels(values) if kind == "category" else np.ma.filled(values.astype(float), np.nan)
            save_png(folder, f"map_column_{i}", plots.plot_map(points, shown, kind=kind, name=name))


def _draw_probes(folder: Path, judgement: Judgement) -> None:
    probes = judgement.probes
    assert probes is not None
    scores = {
        PROBE_NAMES[method]: {
            SET_NAMES[name]: (probe[method].test, *probe[method].interval["test"])
            for name, probe in probes.items()
        }
        for method in PROBE_NAMES
    }
    logistic = probes["latents"]["logistic_ovr"]
    counts = logistic.confusion.sum(axis=1)
    save_png(folder, "probes", plots.plot_probes(scores, chance=counts.max() / counts.sum()))
    save_png(folder, "confusion", plots.plot_confusion(logistic.confusion, logistic.classes))


def _draw_labels(folder: Path, table: LatentTable, judgement: Judgement) -> None:
    """Draw how labels lie in the clusters."""
    assert judgement.clusters is not None
    assert table.split is not None
    assert table.labels is not None
    rows = table.split == "train"
    known = ~np.ma.getmaskarray(table.labels)[rows]
    labels = np.asarray(table.labels)[rows][known]
    clusters = shown_clusters(judgement.clusters.labels[known])
    save_png(folder, "cluster_labels", plots.plot_cluster_labels(*contingency(clusters, labels)))
    if gini := judgement.metrics["clusters"].get("gini"):
        save_png(folder, "gini", plots.plot_gini(gini, n_labels=len(np.unique(labels))))


def _draw_clusters(folder: Path, metrics: dict[str, Any]) -> None:
    if (curve := metrics["clusters"].get("silhouette_curve")) and curve["k"]:
        drawn = plots.plot_silhouette_curve(curve["k"], curve["silhouette"], metrics["clusters"]["k"])
        save_png(folder, "silhouette_curve", drawn)
    save_png(folder, "clusterings", plots.plot_clusterings(metrics["clusterings"]))
    if stability := metrics.get("stability", {}).get("jaccard"):
        save_png(folder, "stability", plots.plot_stability(stability, metrics["stability"]["halves"]))
    columns = {
        name: (facts["score"], facts["chance"], *facts["interval"])
        for name, facts in metrics.get("confounders", {}).get("columns", {}).items()
        if "score" in facts
    }
    if columns:
        save_png(folder, "confounders", plots.plot_confounders(columns))


def _draw_groups(folder: Path, judgement: Judgement) -> None:
    """Draw the clusters of whole slides or patients by label; of very many, a choice spread over all."""
    assert judgement.groups is not None
    found, labels = judgement.groups.aggregate, judgement.groups.labels
    names = sorted({str(label) for label in labels if label is not None})
    places = [len(names) if label is None else names.index(str(label)) for label in labels]
    order = np.argsort(places, kind="stable")
    shown = order[np.unique(np.linspace(0, len(order) - 1, min(len(order), MOST_GROUPS)).round().astype(int))]
    name = judgement.metrics["slides"]["group"]
    ax = plots.plot_group_clusters(
        found.shares[shown],
        [found.names[row] for row in shown],
        found.clusters,
        [labels[row] for row in shown],
        name=name if len(shown) == len(order) else f"{name}, {len(shown)} of {len(order):,}",
    )
    save_png(folder, "group_clusters", ax)


def shown_labels(labels: Any) -> np.ndarray:
    """Return labels as a picture shows them: a dash where one is missing."""
    if not np.ma.is_masked(labels):
        return np.asarray(labels)
    return np.where(np.ma.getmaskarray(labels), "–", np.asarray(labels).astype(str))


def shown_clusters(clusters: np.ndarray) -> np.ndarray:
    """Return clusters as a picture shows them: a word for images in none."""
    return clusters if (clusters >= 0).all() else np.where(clusters < 0, "none", clusters.astype(str))
