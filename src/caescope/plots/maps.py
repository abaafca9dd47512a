"""The map as a scatter plot, coloured by label, cluster or number."""

from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PathCollection
from matplotlib.lines import Line2D

from caescope.errors import DataError, OptionError
from caescope.plots.style import (
    FAINT,
    MAIN,
    as_numbers,
    axes_or_new,
    caption,
    note,
    palette,
    root_figure,
    styled,
)
from caescope.plots.textlayout import name_groups

MOST_COLORS = 6  # with more categories, names on the map spare the reader telling colours apart
MOST_LEGEND = 10  # the colours of the palette
KINDS = ("category", "number")


@styled
def plot_map(
    points,
    values=None,
    ax: Axes | None = None,
    title: str | None = None,
    kind: Literal["category", "number"] | None = None,
    *,
    name: str | None = None,
    size: float | None = None,
    alpha: float | None = None,
) -> Axes:
    """Draw a map, one point for each image.

    Up to ten categories get a legend beside the map; more than six get their names on the map, at the median
    of their points or as near as there is room. Numbers get a colour bar from their 1st to their 99th
    percentile, and the highest lie on top.

    Parameters
    ----------
    points : array_like, shape (n_images, 2)
        The map, in any unit.
    values : array_like, shape (n_images,), optional
        Labels, clusters or numbers to colour by; None draws all points in one colour. Points whose number
        is NaN or infinite are grey.
    ax : matplotlib.axes.Axes, optional
        Where to draw; None makes a new figure.
    title : str, optional
        Text above the map.
    kind : {"category", "number"}, optional
        How to read ``values``; None: fractions are numbers, everything else is a category.
    name : str, optional
        What ``values`` are, over the legend or beside the colour bar: "label", "cluster", "error".
    size, alpha : float, optional
        Area of a point in square points, and its opacity; None fits them to the number of points.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    DataError
        If the points are not pairs of finite numbers, or ``values`` has another length.
    OptionError
        If ``kind`` is unknown.

    Examples
    --------
    >>> ax = plot_map([[0, 0], [1, 0], [0, 1]], ["cat", "dog", "cat"])
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['cat', 'dog']
    """
    points = _parse_points(points)
    values, reading = _parse_values(values, kind, len(points))
    ax = axes_or_new(ax, 6.8, 5.6)
    _frame(ax, title)
    look = _look(ax, len(points), size, alpha)
    if values is None:
        _scatter(ax, points, color=MAIN, **look)
    elif reading == "number":
        _draw_numbers(ax, points, values, name, look)
    else:
        _draw_categories(ax, points, values, name, look)
    return ax


def _draw_numbers(ax: Axes, points: np.ndarray, values: np.ndarray, name: str | None, look: dict) -> None:
    known = np.isfinite(values)
    _scatter(ax, points[~known], color=FAINT, **look)
    if not known.all():
        note(ax, f"grey: {np.sum(~known):,} without a number")
    points, values = points[known], values[known]
    if not len(values):
        return
    low, high = np.quantile(values, [0.01, 0.99]) if len(values) >= 200 else (values.min(), values.max())
    order = np.argsort(values, kind="stable")
    drawn = _scatter(ax, points[order], c=values[order], cmap="viridis", vmin=low, vmax=high, **look)
    beyond = {(True, True): "both", (True, False): "min", (False, True): "max"}
    extend = beyond.get((bool(values.min() < low), bool(values.max() > high)), "neither")
    opaque = ScalarMappable(drawn.norm, drawn.cmap)
    bar = root_figure(ax).colorbar(opaque, ax=ax, shrink=0.7, aspect=25, extend=extend)
    bar.set_label(caption(name) if name else "")
    bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue, reportAttributeAccessIssue]


