"""Tiles on the picture of their slide, coloured by what is known about them."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.lines import Line2D

from caescope.errors import DataError, OptionError
from caescope.parsing import is_missing
from caescope.plots.style import (
    FAINT,
    as_numbers,
    axes_or_new,
    caption,
    note,
    palette,
    parse_vector,
    root_figure,
    styled,
)

KINDS = ("category", "number")
MOST_LEGEND = 20  # the colours of the palette and their darker versions
MOST_LINES = 10
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # how bright red, green and blue seem: ITU-R BT.601


@styled
def plot_overlay(
    thumbnail,
    x,
    y,
    size,
    values,
    scale: float,
    ax: Axes | None = None,
    kind: Literal["category", "number"] = "category",
    name: str | None = None,
    alpha: float = 0.5,
    *,
    categories: Sequence | None = None,
    title: str | None = None,
) -> Axes:
    """Draw the tiles of a slide over its thumbnail.

    Categories get a legend, in the colours that `plot_map` gives them; numbers get a colour bar from their
    1st to their 99th percentile. Where tiles overlap, the higher number lies on top, or the later tile.
    Below coloured tiles the slide is grey, so that its stain does not mix with their colours; tiles without a
    number or category are left as they are.

    Parameters
    ----------
    thumbnail : array_like, shape (height, width, 3), uint8
        The whole slide, small.
    x, y : array_like, shape (n_tiles,), pixels of level 0
        Top left corners.
    size : float or array_like, shape (n_tiles,), pixels of level 0
        Sides.
    values : array_like, shape (n_tiles,)
        Clusters, labels or numbers; missing where they are masked, None or NaN, or a number is infinite.
    scale : float, above 0
        Pixels of level 0 for each pixel of the thumbnail.
    ax : matplotlib.axes.Axes, optional
        Where to draw; None makes a new figure.
    kind : {"category", "number"}
        How to read ``values``.
    name : str, optional
        What they are, over the legend or beside the colour bar.
    alpha : float, 0 to 1
        Opacity of the tiles.
    categories : sequence, optional
        All categories of the collection. With them a category has the same colour on every slide and on the
        map, also where a slide lacks some; by default those in ``values``.
    title : str, optional
        Text above the picture.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    DataError
        If the thumbnail is no such image, the tiles' places, sizes and values do not fit one another, or
        ``categories`` lacks one.
    OptionError
        If ``kind`` is unknown, ``scale`` not positive or ``alpha`` not between 0 and 1.

    Examples
    --------
    >>> white = np.full((4, 8, 3), 255, np.uint8)
    >>> ax = plot_overlay(white, [0, 40], [0, 0], 40, [3, 7], scale=10, name="cluster")
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['3', '7']
    """
    thumbnail = _parse_thumbnail(thumbnail)
    scale, alpha = _parse_look(kind, scale, alpha)
    boxes = _parse_boxes(x, y, size) / scale
    values = _parse_values(values, kind, len(boxes))
    height, width = thumbnail.shape[:2]
    ax = axes_or_new(ax, 6.8, float(np.clip(5.6 * height / width, 2.8, 8.5)))
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set(visible=True, color=FAINT)
    if title:
        ax.set_title(caption(title, 80), loc="left")
    colors, order = (_numbers if kind == "number" else _categories)(ax, values, name, categories)
    ax.imshow(_painted(thumbnail, boxes[order], colors[order], alpha), interpolation="nearest")
    return ax


def _painted(thumbnail: np.ndarray, boxes: np.ndarray, colors: np.ndarray, alpha: float) -> np.ndarray:
    """Return the thumbnail, grey and coloured in the box of each tile, the later over the earlier.

    Neighbours share their edge, since both round it alike; a tile is at least one pixel wide.
    """
    height, width = thumbnail.shape[:2]
    low = np.rint(boxes[:, :2]).astype(np.int64)
    high = np.maximum(np.rint(boxes[:, 2:]).astype(np.int64), low + 1)
    tile = np.full((height, width), -1)
    corners = np.clip(np.hstack([low, high]), 0, [width, height] * 2)
    for i, (left, top, right, bottom) in enumerate(corners.tolist()):
        tile[top:bottom, left:right] = i
    inside = tile >= 0
    painted = thumbnail.astype(np.float32)
    grey = (painted[inside] @ LUMA)[:, None]
    painted[inside] = grey + alpha * (255 * colors[tile[inside]] - grey)
    return np.rint(painted).astype(np.uint8)


def _numbers(ax: Axes, values: np.ndarray, name: str | None, _) -> tuple[np.ndarray, np.ndarray]:
    """Return a colour for each tile, and the known ones in the order to draw them; draws the colour bar."""
    known = np.flatnonzero(np.isfinite(values))
    colors = np.zeros((len(values), 3))
    _note_missing(ax, len(values) - len(known), "number")
    if not len(known):
        return colors, known
    seen = values[known]
    low, high = np.quantile(seen, [0.01, 0.99]) if len(seen) >= 200 else (seen.min(), seen.max())
    scheme = ScalarMappable(Normalize(low, high), colormaps["viridis"])
    colors[known] = scheme.to_rgba(seen)[:, :3]
    beyond = {(True, True): "both", (True, False): "min", (False, True): "max"}
    extend = beyond.get((bool(seen.min() < low), bool(seen.max() > high)), "neither")
    bar = root_figure(ax).colorbar(scheme, ax=ax, shrink=0.7, aspect=25, extend=extend)
    bar.set_label(caption(name) if name else "")
    bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue, reportAttributeAccessIssue]
    return colors, known[np.argsort(seen, kind="stable")]


def _categories(
    ax: Axes, values: np.ndarray, name: str | None, categories: Sequence | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return a colour for each tile, and the known ones in the order to draw them; draws the legend."""
    known = np.flatnonzero(~np.ma.getmaskarray(values))
    seen, codes = np.unique(np.asarray(values)[known], return_inverse=True)
    every = seen if categories is None else np.unique(np.asarray(categories))
    if lacking := set(seen.tolist()) - set(every.tolist()):
        raise DataError(
            "categories must name every value", f"{caption(min(lacking, key=str))!r} without one", "Add it."
        )
    seen_colors = np.asarray(palette(len(every))).reshape(-1, 3)[np.isin(every, seen)]
    colors = np.zeros((len(values), 3))
    colors[known] = seen_colors[codes]
    _note_missing(ax, len(values) - len(known), name or "category", len(seen) - MOST_LEGEND)
    if len(seen):
        _legend(ax, seen.tolist(), seen_colors, name)
    return colors, known


