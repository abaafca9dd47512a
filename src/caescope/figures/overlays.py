"""Figures on the slides that tiles were cut from."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from caescope import plots
from caescope.figures.saving import save_png
from caescope.table import LatentTable

MOST_SLIDES = 6  # whose overlays a report shows
LARGEST_SIDE = 1000  # pixels of a thumbnail
MOST_CATEGORIES = 20  # different whole numbers that are told apart by colours of their own


def draw_overlays(folder: Path, source: Any, table: LatentTable, names: Sequence[str]) -> None:
    """Draw columns of the table on the first few slides, where the source is of slides.

    The figure ``overlay_02_1`` is the third slide, coloured by the second of ``names``.
    """
    if not hasattr(source, "thumbnails") or table.clusters is None:
        return
    shown = {k: _values_of(table, name) for k, name in enumerate(names) if table.column(name) is not None}
    slides = np.asarray(table.columns["slide"])
    for i, (title, thumbnail, scale) in enumerate(source.thumbnails(MOST_SLIDES, LARGEST_SIDE)):
        rows = np.flatnonzero(slides == title)
        x, y, size = (np.asarray(table.columns[name])[rows] for name in ("x", "y", "size"))
        for k, (values, look) in shown.items():
            drawn = plots.plot_overlay(thumbnail, x, y, size, values[rows], scale, title=title, **look)
            save_png(folder, f"overlay_{i:02d}_{k}", drawn)


def _values_of(table: LatentTable, name: str) -> tuple[np.ndarray, dict[str, Any]]:
    """Return a column and how to draw it: with a colour bar, or few whole numbers and texts with a legend."""
    values = table.column(name)
    assert values is not None
    if name == "cluster":
        values = np.ma.masked_less(values, 0)
    known = np.unique(np.ma.compressed(values))
    called = {"error": "squared error"}.get(name, name)
    is_number = known.dtype.kind == "f" or (known.dtype.kind in "iu" and len(known) > MOST_CATEGORIES)
    if is_number and name not in ("cluster", "label"):
        return values, {"kind": "number", "name": called}
    return values, {"name": called, "categories": known.tolist()}


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
