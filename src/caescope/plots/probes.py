"""Dots with intervals: probes beside their baselines, and what else the latents know."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from caescope.errors import DataError
from caescope.plots.style import DARK, FAINT, MAIN, as_numbers, axes_or_new, caption, palette, styled

MARKERS = "osD^v<>PX*"  # told apart in print, too


@styled
def plot_probes(
    scores: Mapping[str, Mapping[str, Sequence[float]]], chance: float | None = None, ax: Axes | None = None
) -> Axes:
    """Draw what each probe can tell from each set of variables, with intervals.

    Parameters
    ----------
    scores : mapping of str to mapping of str to (value, low, high)
        Probe: set of variables (latents, PCA, histogram): accuracy and the ends of its interval. A probe may
        lack a set.
    chance : float, optional
        The accuracy of a guess, drawn as a dashed line.
    ax : matplotlib.axes.Axes, optional
        Where to draw; None makes a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    DataError
        If there is no score, or one is not three finite numbers.

    Examples
    --------
    >>> ax = plot_probes({"knn": {"latents": (0.9, 0.88, 0.92), "PCA": (0.85, 0.82, 0.87)}}, chance=0.1)
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['latents', 'PCA', 'chance']
    """
    scores = {probe: row for probe, row in scores.items() if row}
    sets = list(dict.fromkeys(name for row in scores.values() for name in row))
    numbers = _parse_scores((cell for row in scores.values() for cell in row.values()), 3, "value, low, high")
    cells = [(i, sets.index(name)) for i, row in enumerate(scores.values()) for name in row]
    probes, kinds = np.transpose(cells)
    n_rows = len(sets) + 1  # one is left free between two probes
    places = probes * n_rows + kinds
    ax = axes_or_new(ax, 6.6, 0.9 + 0.22 * n_rows * len(scores))
    for j, color in enumerate(palette(len(sets))):
        mine, marker = kinds == j, MARKERS[j % len(MARKERS)]
        _dots(ax, places[mine], numbers[mine], color, marker, _legend_name(sets[j]))
    if chance is not None:
        ax.axvline(float(chance), color=DARK, linestyle="--", linewidth=1, label="chance")
    middles = [places[probes == i].mean() for i in range(len(scores))]
    _name_rows(ax, middles, list(scores), n_rows * len(scores) - 1)
    ax.set_xlabel("accuracy on the test images")
    _legend_above(ax)
    return ax


@styled
def plot_confounders(columns: Mapping[str, Sequence[float]], ax: Axes | None = None) -> Axes:
    """Draw how well the latents predict each column, with intervals, beside chance.

    Parameters
    ----------
    columns : mapping of str to (score, chance, low, high)
        Column: score, the score of a guess, and the ends of the score's interval; all at most 1. What is
        farthest on the way from chance to 1 comes first. A dot is hollow where the
        interval reaches down to chance.
    ax : matplotlib.axes.Axes, optional
        Where to draw; None makes a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    DataError
        If there is no column, or its scores are not four finite numbers.

    Examples
    --------
    >>> ax = plot_confounders({"scanner": (0.52, 0.5, 0.49, 0.55), "slide": (0.8, 0.1, 0.78, 0.82)})
    >>> [text.get_text() for text in ax.get_yticklabels()]
    ['slide', 'scanner']
    """
    numbers = _parse_scores(columns.values(), 4, "score, chance, low, high")
    above = (numbers[:, 0] - numbers[:, 1]) / np.maximum(1 - numbers[:, 1], 1e-9)
    order = np.argsort(-above, kind="stable")
    names, numbers = [list(columns)[i] for i in order], numbers[order]
    places, chance, scores = np.arange(len(names)), numbers[:, 1], numbers[:, [0, 2, 3]]
    known = scores[:, 1] > chance
    ax = axes_or_new(ax, 6.6, 1.1 + 0.32 * len(names))
    ax.hlines(places, chance, scores[:, 0], color=FAINT, linewidth=1, zorder=1)
    _dots(ax, places[known], scores[known], MAIN, "o", "score")
    _dots(ax, places[~known], scores[~known], MAIN, "o", "interval reaches chance", hollow=True)
    ax.plot(chance, places, color=DARK, marker="|", markersize=11, linestyle="none", label="chance")
    _name_rows(ax, places, names, len(names))
    ax.set_xlim(min(0.0, *scores.min(axis=0)) - 0.03, 1.03)
    ax.set_xlabel("how well the latents predict it (balanced accuracy; R² of numbers)")
    _legend_above(ax)
    return ax


def _parse_scores(rows: Iterable, width: int, what: str) -> np.ndarray:
    """Return scores as an array of shape (n_scores, width)."""
    rows = list(rows)
    numbers = [as_numbers(row, "scores") for row in rows]
    if not rows or any(row.shape != (width,) or not np.isfinite(row).all() for row in numbers):
        wrong = next(
            (caption(row, 60) for row, n in zip(rows, numbers, strict=True) if n.shape != (width,)), ""
        )
        raise DataError(
            f"scores must be ({what}), finite numbers, at least once",
            wrong or ("NaN or infinity among them" if rows else "none"),
            "Give what the probes measured, and leave out what they could not.",
        )
    return np.array(numbers)


def _dots(ax: Axes, places, scores: np.ndarray, color, marker: str, label: str, hollow: bool = False) -> None:
    """Draw values, shape (n_rows, 3) with the ends of their intervals, and write them at the right end."""
    if not len(places):
        return
    face = "white" if hollow else color
    ax.hlines(places, scores[:, 1], scores[:, 2], color=color, linewidth=1.6)
    ax.plot(
        scores[:, 0],
        places,
        color=color,
        marker=marker,
        markerfacecolor=face,
        markersize=5.5,
        linestyle="none",
        label=label,
    )
    for place, row in zip(places, scores, strict=True):
        text = "{:.3f} [{:.3f}, {:.3f}]".format(*row).replace("-", "−")
        ax.text(1.02, place, text, transform=ax.get_yaxis_transform(), va="center", fontsize=8)


def _name_rows(ax: Axes, places, names: Sequence, n_rows: int) -> None:
    """Write names at the left, the first at the top."""
    ax.set_yticks(places, [caption(name, 30) for name in names])
    ax.set_ylim(n_rows - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)


def _legend_name(name) -> str:
    text = caption(name, 24)
    return f" {text}" if text.startswith("_") else text  # matplotlib would leave it out


def _legend_above(ax: Axes) -> None:
    names = ax.get_legend_handles_labels()[1]
    ncols = 4 if sum(map(len, names)) <= 50 else 2
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=ncols, frameon=False, borderaxespad=0.2)
