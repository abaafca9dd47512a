"""Pictures of images: a random sample, and originals beside their reconstructions."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from caescope.errors import DataError, OptionError
from caescope.images import parse_images, to_float
from caescope.plots.style import fitting, parse_count, parse_size, styled

LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
INK = "Greys"  # dark ink on white, as on paper
CAPTIONS = ("original", "reconstruction")


@styled
def plot_sample_imgs(
    images, n_rows=2, n_cols=6, size: float = 3, color=None, shuffle=True, labels=None, random_state=None
) -> np.ndarray:
    """Draw a random sample of images, each under its label or its index.

    Parameters
    ----------
    images : array_like, shape (n_images, height, width, channels) or (n_images, height, width)
        Floats in [0, 1] or uint8; 1 or 3 channels.
    n_rows, n_cols : int, 1 to 100
        Cells; they stay blank where there are fewer images.
    size : float
        Width of a cell, in inches.
    color : bool, optional
        None: one channel as dark ink on white, three as RGB. False: RGB as grey luminance. True: one
        channel as it is, 0 black and 1 white.
    shuffle : bool
        Draw at random without replacement; False takes the first ones.
    labels : array_like, shape (n_images,), optional
        Titles instead of the index.
    random_state : int, numpy.random.Generator or None
        Seed of the choice.

    Returns
    -------
    numpy.ndarray of matplotlib.axes.Axes, shape (n_rows, n_cols)

    Raises
    ------
    DataError, OptionError
        If the images, their labels or an option cannot be used.

    Examples
    --------
    >>> axes = plot_sample_imgs(np.zeros((5, 8, 8)), 1, 3, size=1, shuffle=False, labels=list("abcde"))
    >>> [ax.get_title() for ax in axes[0]]
    ['a', 'b', 'c']
    """
    images = parse_images(images)
    n_rows, n_cols, size = parse_count("n_rows", n_rows), parse_count("n_cols", n_cols), parse_size(size)
    names = _parse_names(labels, len(images))
    chosen = _choose(len(images), n_rows * n_cols, shuffle, random_state)
    axes = _empty_cells(n_rows, n_cols, size, images.shape[1:3], titles=n_rows)
    for ax, i in zip(axes.flat, chosen, strict=False):
        _draw(ax, images[i], color)
        _name(ax, names[i], size)
    return axes


@styled
def plot_paired_imgs(
    X_img, Y_img, N=6, orient="h", size: float = 3, color=None, shuffle=True, random_state=None, labels=None
) -> np.ndarray:
    """Draw images beside their reconstructions.

    Parameters
    ----------
    X_img, Y_img : array_like, shape (n_images, height, width, channels) or (n_images, height, width)
        Originals and reconstructions in the same order; floats in [0, 1] or uint8, 1 or 3 channels.
    N : int, 1 to 100
        How many pairs.
    orient : {"h", "v"}
        ``"h"``: originals above, reconstructions below. ``"v"``: originals left, reconstructions right.
    size, color, shuffle, random_state, labels
        As in :func:`plot_sample_imgs`.

    Returns
    -------
    numpy.ndarray of matplotlib.axes.Axes, shape (2, N) for "h" or (N, 2) for "v"

    Raises
    ------
    DataError
        If the two do not have the same shape, or cannot be used as images.
    OptionError
        If ``orient`` or another option is not valid.

    Examples
    --------
    >>> X = np.zeros((4, 8, 8, 1))
    >>> plot_paired_imgs(X, X, N=3, orient="v", size=1).shape
    (3, 2)
    """
    X_img, Y_img = _parse_pairs(X_img, Y_img)
    N, size = parse_count("N", N), parse_size(size)
    names = _parse_names(labels, len(X_img))
    chosen = _choose(len(X_img), N, shuffle, random_state)
    across = _parse_orient(orient) == "h"
    axes = _empty_cells(*((2, N) if across else (N, 2)), size, X_img.shape[1:3], titles=1)
    pairs = axes.T if across else axes
    for pair, i in zip(pairs, chosen, strict=False):
        _draw(pair[0], X_img[i], color)
        _draw(pair[1], Y_img[i], color)
        _name(pair[0], names[i], size, beside=not across)
    for ax, text in zip(pairs[0], CAPTIONS, strict=True):
        _name(ax, text, size, beside=across)
    return axes


def displayed(images: np.ndarray, color: bool | None) -> tuple[np.ndarray, str | None]:
    """Return parsed images as pixels for ``imshow`` and a colour map; ``color`` as in plot_sample_imgs."""
    pixels = to_float(images)
    if pixels.shape[-1] == 1 and color:
        return np.repeat(pixels, 3, axis=-1), None
    if pixels.shape[-1] == 1:
        return pixels[..., 0], INK
    if color is not None and not color:
        return pixels @ LUMA, "gray"
    return pixels, None


def parse_labels(labels, n_images: int):
    """Return labels as a list, one for each image."""
    labels = list(labels)
    if len(labels) != n_images:
        raise DataError(
            "labels must have one entry for each image",
            f"{len(labels)} labels and {n_images} images",
            "Give both in the same order and of the same length.",
        )
    return labels


def _draw(ax: Axes, image: np.ndarray, color: bool | None) -> None:
    pixels, cmap = displayed(image, color)
    ax.imshow(pixels, cmap=cmap, vmin=0, vmax=1)


def _parse_names(labels, n_images: int):
    return range(n_images) if labels is None else parse_labels(labels, n_images)


def _parse_pairs(X_img, Y_img) -> tuple[np.ndarray, np.ndarray]:
    X_img, Y_img = parse_images(X_img, "X_img"), parse_images(Y_img, "Y_img")
    if X_img.shape != Y_img.shape:
        raise DataError(
            "X_img and Y_img must have the same shape",
            f"{X_img.shape} and {Y_img.shape}",
            "Give the images and, in the same order, their reconstructions.",
        )
    return X_img, Y_img


def _parse_orient(orient) -> str:
    if orient not in ("h", "v"):
        raise OptionError(
            'orient must be "h" or "v"',
            f"orient={orient!r}",
            'Use "h" for originals above reconstructions, "v" for left and right.',
        )
    return orient


def _choose(n_images: int, count: int, shuffle: bool, random_state) -> np.ndarray:
    """Return at most ``count`` distinct indices."""
    count = min(count, n_images)
    if not shuffle:
        return np.arange(count)
    try:
        return np.random.default_rng(random_state).choice(n_images, count, replace=False)
    except (TypeError, ValueError) as error:
        raise OptionError(
            "random_state must be None, a non-negative integer or a numpy.random.Generator",
            f"random_state={random_state!r} ({error})",
            "Use for example random_state=0.",
        ) from None


def _empty_cells(n_rows: int, n_cols: int, size: float, shape: tuple[int, ...], titles: int) -> np.ndarray:
    """Return a grid of Axes for images of ``shape`` (height, width), ``titles`` of the rows under a title."""
    height = size * np.clip(shape[0] / shape[1], 0.25, 4)
    inches = n_cols * size, n_rows * height + titles * 2 * _title_points(size) / 72
    _, axes = plt.subplots(n_rows, n_cols, figsize=inches, squeeze=False)
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    return axes


def _title_points(size: float) -> float:
    """Return the font size of titles over pictures ``size`` inches wide."""
    return float(np.clip(5 + 2 * size, 6, 11))


def _name(ax: Axes, value, size: float, beside: bool = False) -> None:
    """Write ``value`` above a picture, or upright beside it."""
    points = _title_points(size)
    if beside:
        ax.set_ylabel(fitting(value, size, points), fontsize=points)
    else:
        ax.set_title(fitting(value, size, points), fontsize=points, pad=3)