def _draw_categories(ax: Axes, points: np.ndarray, values: np.ndarray, name: str | None, look: dict) -> None:
    categories, codes = _categories(values)
    colors = np.asarray(palette(len(categories)))
    # In the order given, the last category would lie on top of the others.
    order = np.random.default_rng(0).permutation(len(points))
    _scatter(ax, points[order], color=colors[codes[order]], **look)
    if len(categories) <= MOST_LEGEND:
        _legend(ax, categories, colors, name)
    if len(categories) > MOST_COLORS:
        name_groups(ax, points, codes, [caption(category, 16) for category in categories], colors)


def _categories(values: np.ndarray) -> tuple[list, np.ndarray]:
    """Return the distinct values, sorted, and for each image the position of its own."""
    try:
        categories, codes = np.unique(values, return_inverse=True)
    except TypeError:  # None or numbers among texts
        categories, codes = np.unique(values.astype(str), return_inverse=True)
    return categories.tolist(), codes


def _legend(ax: Axes, categories: list, colors: np.ndarray, name: str | None) -> None:
    dots = [Line2D([], [], marker="o", linestyle="", markersize=6, color=color) for color in colors]
    legend = ax.legend(
        dots,
        ["?"] * len(dots),
        title=caption(name) if name else None,
        loc="upper left",
        bbox_to_anchor=(1.01, 1.0),
        borderaxespad=0,
        frameon=False,
        handletextpad=0.3,
    )
    # Written afterwards, since a legend refuses labels that begin with "_".
    for text, category in zip(legend.get_texts(), categories, strict=True):
        text.set_text(caption(category))


def _scatter(ax: Axes, points: np.ndarray, **look) -> PathCollection:
    return ax.scatter(points[:, 0], points[:, 1], marker="o", linewidths=0, rasterized=True, **look)


def _look(ax: Axes, n: int, size: float | None, alpha: float | None) -> dict:
    """Return a size and opacity at which ``n`` points neither vanish nor hide each other."""
    width, height = np.asarray(ax.get_window_extent().size) * 72 / root_figure(ax).dpi
    size = float(np.clip(0.2 * width * height / n, 1.2, 30)) if size is None else size
    alpha = float(np.clip(1.3 - 0.15 * np.log10(n), 0.5, 0.9)) if alpha is None else alpha
    return {"s": size, "alpha": alpha}


def _frame(ax: Axes, title: str | None) -> None:
    ax.set(xticks=[], yticks=[])
    ax.set_aspect("equal", adjustable="datalim")
    ax.spines[:].set(visible=True, color=FAINT)
    if title:
        ax.set_title(caption(title, 80), loc="left")


def _parse_points(points) -> np.ndarray:
    points = as_numbers(points, "points")
    if points.ndim != 2 or points.shape[1] != 2 or not len(points):
        raise DataError(
            "points must have shape (n_images, 2)",
            f"shape {points.shape}",
            "Project the latents to two dimensions first.",
        )
    if not np.isfinite(points).all():
        bad = int((~np.isfinite(points)).any(axis=1).sum())
        raise DataError(
            "points must be finite",
            f"NaN or infinity in {bad} of {len(points)} points",
            "Leave those images out.",
        )
    return points


def _parse_values(values, kind, n: int) -> tuple[np.ndarray | None, str]:
    """Return the values, one for each of ``n`` points, and how to read them."""
    if kind not in (None, *KINDS):
        raise OptionError(
            f"kind must be one of {', '.join(KINDS)}", f"kind={kind!r}", "Leave it out to infer it."
        )
    if values is None:
        return None, "category"
    values = np.asarray(values)
    if values.shape != (n,):
        raise DataError(
            "values must have one entry for each point",
            f"shape {values.shape} for {n} points",
            "Give both in the same order and of the same length.",
        )
    if kind == "number" or (kind is None and _has_fractions(values)):
        return as_numbers(values, "values"), "number"
    return values, "category"


def _has_fractions(values: np.ndarray) -> bool:
    return values.dtype.kind == "f" and bool((values != np.round(values))[np.isfinite(values)].any())
