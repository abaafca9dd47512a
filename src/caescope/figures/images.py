"""Figures that need the images: samples, reconstructions, and a card for each cluster."""

from pathlib import Path
from typing import Any

import numpy as np

from caescope import plots
from caescope.analysis.judging import Judgement
from caescope.analysis.latents import flatten_latents
from caescope.analysis.members import boundary, nearest_to_center
from caescope.analysis.reconstruction import pick_extremes
from caescope.cae import CAE
from caescope.data import SPLITS
from caescope.data.opening import Source
from caescope.figures.judgement import shown_labels
from caescope.figures.saving import save_png
from caescope.table import LatentTable

CARD_COLUMNS, CARD_ROWS = 9, 5
N_PAIRS, N_EXTREMES = 6, 3


def draw_reconstruction(
    folder: Path, cae: CAE, source: Source, history, kept: int | None, table: LatentTable
) -> None:
    """Draw the loss of each epoch, images above their reconstructions, and how the errors are spread."""
    assert table.errors is not None
    assert table.split is not None
    test = np.flatnonzero(table.split == "test")
    shown = np.random.default_rng(0).permutation(test)[:N_PAIRS]
    images = source.read(shown)
    names = None if table.labels is None else shown_labels(table.labels[shown])
    options = {"N": len(images), "size": 1.5, "shuffle": False, "labels": names}
    save_png(folder, "pairs", plots.plot_paired_imgs(images, cae.model.predict(images), **options))
    save_png(folder, "loss", plots.plot_loss(history, kept=kept))
    errors = {name: table.errors[table.split == name] for name in SPLITS if name in table.split}
    save_png(folder, "errors", plots.plot_errors(errors))
    extremes = {name: test[rows] for name, rows in pick_extremes(table.errors[test], N_EXTREMES).items()}
    chosen = source.read(np.concatenate(list(extremes.values())))
    groups = [name for name, rows in extremes.items() for _ in rows]
    save_png(folder, "extremes", plots.plot_residuals(chosen, cae.model.predict(chosen), groups))


def draw_images(
    folder: Path, source: Source, table: LatentTable, judgement: Judgement, cae: CAE | None
) -> None:
    """Draw a sample of the train images, and a card of each cluster."""
    assert table.split is not None
    assert judgement.clusters is not None
    assert judgement.map is not None
    train = np.flatnonzero(table.split == "train")
    shown = np.random.default_rng(0).permutation(train)[:12]
    names = None if table.labels is None else shown_labels(table.labels[shown])
    sample = plots.plot_sample_imgs(
        source.read(shown), -(-len(shown) // 6), 6, size=1.5, shuffle=False, labels=names
    )
    save_png(folder, "samples", sample)
    points, clusters = judgement.map[train], judgement.clusters
    nearest = nearest_to_center(points, clusters, CARD_COLUMNS * CARD_ROWS)
    edges = boundary(points, clusters, CARD_COLUMNS)
    means = decoded_means(cae, table.latents[train], clusters.labels) if cae and clusters.k else {}
    for cluster, rows in nearest.items():
        card = plots.plot_cluster_card(
            source.read(train[rows]),
            source.read(train[edges[cluster]]) if len(edges.get(cluster, ())) else None,
            medoid=source.read([judgement.medoids[cluster]])[0],
            mean=means.get(cluster),
            title=_describe(cluster, clusters.labels, None if table.labels is None else table.labels[train]),
            n_cols=CARD_COLUMNS,
        )
        save_png(folder, f"cluster_{cluster:02d}", card)


def decoded_means(cae: CAE, latents: np.ndarray, clusters: np.ndarray) -> dict[int, np.ndarray]:
    """Return what the decoder makes of the mean latents of each cluster."""
    names = [int(name) for name in np.unique(clusters) if name >= 0]
    table = flatten_latents(latents)
    means = np.stack([table[clusters == name].mean(axis=0) for name in names])
    return dict(zip(names, cae.decoder.predict(means.reshape(-1, *cae.decoder.input_shape)), strict=True))


def _describe(cluster: int, clusters: np.ndarray, labels: Any) -> str:
    """Return a card's title: the cluster, its size and its commonest label."""
    members = clusters == cluster
    title = f"cluster {cluster} · {members.sum():,} images"
    known = [] if labels is None else np.ma.compressed(labels[members])
    if not len(known):
        return title
    names, counts = np.unique(known, return_counts=True)
    return f"{title} · mostly “{names[counts.argmax()]}” ({counts.max() / counts.sum():.0%})"
