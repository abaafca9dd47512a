"""Collections too large for a point each: a density map, and clusters in a sample and in everything."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.patheffects import withStroke
from matplotlib.ticker import PercentFormatter

from caescope.errors import DataError
from caescope.plots.style import (
    DARK,
    FAINT,
    MAIN,
    as_numbers,
    axes_or_new,
    caption,
    name_ticks,
    parse_vector,
    root_figure,
    styled,
)

HALO = [withStroke(linewidth=2.5, foreground="white")]


@styled
def plot_density(counts, low, high, names: Mapping | None = None, ax: Axes | None = None) -> Axes:
    """Draw how many images lie where on a map; cells without any are white.

    Parameters
    ----------
    counts : array_like, shape (n_columns, n_rows)
        As `caescope.analysis.density.Grid` counts them: first x, then y.
    low, high : pair of float
        Corners of the grid, in the map's unit.
    names : dict of name to (x, y), optional
        What to write where, such as each cluster at its centre.
    ax : matplotlib.axes.Axes, optional
        Where to draw; None makes a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    DataError
        If the counts are no table, negative, or all zero.

    Examples
    --------
    >>> ax = plot_density([[0, 3], [1, 0]], (0, 0), (2, 2), {"0": (0.5, 1.5)})
    >>> ax.images[0].get_array().tolist(), ax.texts[0].get_text()
    ([[None, 1.0], [3.0, None]], '0')
    """
    table = as_numbers(counts, "counts")
    if table.ndim != 2 or not table.any() or not table.min() >= 0:
        raise DataError(
            "counts must be how many images are in each cell of a grid, one at least",
            f"an array of shape {table.shape}",
            "Give what Grid.count returned.",
        )
    ax = axes_or_new(ax, 6.8, 5.6)
    norm = LogNorm(1, max(float(table.max()), 10.0))
    (left, bottom), (right, top) = low, high
    image = ax.imshow(
        np.ma.masked_equal(table.T, 0),
        cmap="viridis_r",
        norm=norm,
        origin="lower",
        extent=(left, right, bottom, top),
        interpolation="nearest",
    )
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set(visible=True, color=FAINT)
    for name, (x, y) in (names or {}).items():
        ax.text(x, y, caption(name, 12), ha="center", va="center", fontsize=8.5, path_effects=HALO)
    bar = root_figure(ax).colorbar(
        image, ax=ax, label="images in a cell", shrink=0.7, aspect=25, format="{x:,.0f}"
    )
    bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue, reportAttributeAccessIssue]
    return ax


@styled
def plot_cluster_shares(everything: Mapping, sample: Mapping, ax: Axes | None = None) -> Axes:
    """Draw which share of all images is in each cluster, and a line at its share of the sample.

    Parameters
    ----------
    everything, sample : dict of cluster to float in [0, 1]
        Of the same clusters.
    ax : matplotlib.axes.Axes, optional
        Where to draw; None makes a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    DataError
        If there are no clusters, they differ, or a share is outside [0, 1].

    Examples
    --------
    >>> ax = plot_cluster_shares({0: 0.7, 1: 0.3}, {0: 0.6, 1: 0.4})
    >>> [round(float(bar.get_height()), 3) for bar in ax.patches]
    [0.7, 0.3]
    """
    if list(everything) != list(sample):
        raise DataError(
            "everything and sample must be of the same clusters",
            f"{len(everything)} and {len(sample)}, some of them others",
            "Give a share of each for both, in the same order.",
        )
    shares, sampled = (parse_vector(list(each.values()), "shares", high=1) for each in (everything, sample))
    names, places = [caption(name, 12) for name in everything], np.arange(len(shares))
    ax = axes_or_new(ax, float(np.clip(1.5 + 0.32 * len(shares), 4.5, 9)), 3.6)
    ax.bar(places, shares, color=MAIN, width=0.8, label="all images")
    ax.hlines(sampled, places - 0.4, places + 0.4, color=DARK, linewidth=1.5, label="the sample")
    ax.set(xlabel="cluster", ylabel="share of the images", xlim=(-0.7, len(shares) - 0.3))
    ax.set_ylim(0, 1.1 * max(shares.max(), sampled.max(), 0.01))
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    name_ticks(ax.xaxis, names, most=30)
    ax.legend(frameon=False, loc="upper right")
    return ax
