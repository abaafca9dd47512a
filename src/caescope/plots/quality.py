"""How good clusters are: by their number, by whether they come back, by the method that found them."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from caescope.errors import DataError, OptionError
from caescope.plots.style import (
    DARK,
    FAINT,
    MAIN,
    SECOND,
    axes_or_new,
    caption,
    name_ticks,
    palette,
    parse_vector,
    styled,
    whole_ticks,
)

LEAST_JACCARD = 0.6
HALO = [withStroke(linewidth=2.5, foreground="white")]  # the dashed line may run behind digits
METHOD_NAMES = {"kmeans": "KMeans", "mixture": "Gaussian mixture", "hdbscan": "HDBSCAN"}
MEASURES = {
    "silhouette": "silhouette ↑",
    "nmi": "NMI ↑",
    "gini_mean": "mean Gini ↓",
    "noise": "in no cluster",
}
PITCH = 1.5  # from one column to the next, where a bar of value 1 is 1 long


@styled
def plot_silhouette_curve(ks, values, chosen: int, ax: Axes | None = None) -> Axes:
    """Draw the mean silhouette for each number of clusters, and mark the one that was chosen.

    Parameters
    ----------
    ks : array_like, shape (n,), int
        Numbers of clusters.
    values : array_like, shape (n,)
        Their mean silhouettes, in [-1, 1].
    chosen : int
        One of ``ks``.
    ax : matplotlib.axes.Axes, optional
        Where to draw; None makes a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    DataError
        If the two are empty, of different lengths or out of range.
    OptionError
        If the chosen number is not among them.

    Examples
    --------
    >>> ax = plot_silhouette_curve([2, 3, 4], [0.4, 0.6, 0.5], chosen=3)
    >>> ax.texts[0].get_text()
    'K = 3: 0.600'
    """
    numbers, heights = parse_vector(ks, "ks", low=1), parse_vector(values, "silhouettes", -1, 1)
    if len(numbers) != len(heights):
        raise DataError(
            "ks and silhouettes must be as many",
            f"{len(numbers)} and {len(heights)}",
            "Give what choose_k returned.",
        )
    if chosen not in numbers:
        raise OptionError("chosen must be one of ks", f"chosen={chosen!r}", "Give what choose_k returned.")
    best = heights[numbers == chosen][0]
    ax = axes_or_new(ax, 6, 3.6)
    ax.axvline(chosen, color=DARK, linestyle="--", linewidth=1)
    ax.plot(numbers, heights, color=MAIN, marker="o" if len(numbers) <= 40 else None, markersize=4)
    ax.plot([chosen], [best], color=DARK, marker="o", markersize=7, linestyle="none")
    side = "right" if chosen > numbers.mean() else "left"
    shift = -8 if side == "right" else 8
    text = f"K = {chosen:g}: {best:.3f}"
    ax.annotate(text, (chosen, best), (shift, 9), textcoords="offset points", ha=side, path_effects=HALO)
    # From zero, so that a flat curve looks flat
    low, high = min(0.0, heights.min()), max(0.1, heights.max())
    ax.set(xlabel="number of clusters K", ylabel="mean silhouette", ylim=(1.1 * low, 1.18 * high))
    ax.set_xlim(numbers.min() - 0.7, numbers.max() + 0.7)
    whole_ticks(ax.xaxis)
    return ax


@styled
def plot_stability(jaccard: Mapping, halves: Mapping | None = None, ax: Axes | None = None) -> Axes:
    """Draw how far each cluster comes back, best first, and where that is not enough.

    Parameters
    ----------
    jaccard : dict of cluster to float in [0, 1]
        On resamples, as :func:`caescope.analysis.stability.judge_stability` returns it: a bar each.
    halves : dict of cluster to float in [0, 1], optional
        On halves of the images, of the same clusters: a dot each. A cluster of less than 0.6 in either is
        red.
    ax : matplotlib.axes.Axes, optional
        Where to draw; None makes a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    DataError
        If there is no cluster, a value is outside [0, 1], or the two are of different clusters.

    Examples
    --------
    >>> ax = plot_stability({0: 0.5, 1: 0.9})
    >>> [float(bar.get_height()) for bar in ax.patches], [text.get_text() for text in ax.get_xticklabels()]
    ([0.9, 0.5], ['1', '0'])
    """
    names, bars, dots = _parse_jaccard(jaccard, halves)
    places = np.arange(len(names))
    ax = axes_or_new(ax, float(np.clip(1.5 + 0.32 * len(names), 4.5, 9)), 3.6)
    colors = [SECOND if value < LEAST_JACCARD else MAIN for value in np.minimum(bars, dots)]
    ax.bar(places, bars, color=colors, width=0.8 if len(names) <= 100 else 1.0, label="resamples")
    ax.axhline(LEAST_JACCARD, color=DARK, linestyle="--", linewidth=1)
    if halves is not None:
        ax.plot(
            places, dots, linestyle="none", marker="o", color=DARK, markeredgecolor="white", label="halves"
        )
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False)
    elif len(names) <= 25:
        for place, value in enumerate(bars):
            text = f"{value:.2f}"
            ax.text(place, value + 0.012, text, ha="center", fontsize=7.5, path_effects=HALO, zorder=3)
    ax.text(
        1.01, LEAST_JACCARD, "below:\nunstable", transform=ax.get_yaxis_transform(), va="center", color=SECOND
    )
    ax.set(xlabel="cluster", ylabel="Jaccard index", xlim=(-0.7, len(names) - 0.3), ylim=(0, 1.05))
    long = max(map(len, names)) > 3
    name_ticks(ax.xaxis, names, most=30, **({"rotation": 45, "ha": "right"} if long else {}))
    return ax


@styled
def plot_clusterings(rows: Sequence[Mapping[str, Any]], ax: Axes | None = None) -> Axes:
    """Draw what several clusterings are worth, side by side: a row each, a column for each measure.

    Parameters
    ----------
    rows : sequence of dict
        ``method``, ``on`` ("map" or "latents") and ``k``, and what is known of ``silhouette`` (-1 to 1),
        ``nmi``, ``gini_mean`` and ``noise`` (0 to 1); others are not drawn.
    ax : matplotlib.axes.Axes, optional
        Where to draw; None makes a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    DataError
        If there are no rows, or one lacks its name or holds a value out of range.

    Examples
    --------
    >>> rows = [{"method": "kmeans", "on": on, "k": 20, "silhouette": 0.4} for on in ("map", "latents")]
    >>> [text.get_text() for text in plot_clusterings(rows).get_yticklabels()]
    ['KMeans, map, K = 20', 'KMeans, latents, K = 20']
    """
    rows = _parse_rows(rows)
    measures = [name for name in MEASURES if any(name in row for row in rows)]
    places = _places([row["method"] for row in rows])
    spaces = list(dict.fromkeys(row["on"] for row in rows))
    colors = dict(zip(spaces, palette(len(spaces)), strict=True))
    ax = axes_or_new(ax, 2.4 + 1.4 * len(measures), 0.9 + 0.27 * (places[-1] + 1))
    for column, measure in enumerate(measures):
        ax.text(PITCH * column, -0.75, MEASURES[measure], va="bottom", color=DARK)
        for place, row in zip(places, rows, strict=True):
            _draw_cell(ax, PITCH * column, place, row.get(measure), colors[row["on"]])
    ax.set_yticks(places, [_row_name(row) for row in rows])
    ax.set(xticks=[], ylim=(places[-1] + 0.7, -1.3), xlim=(-0.35, PITCH * len(measures)))
    ax.tick_params(axis="y", length=0)
    ax.spines[:].set_visible(False)
    return ax


def _draw_cell(ax: Axes, left: float, place: float, value: float | None, color) -> None:
    """Draw a value in [-1, 1] as a bar on a track from 0 to 1, with its number at the end."""
    ax.barh(place, 1, left=left, height=0.7, color=FAINT, alpha=0.3)
    if value is None:
        ax.text(left + 0.03, place, "–", va="center_baseline", fontsize=8)
        return
    ax.barh(place, value, left=left, height=0.7, color=color)
    end = left + max(value, 0) + 0.03
    text = f"{value:.2f}".replace("-", "−")
    ax.text(end, place, text, va="center_baseline", fontsize=8, path_effects=HALO)


def _row_name(row: Mapping[str, Any]) -> str:
    method = METHOD_NAMES.get(row["method"]) or caption(row["method"], 20)
    return f"{method}, {caption(row['on'], 12)}, K = {caption(row['k'], 8)}"


def _places(methods: Sequence) -> list[float]:
    """Return where rows go, one below the other, with a gap wherever the method changes."""
    places = [0.0]
    for before, method in pairwise(methods):
        places.append(places[-1] + (1.0 if method == before else 1.5))
    return places


def _parse_jaccard(jaccard, halves) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Return the clusters' names and both of their values, the highest first."""
    if not isinstance(jaccard, Mapping) or not isinstance(halves, Mapping | None):
        raise DataError(
            "jaccard and halves must be dicts of cluster to Jaccard index",
            f"a {type(jaccard).__name__} and a {type(halves).__name__}",
            "Give what judge_stability returned.",
        )
    if halves is not None and set(halves) != set(jaccard):
        raise DataError(
            "jaccard and halves must be of the same clusters",
            f"{len(jaccard)} and {len(halves)} clusters, not all the same",
            "Give what judge_stability returned.",
        )
    bars = parse_vector(list(jaccard.values()), "Jaccard indices", high=1)
    dots = bars if halves is None else parse_vector([halves[name] for name in jaccard], "halves", high=1)
    order = np.argsort(-np.minimum(bars, dots), kind="stable")
    names = [caption(cluster, 20) for cluster in jaccard]
    return [names[i] for i in order], bars[order], dots[order]


def _parse_rows(rows) -> list[dict[str, Any]]:
    parsed = [dict(row) for row in rows]
    if not parsed or any({"method", "on", "k"} - row.keys() for row in parsed):
        raise DataError(
            "rows must be dicts with method, on and k, and at least one",
            f"{len(parsed)} rows with keys {[sorted(map(str, row)) for row in parsed[:3]]}",
            "Give the clusterings of metrics.json.",
        )
    for row in parsed:
        for measure in MEASURES.keys() & row.keys():
            low = -1 if measure == "silhouette" else 0
            row[measure] = float(parse_vector([row[measure]], measure, low, 1)[0])
    return parsed
