"""The figures of a run: which ones there are, and from what each is drawn."""

from pathlib import Path

import numpy as np

from caescope import plots
from caescope.analysis.clustering import nearest_to_center
from caescope.analysis.judging import Judgement
from caescope.analysis.latents import audit_latents, flatten_latents
from caescope.data.sources import ArraySource
from caescope.metrics import contingency
from caescope.table import LatentTable

SHEET_IMAGES = 50
N_PAIRS = 6


def draw_judgement(folder: Path, table: LatentTable, judgement: Judgement) -> None:
    """Draw what needs only latents and labels: variables, probes, maps and clusters."""
    train = table.split == "train"
    audit = audit_latents(flatten_latents(table.latents))
    ratio = judgement.metrics["projection"]["pca"]["explained_variance_ratio"]
    _save(folder, "latent_std", plots.plot_latent_std(audit["std"], dead=audit["dead_mask"]))
    _save(folder, "explained_variance", plots.plot_explained_variance(ratio))
    labels = table.labels if judgement.probe is not None else None
    named = None if labels is None else labels[train]
    _save(folder, "pca_map", plots.plot_map(judgement.pca_map[train], named, kind="category", name="label"))
    points, clusters = judgement.map[train], judgement.clusters.labels
    _save(folder, "map_clusters", plots.plot_map(points, clusters, kind="category", name="cluster"))
    if judgement.probe is not None and named is not None:
        probe, gini = judgement.probe, judgement.metrics["clusters"]["gini"]
        _save(folder, "map_labels", plots.plot_map(points, named, kind="category", name="label"))
        _save(folder, "confusion", plots.plot_confusion(probe.confusion, probe.classes))
        _save(folder, "cluster_labels", plots.plot_cluster_labels(*contingency(clusters, named)))
        _save(folder, "gini", plots.plot_gini(gini, n_labels=len(np.unique(named))))


def draw_images(folder: Path, source: ArraySource, table: LatentTable, judgement: Judgement) -> None:
    """Draw a sample of the train images, and a sheet of those nearest to each cluster's centre."""
    labels = table.labels
    train = np.flatnonzero(table.split == "train")
    shown = np.random.default_rng(0).permutation(train)[:12]
    names = None if labels is None else labels[shown]
    rows = -(-len(shown) // 6)
    sample = plots.plot_sample_imgs(source.read(shown), rows, 6, size=1.5, shuffle=False, labels=names)
    _save(folder, "samples", sample)
    for cluster, members in nearest_to_center(judgement.map[train], judgement.clusters, SHEET_IMAGES).items():
        title = _describe(cluster, judgement.clusters.labels, None if labels is None else labels[train])
        sheet = plots.plot_cluster_sheet(source.read(train[members]), title)
        _save(folder, f"cluster_{cluster:02d}", sheet)


def draw_reconstruction(folder: Path, cae, source: ArraySource, history) -> None:
    """Draw the loss of each epoch, and a few test images above their reconstructions."""
    test = np.flatnonzero(source.split == "test")
    shown = np.random.default_rng(0).permutation(test)[:N_PAIRS]
    images = source.read(shown)
    names = None if source.labels is None else source.labels[shown]
    options = {"N": len(images), "size": 1.5, "shuffle": False, "labels": names}
    _save(folder, "pairs", plots.plot_paired_imgs(images, cae.model.predict(images), **options))
    _save(folder, "loss", plots.plot_loss(history))


def _describe(cluster: int, clusters: np.ndarray, labels: np.ndarray | None) -> str:
    """Return a sheet's title: the cluster, its size and its commonest label."""
    members = clusters == cluster
    title = f"cluster {cluster} · {members.sum():,} images"
    if labels is None:
        return title
    names, counts = np.unique(labels[members], return_counts=True)
    return f"{title} · mostly “{names[counts.argmax()]}” ({counts.max() / counts.sum():.0%})"


def _save(folder: Path, name: str, figure) -> None:
    plots.save_figure(figure, folder / f"{name}.png")
