"""How far reconstructions are off: errors of all images, and the residuals of a few."""

from collections.abc import Mapping, Sequence
from itertools import groupby

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.image import AxesImage

from caescope.errors import DataError
from caescope.images import parse_images, to_float
from caescope.plots.images import CAPTIONS, displayed, parse_labels
from caescope.plots.style import (
    DARK,
    MAIN,
    SECOND,
    axes_or_new,
    caption,
    fitting,
    palette,
    parse_size,
    parse_vector,
    root_figure,
    styled,
)

FEWEST_STEPS, MOST_STEPS = 10, 60
MANY = 200  # images from which on a percentile leaves some out
MOST_COLUMNS = 40
ROWS = (*CAPTIONS, "residual")
RESIDUALS = "coolwarm"  # grey in the middle, where there is no difference
GAP = 0.2  # between two groups of columns, as a share of a column


@styled
def plot_errors(errors, ax: Axes | None = None) -> Axes:
    """Draw how the errors of each split's images are spread.

    Parameters
    ----------
    errors : dict of str to array_like, shape (n_images,)
        The mean squared error of each image, at least 0, by split: ``{"train": ..., "test": ...}``.
    ax : matplotlib.axes.Axes, optional
        Where to draw; None makes a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        Heights are shares of a split's images. From 200 images on the last step also holds what lies
        beyond the 99.5th percentile, so that a few large errors do not squeeze the others.

    Raises
    ------
    DataError
        If there are no errors, or some are not numbers of at least 0.

    Examples
    --------
    >>> ax = plot_errors({"train": [0.01, 0.02, 0.03], "test": [0.02, 0.04]})
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['train, 3 images, mean 0.02', 'test, 2 images, mean 0.03']
    """
    splits = _parse_errors(errors)
    ax = axes_or_new(ax, 6, 3.6)
    edges, most = _steps(list(splits.values()))
    colors = [MAIN, SECOND, DARK] if len(splits) <= 3 else palette(len(splits))
    for (name, values), color in zip(splits.items(), colors, strict=False):
        shares = np.histogram(np.minimum(values, edges[-1]), edges)[0] / len(values)
        label = f"{caption(name)}, {len(values):,} images, mean {values.mean():.3g}"
        ax.stairs(shares, edges, color=color, linewidth=1.4, label=label)
    beyond = f" (last step: {edges[-2]:.2g} to {most:.2g})" if most > edges[-1] else ""
    ax.set(xlabel=f"mean squared error of an image{beyond}", ylabel="share of the images")
    ax.set(xlim=(0, edges[-1]), ylim=(0, None))
    ax.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.3g}%")
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), frameon=False, borderaxespad=0.2)
    return ax


@styled
def plot_residuals(
    images, reconstructions, groups=None, names=None, size: float = 1.1, color=None
) -> np.ndarray:
    """Draw images above their reconstructions, and below what the reconstructions add and lack.

    Parameters
    ----------
    images, reconstructions : array_like, shape (n_images, height, width[, channels])
        At most 40, in the same order; floats in [0, 1] or uint8, 1 or 3 channels.
    groups : array_like, shape (n_images,), optional
        Titles above the columns: ``["best", "best", "worst", "worst"]``. Neighbours of one group share a
        title, and stand apart from the next.
    names : array_like, shape (n_images,), optional
        Captions below the columns, their labels or errors, say.
    size : float
        Width of an image, in inches.
    color : bool, optional
        As in :func:`caescope.plots.plot_sample_imgs`.

    Returns
    -------
    numpy.ndarray of matplotlib.axes.Axes, shape (3, n_images)
        Residuals are reconstruction − original, the mean over channels; grey is no difference. All share one
        scale, which is symmetric.

    Raises
    ------
    DataError, OptionError
        If the images, their names or groups, or an option cannot be used.

    Examples
    --------
    >>> axes = plot_residuals(np.zeros((2, 8, 8)), np.ones((2, 8, 8)), ["best", "worst"], ["a", "b"])
    >>> axes.shape, [ax.get_title(loc="left") for ax in axes[0]]
    ((3, 2), ['best', 'worst'])
    """
    images, reconstructions = _parse_pairs(images, reconstructions)
    size, n_images = parse_size(size), len(images)
    names = [""] * n_images if names is None else parse_labels(names, n_images)
    groups = [""] * n_images if groups is None else parse_labels(groups, n_images)
    residuals = (reconstructions - images).mean(axis=3)
    limit = float(np.abs(residuals).max()) or 1.0
    widths = [len(list(same)) for _, same in groupby(groups)]
    axes, beside = _columns(widths, size, images.shape[1:3])
    for ax, pixels in zip(axes[:2].flat, np.concatenate([images, reconstructions]), strict=True):
        shown, cmap = displayed(pixels, color)
        ax.imshow(shown, cmap=cmap, vmin=0, vmax=1)
    scale = {"cmap": RESIDUALS, "vmin": -limit, "vmax": limit}
    drawn = [ax.imshow(residual, **scale) for ax, residual in zip(axes[2], residuals, strict=True)]
    _draw_scale(beside, drawn[-1], images.shape[1:3])
    _write_texts(axes, names, groups, size)
    return axes