def _legend(ax: Axes, names: list, colors: np.ndarray, name: str | None) -> None:
    squares = [Line2D([], [], marker="s", linestyle="", markersize=7, color=color) for color in colors]
    legend = ax.legend(
        squares[:MOST_LEGEND],
        ["?"] * len(squares[:MOST_LEGEND]),
        title=caption(name) if name else None,
        loc="upper left",
        bbox_to_anchor=(1.01, 1.0),
        borderaxespad=0,
        frameon=False,
        handletextpad=0.3,
        ncols=1 + (len(squares) > MOST_LINES),
    )
    # Written afterwards, since a legend refuses labels that begin with "_"
    for text, category in zip(legend.get_texts(), names, strict=False):
        text.set_text(caption(category))


def _note_missing(ax: Axes, n: int, what: str, n_unnamed: int = 0) -> None:
    remarks = [f"not coloured: {n:,} without a {caption(what)}"] if n else []
    if n_unnamed > 0:
        remarks.append(f"{n_unnamed:,} more in repeated colours")
    if remarks:
        note(ax, "; ".join(remarks))


def _parse_thumbnail(thumbnail) -> np.ndarray:
    thumbnail = np.asarray(thumbnail)
    if thumbnail.ndim != 3 or thumbnail.shape[2] != 3 or thumbnail.dtype != np.uint8 or not thumbnail.size:
        raise DataError(
            "thumbnail must be uint8 of shape (height, width, 3)",
            f"{thumbnail.dtype} of shape {thumbnail.shape}",
            "Give the slide as an RGB image.",
        )
    return thumbnail


def _parse_look(kind, scale, alpha) -> tuple[float, float]:
    if kind not in KINDS:
        raise OptionError(f"kind must be one of {', '.join(KINDS)}", f"kind={kind!r}", "Use one of those.")
    for option, value, high in (("scale", scale, np.inf), ("alpha", alpha, 1)):
        if not isinstance(value, int | float | np.number) or not 0 < value <= high or value == np.inf:
            bounds = "a positive number" if high == np.inf else "above 0 and at most 1"
            raise OptionError(
                f"{option} must be {bounds}", f"{option}={value!r}", "Check how it was computed."
            )
    return float(scale), float(alpha)


def _parse_boxes(x, y, size) -> np.ndarray:
    """Return the left, top, right and bottom edge of each tile, shape (n, 4)."""
    x, y = (parse_vector(values, name, low=-np.inf) for values, name in ((x, "x"), (y, "y")))
    size = parse_vector(
        np.broadcast_to(as_numbers(size, "size"), x.shape) if np.ndim(size) == 0 else size, "size"
    )
    if not len(x) == len(y) == len(size):
        raise DataError(
            "x, y and size must have one entry for each tile",
            f"{len(x)}, {len(y)} and {len(size)} entries",
            "Give them in the same order and of the same length.",
        )
    return np.stack([x, y, x + size, y + size], axis=1)


def _parse_values(values, kind: str, n: int) -> np.ndarray:
    values = np.ma.asarray(values) if isinstance(values, np.ma.MaskedArray) else np.asarray(values)
    if values.shape != (n,):
        raise DataError(
            "values must have one entry for each tile",
            f"shape {values.shape} for {n} tiles",
            "Give both in the same order and of the same length.",
        )
    if kind == "category":
        return _mask_missing(values)
    filled = np.ma.filled(values.astype(np.float64), np.nan) if np.ma.isMaskedArray(values) else values
    return as_numbers(filled, "values")


def _mask_missing(values: np.ndarray) -> np.ndarray:
    """Return categories of one kind, masked where nobody knows them."""
    if values.dtype.kind not in "Of":
        return values
    missing = np.ma.getmaskarray(values) | np.fromiter(map(is_missing, np.asarray(values).tolist()), bool)
    plain = np.asarray(values)
    return np.ma.array(plain.astype(str) if plain.dtype.kind == "O" else plain, mask=missing)
