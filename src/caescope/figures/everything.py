"""Figures of a collection of which only a sample was judged."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from caescope import plots
from caescope.figures.saving import save_png
from caescope.partwise.assigning import MAIN, Fitted
from caescope.partwise.totals import Totals

MOST_NAMES = 60  # clusters whose number is written on the map


def draw_everything(folder: Path, metrics: Mapping[str, Any], totals: Totals, fitted: Fitted) -> None:
    """Draw where all images lie on the sample's map, how large clusters are, and how labels lie in them."""
    centers = fitted.clusterings[MAIN][1].centers[:MOST_NAMES]
    names = {str(i): (float(x), float(y)) for i, (x, y) in enumerate(centers)}
    grid = fitted.grid
    save_png(folder, "everything_map", plots.plot_density(totals.density, grid.low, grid.high, names))
    sizes, sampled = (found["clusters"]["sizes"] for found in (metrics["everything"], metrics))
    if sizes:
        shares, beside = (_shares(each, list(sizes)) for each in (sizes, sampled))
        save_png(folder, "everything_clusters", plots.plot_cluster_shares(shares, beside))
    if MAIN in totals.labels and totals.labels[MAIN].table.any():
        counts = totals.labels[MAIN]
        drawn = plots.plot_cluster_labels(counts.table, list(range(len(counts.table))), counts.names)
        save_png(folder, "everything_labels", drawn)


def _shares(sizes: Mapping[str, int], names: list[str]) -> dict[str, float]:
    """Return the share of each cluster in all that are in one."""
    total = sum(sizes.values()) or 1
    return {name: sizes.get(name, 0) / total for name in names}