def _steps(splits: list[np.ndarray]) -> tuple[np.ndarray, float]:
    """Return the edges of the histograms' steps, and the largest error of all."""
    everything = np.concatenate(splits)
    most = float(everything.max())
    high = float(np.quantile(everything, 0.995)) if len(everything) >= MANY else most
    n_steps = np.clip(np.sqrt(min(map(len, splits))), FEWEST_STEPS, MOST_STEPS)
    return np.linspace(0, high or most or 1.0, int(n_steps) + 1), most


def _columns(widths: Sequence[int], size: float, shape: tuple[int, ...]) -> tuple[np.ndarray, Axes]:
    """Return cells, shape (3, n_images), in groups of ``widths`` columns, and what lies right of the last."""
    ratios = [ratio for width in widths for ratio in (*[1.0] * width, GAP)]
    height = size * float(np.clip(shape[0] / shape[1], 0.25, 4))
    inches = sum(ratios) * size + 0.9, len(ROWS) * height + 0.6
    _, axes = plt.subplots(len(ROWS), len(ratios), figsize=inches, squeeze=False, width_ratios=ratios)
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    return axes[:, np.asarray(ratios) == 1], axes[-1, -1]


def _draw_scale(ax: Axes, image: AxesImage, shape: tuple[int, ...]) -> None:
    """Draw the residuals' colours, as tall as a picture of ``shape`` (height, width)."""
    limit = image.get_clim()[1]
    bar = root_figure(ax).colorbar(image, cax=ax)
    bar.set_ticks([-limit, 0, limit], labels=[f"−{limit:.2g}", "0", f"+{limit:.2g}"])
    bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue, reportAttributeAccessIssue]
    ax.set_box_aspect(shape[0] / shape[1] / GAP)
    ax.set_anchor("W")


def _write_texts(axes: np.ndarray, names, groups, size: float) -> None:
    """Name rows on the left, columns below, and groups above their first column."""
    points = float(np.clip(5.5 + 2.5 * size, 6, 10))
    for ax, row in zip(axes[:, 0], ROWS, strict=True):
        ax.set_ylabel(fitting(row, size, points), fontsize=points)
    for ax, name in zip(axes[2], names, strict=True):
        ax.set_xlabel(fitting(name, size, points) if name != "" else "", fontsize=points)
    for i, group in enumerate(groups):
        if group != "" and (i == 0 or group != groups[i - 1]):
            axes[0, i].set_title(fitting(group, size, 10), loc="left")


def _parse_errors(errors) -> dict[str, np.ndarray]:
    if not isinstance(errors, Mapping) or not errors:
        raise DataError(
            "errors must be a dict of split to the errors of its images",
            f"a {type(errors).__name__}" if errors else "nothing",
            'Give for example {"train": errors}.',
        )
    return {name: parse_vector(values, f"errors of {caption(name)}") for name, values in errors.items()}


def _parse_pairs(images, reconstructions) -> tuple[np.ndarray, np.ndarray]:
    """Return both as float32, checked."""
    images, reconstructions = parse_images(images), parse_images(reconstructions, "reconstructions")
    if images.shape != reconstructions.shape or len(images) > MOST_COLUMNS:
        raise DataError(
            f"images and reconstructions must have the same shape, with at most {MOST_COLUMNS} images",
            f"{images.shape} and {reconstructions.shape}",
            "Give a few images and, in the same order, their reconstructions.",
        )
    return to_float(images), to_float(reconstructions)
