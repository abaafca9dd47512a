"""What all pictures share: colours, sizes, and how text from outside becomes safe to draw."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from operator import index
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.ticker import MaxNLocator

from caescope.errors import DataError, OptionError

# Ten colours that stay apart for colour-blind readers: Petroff (2021), arXiv:2107.02270.
PALETTE = (
    "#3f90da",
    "#ffa90e",
    "#bd1f01",
    "#94a4a2",
    "#832db6",
    "#a96b59",
    "#e76300",
    "#b9ac70",
    "#717581",
    "#92dadd",
)
MAIN, SECOND, FAINT, DARK = "#3f90da", "#bd1f01", "#c8c8c8", "#303030"

STYLE: dict[str, Any] = {
    "axes.grid": False,
    "axes.labelsize": 9,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 10,
    "figure.constrained_layout.use": True,
    "font.size": 9,
    "image.interpolation": mpl.rcParamsDefault["image.interpolation"],
    "image.origin": "upper",
    "legend.fontsize": 8.5,
    "text.usetex": False,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
}


@contextmanager
def _house_style() -> Iterator[None]:
    # Not rc_context: it would also undo what a notebook's backend sets when the first figure is made
    settings: Any = mpl.rcParams
    before = {name: settings[name] for name in STYLE}
    settings.update(STYLE)
    try:
        yield
    finally:
        settings.update(before)


#: Decorator: draw in the house's style and leave the caller's settings as they were.
styled = _house_style()


def axes_or_new(ax: Axes | None, width: float, height: float) -> Axes:
    """Return ``ax``, or the Axes of a new figure of ``width`` × ``height`` inches."""
    return plt.subplots(figsize=(width, height))[1] if ax is None else ax


def root_figure(ax: Axes):
    """Return the Figure that holds ``ax``, also when a SubFigure lies between."""
    return ax.figure.canvas.figure


@contextmanager
def quiet_glyphs() -> Iterator[None]:
    """Keep silent about letters that the font lacks: they become boxes, a warning for each helps nobody."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*[Gg]lyph.*")
        yield


def caption(value, limit: int = 30) -> str:
    r"""Return a label as text that is drawn literally, shortened in the middle; an empty one is a dash.

    >>> caption(3.0), caption("a_$x$\nb"), caption("adenocarcinoma of the colon", 15)
    ('3', 'a_\\$x\\$ b', 'adenocar… colon')
    """
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    text = f"{value:g}" if isinstance(value, float | np.floating) else str(value)
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    if len(text) > limit:
        tail = (limit - 1) * 3 // 7
        text = text[: limit - 1 - tail] + "…" + text[len(text) - tail :]
    return text.replace("$", r"\$") or "–"


def fitting(value, inches: float, points: float) -> str:
    """Return a caption that is at most ``inches`` wide at a font size of ``points``."""
    return caption(value, max(5, int(inches * 72 / (0.6 * points))))


def palette(n: int) -> list[tuple[float, ...]]:
    """Return ``n`` colours: the palette, then darker versions of it, then both again."""
    colors = [tuple(shade * c for c in to_rgb(color)) for shade in (1.0, 0.6) for color in PALETTE]
    return [colors[i % len(colors)] for i in range(n)]


def thinned(n: int, most: int) -> range:
    """Return at most ``most`` evenly spaced positions from 0 to ``n`` - 1, in steps of 1, 2, 5, 10, ..."""
    steps = (digit * 10**power for power in range(12) for digit in (1, 2, 5))
    return range(0, n, next(step for step in steps if n <= step * most))


def name_ticks(axis, names: Sequence[str], most: int = 40, **text) -> None:
    """Write ``names`` at 0, 1, 2, ... of a matplotlib axis, thinned to ``most``."""
    places = thinned(len(names), most)
    axis.set_ticks(list(places), [names[i] for i in places], **text)


def whole_ticks(axis) -> None:
    """Tick a matplotlib axis at whole numbers only."""
    axis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))


def note(ax: Axes, text: str) -> None:
    """Write a remark small below the right end of a map."""
    ax.set_xlabel(text, loc="right", fontsize=8, color=DARK)


def parse_count(name: str, value, most: int = 100) -> int:
    """Return ``value`` as an integer from 1 to ``most``."""
    try:
        count = index(value)
    except TypeError:
        count = 0
    if not 1 <= count <= most:
        raise OptionError(
            f"{name} must be an integer from 1 to {most}", f"{name}={value!r}", f"Use for example {name}=6."
        )
    return count


def parse_size(size) -> float:
    """Return the side of a picture in inches."""
    if not isinstance(size, int | float | np.number) or not 0 < size <= 50:
        raise OptionError(
            "size must be inches between 0 and 50", f"size={size!r}", "Use for example size=2.5."
        )
    return float(size)


def parse_vector(values, name: str, low: float = 0.0, high: float = np.inf) -> np.ndarray:
    """Return ``values`` as a non-empty vector of finite numbers in [``low``, ``high``]."""
    vector = as_numbers(values, name)
    if vector.ndim != 1 or vector.size == 0:
        raise DataError(
            f"{name} must be a non-empty vector", f"shape {vector.shape}", "Give one number for each."
        )
    if not np.isfinite(vector).all() or vector.min() < low or vector.max() > high:
        bounds = f"between {low:g} and {high:g}" if np.isfinite(high) else f"finite and at least {low:g}"
        raise DataError(
            f"{name} must be {bounds}",
            f"values from {vector.min():g} to {vector.max():g}",
            "Check how they were computed.",
        )
    return vector


def as_numbers(values, name: str) -> np.ndarray:
    """Return ``values`` as an array of float64."""
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{name} must be numbers", f"{type(values).__name__} ({error})", "Give an array of numbers."
        ) from None
