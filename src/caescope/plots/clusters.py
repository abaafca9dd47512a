"""What the clusters hold: a table against labels, the impurity of each, a sheet of images."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from caescope.errors import DataError, OptionError
from caescope.images import parse_images
from caescope.plots.heatmaps import draw_heatmap, parse_counts
from caescope.plots.images import INK, displayed
from caescope.plots.style import (
    DARK,
    MAIN,
    axes_or_new,
    caption,
    fitting,
    name_ticks,
    parse_count,
    parse_size,
    parse_vector,
    styled,
)

HALO = [withStroke(linewidth=2.5, foreground="white")]  # the line of the mean may run behind digits
MOST_SHEET = 2000  # images on one sheet; a figure cannot be taller than 65,535 pixels


@styled
def plot_cluster_labels(table, clusters, labels, ax: Axes | None = None) -> Axes:
    """Draw how the labels spread over the clusters: rows are clusters, colour is the share of the row.

    Parameters
    ----------
    table : array_like, shape (n_clusters, n_labels)
        Counts of images, at least 0.
    clusters : sequence, length n_clusters
        Names of the rows.
    labels : sequence, length n_labels
        Names of the columns.
    ax : matplotlib.axes.Axes, optional
        Where to draw; None makes a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    DataError
        If the shapes do not fit together or a count is negative.

    Examples
    --------
    >>> ax = plot_cluster_labels([[5, 0], [1, 4]], [0, 1], ["cat", "dog"])
    >>> [text.get_text() for text in ax.get_xticklabels()]
    ['cat', 'dog']
    """
    clusters, labels = list(clusters), list(labels)
    counts = parse_counts(table, clusters, labels, "table", "clusters", "labels")
    return draw_heatmap(counts, clusters, labels, ("cluster", "label"), ax)


@styled
def plot_gini(gini: Mapping, ax: Axes | None = None, n_labels: int | None = None) -> Axes:
    """Draw the Gini impurity of each cluster, purest first, and their unweighted mean.

    Parameters
    ----------
    gini : dict of cluster to float in [0, 1]
        As :func:`caescope.metrics.cluster_gini` returns it.
    ax : matplotlib.axes.Axes, optional
        Where to draw; None makes a new figure.
    n_labels : int, optional
        How many labels there are: the axis then ends at 1 - 1/n_labels, the highest impurity possible.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    DataError
        If there is no cluster or an impurity is outside [0, 1].

    Examples
    --------
    >>> ax = plot_gini({0: 0.3, 1: 0.1})
    >>> [float(bar.get_height()) for bar in ax.patches], [text.get_text() for text in ax.get_xticklabels()]
    ([0.1, 0.3], ['1', '0'])
    """
    clusters, values = _parse_gini(gini)
    top = 1.0 if n_labels is None else _highest_gini(n_labels, values)
    ax = axes_or_new(ax, float(np.clip(1.5 + 0.32 * len(values), 4.5, 9)), 3.6)
    places = np.arange(len(values))
    ax.bar(places, values, color=MAIN, width=0.8 if len(values) <= 100 else 1.0)
    if len(values) <= 25:
        for place, value in enumerate(values):
            ax.text(
                place,
                value + 0.012 * top,
                f"{value:.2f}",
                ha="center",
                va="bottom",
                fontsize=7.5,
                path_effects=HALO,
            )
    mean = values.mean()
    ax.axhline(mean, color=DARK, linestyle="--", linewidth=1)
    ax.text(1.01, mean, f"mean\n{mean:.3f}", transform=ax.get_yaxis_transform(), va="center")
    ax.set(xlabel="cluster", ylabel="Gini impurity", xlim=(-0.7, len(values) - 0.3), ylim=(0, top))
    long = max(map(len, clusters)) > 3
    name_ticks(ax.xaxis, clusters, most=30, **({"rotation": 45, "ha": "right"} if long else {}))
    return ax


@styled
def plot_cluster_sheet(images, title=None, n_cols=10, size=0.8, color=None, ax: Axes | None = None) -> Axes:
    """Draw all given images close together, row by row, under one title.

    Parameters
    ----------
    images : array_like, shape (n_images, height, width, channels) or (n_images, height, width)
        At most 2,000 images of one cluster; floats in [0, 1] or uint8, 1 or 3 channels.
    title : str, optional
        For example ``"cluster 3 · 2,519 images · mostly “7” (96 %)"``.
    n_cols : int, 1 to 100
        Images in a row; the last row is filled up with white.
    size : float
        Width of an image, in inches.
    color : bool, optional
        As in :func:`caescope.plots.plot_sample_imgs`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; None makes a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    DataError, OptionError
        If the images or an option cannot be used.

    Examples
    --------
    >>> plot_cluster_sheet(np.zeros((7, 8, 8)), "cluster 0", n_cols=5).get_title(loc="left")
    'cluster 0'
    """
    images = parse_images(images)
    n_cols, size = parse_count("n_cols", n_cols), parse_size(size)
    if len(images) > MOST_SHEET:
        raise DataError(
            f"A sheet must hold at most {MOST_SHEET} images",
            f"{len(images)} images",
            "Give a sample of the cluster.",
        )
    pixels, cmap = displayed(images, color)
    sheet = mosaic(pixels, n_cols, blank=0.0 if cmap == INK else 1.0)
    width = n_cols * size
    ax = axes_or_new(ax, width, width * sheet.shape[0] / sheet.shape[1] + (0.35 if title else 0))
    ax.imshow(sheet, cmap=cmap, vmin=0, vmax=1)
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    if title:
        ax.set_title(fitting(title, max(width, 3), 10), loc="left", pad=4)
    return ax


def _highest_gini(n_labels, values: np.ndarray) -> float:
    top = 1 - 1 / max(2, parse_count("n_labels", n_labels, most=10**9))
    if values.max() > top + 1e-9:
        raise OptionError(
            f"n_labels must allow the impurities given, at most 1 - 1/n_labels = {top:.3g}",
            f"n_labels={n_labels} and an impurity of {values.max():.3g}",
            "Count the labels again, or leave n_labels out.",
        )
    return top


def _parse_gini(gini) -> tuple[list[str], np.ndarray]:
    """Return the clusters' names and their impurities, purest first."""
    if not isinstance(gini, Mapping):
        raise DataError(
            "gini must be a dict of cluster to impurity",
            f"a {type(gini).__name__}",
            "Give metrics.cluster_gini(...).",
        )
    values = parse_vector(list(gini.values()), "Gini impurities", high=1)
    order = np.argsort(values, kind="stable")
    names = [caption(cluster, 20) for cluster in gini]
    return [names[i] for i in order], values[order]


def mosaic(pixels: np.ndarray, n_cols: int, blank: float) -> np.ndarray:
    """Lay pictures, shape (n_images, height, width, ...), row by row into one with a thin gap between."""
    n, height, width = pixels.shape[:3]
    gap = max(1, round(0.03 * max(height, width)))
    n_rows = -(-n // n_cols)
    padding = [(0, n_rows * n_cols - n), (0, gap), (0, gap)] + [(0, 0)] * (pixels.ndim - 3)
    cells = np.pad(pixels, padding, constant_values=blank)
    cells = cells.reshape(n_rows, n_cols, *cells.shape[1:]).swapaxes(1, 2)
    sheet = cells.reshape(n_rows * (height + gap), n_cols * (width + gap), *pixels.shape[3:])
    return sheet[:-gap, :-gap]
