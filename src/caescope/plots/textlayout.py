"""Names on a map, placed so that none lies on another."""

from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

from caescope.plots.style import note, quiet_glyphs, root_figure

MOST_NAMES = 60  # more would cover the map
PADDING = 4  # pixels around a name


@quiet_glyphs()
def name_groups(ax: Axes, points: np.ndarray, codes: np.ndarray, names: list[str], colors) -> None:
    """Write each group's name at the median of its points, or beside it where another name already is.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Holds the points already.
    points : numpy.ndarray, shape (n_images, 2)
    codes : numpy.ndarray, shape (n_images,), integers
        The group of each point.
    names, colors : list of str and array of colours, length n_groups
        Text and frame of each group's name.
    """
    # The layout decides where a point lies on the page, so it comes before names can avoid each other.
    root_figure(ax).draw_without_rendering()
    counts = np.bincount(codes, minlength=len(names))
    largest_first = np.argsort(-counts, kind="stable")
    taken: list[Bbox] = []
    for group in largest_first[:MOST_NAMES]:
        median = np.median(points[codes == group], axis=0)
        text = _write(ax, names[group], median, colors[group])
        _move_to_free_place(ax, text, median, taken, colors[group])
    unnamed = len(names) - len(taken)
    if unnamed:
        note(ax, f"{unnamed} smaller groups without a name")


def _write(ax: Axes, name: str, place: np.ndarray, color) -> Annotation:
    frame = {
        "boxstyle": "round,pad=0.2",
        "facecolor": "white",
        "edgecolor": color,
        "alpha": 0.85,
        "linewidth": 1.2,
    }
    return ax.annotate(
        name,
        (place[0], place[1]),
        (0, 0),
        textcoords="offset points",
        ha="center",
        va="center",
        fontsize=8,
        bbox=frame,
        zorder=4,
    )


def _move_to_free_place(ax: Axes, text: Annotation, median: np.ndarray, taken: list[Bbox], color) -> None:
    """Shift a name to the nearest place that is free, with a line to its group; without one, remove it."""
    box = text.get_window_extent().padded(PADDING)
    for dx, dy in _offsets(box):
        place = box.translated(dx, dy)
        if _inside(ax.bbox, place) and not place.count_overlaps(taken):
            break
    else:
        text.remove()
        return
    taken.append(place)
    if dx or dy:
        to_points = 72 / root_figure(ax).dpi
        text.set_position((dx * to_points, dy * to_points))
        line = {"arrowstyle": "-", "color": color, "linewidth": 1.2, "shrinkA": 0, "shrinkB": 0}
        where = (dx * to_points, dy * to_points)
        ax.annotate("", (median[0], median[1]), where, textcoords="offset points", arrowprops=line, zorder=3)


def _inside(outer: Bbox, inner: Bbox) -> bool:
    return bool(np.all(outer.min <= inner.min) and np.all(inner.max <= outer.max))


def _offsets(box: Bbox) -> Iterator[tuple[float, float]]:
    """Yield shifts in pixels: none, then rings of growing distance."""
    yield 0.0, 0.0
    angles = np.linspace(0, 2 * np.pi, 16, endpoint=False) + np.pi / 2
    for ring in np.arange(0.5, 12, 0.5):
        for angle in angles:
            yield float(ring * box.height * 1.5 * np.cos(angle)), float(ring * box.height * np.sin(angle))
