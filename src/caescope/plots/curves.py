"""Curves and bars over epochs, principal components and latents."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from caescope.errors import DataError
from caescope.plots.style import (
    DARK,
    MAIN,
    SECOND,
    as_numbers,
    axes_or_new,
    caption,
    name_ticks,
    palette,
    parse_vector,
    styled,
    whole_ticks,
)

LOSS_NAMES = {"loss": "training", "val_loss": "validation"}
RECONSTRUCTION = "reconstruction_loss"
ALIKE = {RECONSTRUCTION: "training", "val_loss": "validation"}  # where the loss is made of more than that


@styled
def plot_loss(history, ax: Axes | None = None, *, kept: int | None = None) -> Axes:
    """Draw the loss of each epoch, for training and validation images.

    Parameters
    ----------
    history : dict of str to sequence of float, or an object with such a dict as ``.history``
        Keras's history: ``{"loss": [...], "val_loss": [...]}``. Every key that ends in "loss" is drawn;
        others (a learning rate, say) have another unit and are left out. Where there is a
        "reconstruction_loss", it is drawn in place of the loss that it is a part of, beside "val_loss", which
        measures the same.
    ax : matplotlib.axes.Axes, optional
        Where to draw; None makes a new figure.
    kept : int, optional
        The epoch, counted from 1, whose weights the training ended with; it is marked.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    DataError
        If there is no loss, or a loss is not a sequence of numbers.

    Examples
    --------
    >>> ax = plot_loss({"loss": [0.05, 0.02], "val_loss": [0.03, 0.02]})
    >>> [line.get_xdata().tolist() for line in ax.lines]
    [[1, 2], [1, 2]]
    """
    losses = _parse_history(history)
    ax = axes_or_new(ax, 6, 3.6)
    for (name, values), color in zip(losses.items(), _loss_colors(len(losses)), strict=True):
        marker = "o" if len(values) <= 40 else None
        ax.plot(np.arange(1, len(values) + 1), values, color=color, marker=marker, markersize=4, label=name)
    n_epochs = max(map(len, losses.values()))
    margin = max(0.02 * n_epochs, 0.05 if n_epochs > 1 else 0.5)
    ax.set(xlabel="epoch", ylabel="loss", xlim=(1 - min(margin, 0.5), n_epochs + margin))
    whole_ticks(ax.xaxis)
    if len(losses) <= 2:
        _name_ends(ax)
    else:
        ax.legend(frameon=False)
    if kept is not None:
        _mark(ax, kept)
    return ax


def _mark(ax: Axes, kept: int) -> None:
    """Draw a line at an epoch, and its name on the side where there is room."""
    left, right = ax.get_xlim()
    side, margin = ("right", -4) if kept > (left + right) / 2 else ("left", 4)
    ax.axvline(kept, color=DARK, linestyle="--", linewidth=1)
    where = {"xy": (kept, 1), "xycoords": ("data", "axes fraction"), "textcoords": "offset points"}
    ax.annotate(f"kept: epoch {kept}", xytext=(margin, -4), ha=side, va="top", **where)


@styled
def plot_explained_variance(ratio, ax: Axes | None = None) -> Axes:
    """Draw the share of variance that each principal component explains, and their running sum.

    Parameters
    ----------
    ratio : array_like, shape (n_components,)
        Shares in [0, 1], as scikit-learn's ``explained_variance_ratio_``; they sum to at most 1.
    ax : matplotlib.axes.Axes, optional
        Where to draw; None makes a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    DataError
        If the shares are not numbers in [0, 1].

    Examples
    --------
    >>> ax = plot_explained_variance([0.6, 0.3, 0.1])
    >>> [float(bar.get_height()) for bar in ax.patches]
    [0.6, 0.3, 0.1]
    """
    # Rounding can carry the share of a single component just above 1.
    ratio = parse_vector(ratio, "ratio", high=1 + 1e-6)
    places = np.arange(1, len(ratio) + 1)
    ax = axes_or_new(ax, _width(len(ratio)), 3.6)
    total = np.cumsum(ratio)
    ax.bar(places, ratio, color=MAIN, width=0.8 if len(ratio) <= 100 else 1.0)
    ax.plot(places, total, color=DARK, marker="o" if len(ratio) <= 40 else None, markersize=4)
    _name_end(ax, places[-1], total[-1], f"cumulative\n{total[-1]:.1%}", DARK)
    ax.set(xlabel="principal component", ylabel="explained variance", ylim=(0, 1.03))
    ax.set_xlim(0.4, len(ratio) + 0.6)
    if len(ratio) <= 20:
        ax.set_xticks(places)
    else:
        whole_ticks(ax.xaxis)
    ax.yaxis.set_major_formatter(PercentFormatter(1.0))
    return ax


@styled
def plot_latent_std(std, ax: Axes | None = None, dead=None) -> Axes:
    """Draw the standard deviation of each latent variable and mark the dead ones.

    Parameters
    ----------
    std : array_like, shape (latent_features,)
        Standard deviations over the images, at least 0, in the latents' unit.
    ax : matplotlib.axes.Axes, optional
        Where to draw; None makes a new figure.
    dead : array_like of bool, shape (latent_features,), optional
        Which variables are constant; None: those with a standard deviation of exactly 0.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    DataError
        If the numbers are not finite and at least 0, or ``dead`` has another length.

    Examples
    --------
    >>> plot_latent_std([0.5, 0.0, 1.0]).get_title(loc="left")
    '1 of 3 latent variables is dead (constant)'
    """
    std = parse_vector(std, "std")
    dead = _parse_dead(dead, std)
    ax = axes_or_new(ax, _width(len(std)), 3.6)
    width = 0.8 if len(std) <= 100 else 1.0
    top = 1.05 * std.max() or 1.0
    ax.bar(np.arange(len(std)), std, color=MAIN, width=width)
    ax.bar(np.flatnonzero(dead), top, width=width, **_dead_look(len(std)))
    ax.set(xlabel="latent variable", ylabel="standard deviation", ylim=(0, top), xlim=(-0.7, len(std) - 0.3))
    ax.set_title(_dead_title(int(dead.sum()), len(std)), loc="left", color=SECOND if dead.any() else DARK)
    name_ticks(ax.xaxis, [f"z{i:03d}" for i in range(len(std))], most=20, fontsize=8)
    return ax


def _parse_history(history) -> dict[str, np.ndarray]:
    """Return name → losses, shape (n_epochs,)."""
    history = getattr(history, "history", history)
    keys = list(history) if isinstance(history, Mapping) else []
    drawn = [key for key in keys if str(key).endswith("loss")]
    names = LOSS_NAMES
    if RECONSTRUCTION in drawn:
        drawn, names = [key for key in drawn if key in ALIKE], ALIKE
    losses = {names.get(key, caption(key)): as_numbers(history[key], f"history[{key!r}]") for key in drawn}
    if not losses or any(values.ndim != 1 or values.size == 0 for values in losses.values()):
        raise DataError(
            'history must hold a sequence of numbers, one for each epoch, under "loss"',
            f"a {type(history).__name__} with keys {keys}",
            "Give what fit returned, or its .history.",
        )
    return losses


def _loss_colors(n: int) -> list:
    return [MAIN, SECOND][:n] if n <= 2 else palette(n)


def _name_ends(ax: Axes) -> None:
    """Name one or two lines at their last finite value, the higher above and the lower below."""
    ends = []
    for line in ax.lines:
        x, y = np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)
        last = np.flatnonzero(np.isfinite(y))[-1:]
        ends += [(y[i], x[i], line) for i in last]
    for (y, x, line), shift in zip(sorted(ends, key=lambda end: -end[0]), (5, -5), strict=False):
        text = f"{line.get_label()} {y:.3g}"
        _name_end(ax, x, y, text, line.get_color(), shift if len(ends) == 2 else 0)


def _name_end(ax: Axes, x: float, y: float, text: str, color, shift: int = 0) -> None:
    """Write ``text`` to the right of a line's end, ``shift`` points above it."""
    ax.annotate(
        text, (x, y), (8, shift), textcoords="offset points", va="center", color=color, annotation_clip=False
    )


def _width(n_bars: int) -> float:
    return float(np.clip(1.5 + 0.32 * n_bars, 4.5, 8))


def _parse_dead(dead, std: np.ndarray) -> np.ndarray:
    dead = std == 0 if dead is None else np.asarray(dead, dtype=bool)
    if dead.shape != std.shape:
        raise DataError(
            "dead must have one entry for each latent variable",
            f"shapes {dead.shape} and {std.shape}",
            "Leave it out, or give a boolean for each variable.",
        )
    return dead


def _dead_look(n: int) -> dict:
    """Return hatched columns, or plain ones where they are too narrow for hatching."""
    if n <= 100:
        return {"facecolor": "none", "edgecolor": SECOND, "hatch": "////", "linewidth": 0}
    return {"facecolor": SECOND, "alpha": 0.3, "linewidth": 0}


def _dead_title(n_dead: int, n: int) -> str:
    if not n_dead:
        return f"all {n} latent variables vary"
    return f"{n_dead} of {n} latent variables {'is' if n_dead == 1 else 'are'} dead (constant)"
