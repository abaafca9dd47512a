"""Figures on the slides that tiles were cut from."""

from pathlib import Path
from typing import Any

import numpy as np

from caescope import plots
from caescope.figures.saving import save_png
from caescope.table import LatentTable

MOST_SLIDES = 6  # whose overlays a report shows
LARGEST_SIDE = 1000  # pixels of a thumbnail


def draw_overlays(folder: Path, source: Any, table: LatentTable) -> None:
    """Draw the clusters and the error of tiles on the first few slides, where the source is of slides."""
    if not hasattr(source, "thumbnails") or table.clusters is None:
        return
    clusters = np.ma.masked_less(table.clusters, 0)
    for i, (title, thumbnail, scale) in enumerate(source.thumbnails(MOST_SLIDES, LARGEST_SIDE)):
        rows = np.flatnonzero(np.asarray(table.columns["slide"]) == title)
        x, y, size = (np.asarray(table.columns[name])[rows] for name in ("x", "y", "size"))
        known = np.unique(clusters.compressed()).tolist()
        of_clusters = plots.plot_overlay(
            thumbnail, x, y, size, clusters[rows], scale, name="cluster", categories=known, title=title
        )
        save_png(folder, f"overlay_{i:02d}", of_clusters)
        if table.errors is not None:
            errors = table.errors[rows]
            of_errors = plots.plot_overlay(
                thumbnail, x, y, size, errors, scale, kind="number", name="squared error", title=title
            )
            save_png(folder, f"overlay_error_{i:02d}", of_errors)


def draw_plan(path: Path, planned: Any) -> None:
    """Draw the tiles of a slide, coloured by how much of each is tissue."""
    from caescope.slides import read_thumbnail

    thumbnail, plan = read_thumbnail(planned.slide, LARGEST_SIDE), planned.plan
    scale = planned.slide.width / thumbnail.shape[1]
    size = np.full(len(plan), plan.size0)
    drawn = plots.plot_overlay(
        thumbnail, plan.x, plan.y, size, plan.tissue, scale, kind="number", name="tissue", title=planned.name
    )
    plots.save_figure(drawn, path)
