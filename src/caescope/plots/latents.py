"""What latent variables have in common, and what each of them does."""

import numpy as np
from matplotlib.axes import Axes

from caescope.errors import DataError
from caescope.images import parse_images
from caescope.plots.clusters import mosaic
from caescope.plots.images import INK, displayed, parse_labels
from caescope.plots.style import (
    DARK,
    as_numbers,
    axes_or_new,
    fitting,
    name_ticks,
    parse_size,
    root_figure,
    styled,
)

MOST_NUMBERS = 12  # variables; with more, numbers in the cells would not be legible
MOST_ROWS = 256


@styled
def plot_correlation(matrix, ax: Axes | None = None) -> Axes:
    """Draw the correlations of latent variables; numbers are written for up to 12 of them.

    Parameters
    ----------
    matrix : array_like, shape (latent_features, latent_features)
        Pearson's r, in [-1, 1].
    ax : matplotlib.axes.Axes, optional
        Where to draw; None makes a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    DataError
        If the matrix is not square, or not of numbers in [-1, 1].

    Examples
    --------
    >>> ax = plot_correlation([[1, -0.5], [-0.5, 1]])
    >>> [text.get_text() for text in ax.get_xticklabels()], ax.texts[1].get_text()
    (['z000', 'z001'], '−0.50')
    """
    matrix = _parse_matrix(matrix)
    n = len(matrix)
    side = float(np.clip(1.5 + 0.45 * n, 2.5, 6))
    ax = axes_or_new(ax, side + 0.9, side)
    image = ax.imshow(matrix, cmap="RdBu_r", vmin=-1, vmax=1)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    names = _variable_names(n)
    name_ticks(ax.yaxis, names, most=20)
    name_ticks(ax.xaxis, names, most=20, rotation=90)
    bar = root_figure(ax).colorbar(image, ax=ax, label="correlation", shrink=0.8, aspect=25)
    bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue, reportAttributeAccessIssue]
    if n <= MOST_NUMBERS:
        _write_numbers(ax, matrix)
    return ax


@styled
def plot_sweeps(images, names=None, size: float = 0.6, color=None, ax: Axes | None = None) -> Axes:
    """Draw what each latent variable does: a row for each, decoded from its low to its high values.

    Parameters
    ----------
    images : array_like, shape (n_variables, n_steps, height, width, channels)
        The decoded latents of :func:`caescope.analysis.sweeps.sweep_latents`, of at most 256 variables;
        floats in [0, 1] or uint8, 1 or 3 channels.
    names : array_like, shape (n_variables,), optional
        Names of the rows; None: z000, z001, ...
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
        If the images, their names or an option cannot be used.

    Examples
    --------
    >>> ax = plot_sweeps(np.zeros((2, 7, 8, 8, 1)))
    >>> [text.get_text() for text in ax.get_yticklabels()]
    ['z000', 'z001']
    """
    images, size = _parse_sweeps(images), parse_size(size)
    n_rows, n_cols, height, width = images.shape[:4]
    names = _variable_names(n_rows) if names is None else parse_labels(names, n_rows)
    pixels, cmap = displayed(images.reshape(-1, *images.shape[2:]), color)
    sheet = mosaic(pixels, n_cols, blank=0.0 if cmap == INK else 1.0)
    inches = n_cols * size
    ax = axes_or_new(ax, inches + 0.7, inches * sheet.shape[0] / sheet.shape[1] + 0.4)
    # A unit of the axes is a cell, whatever its pixels
    extent, aspect = (-0.5, n_cols - 0.5, n_rows - 0.5, -0.5), height / width
    ax.imshow(sheet, cmap=cmap, vmin=0, vmax=1, extent=extent, aspect=aspect)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.xaxis.tick_top()
    ax.set_xticks([0, n_cols - 1], ["low", "high"])
    ax.set_yticks(range(n_rows), [fitting(name, 1.2, 8.5) for name in names])
    return ax


def _variable_names(n: int) -> list[str]:
    return [f"z{i:03d}" for i in range(n)]


def _write_numbers(ax: Axes, matrix: np.ndarray) -> None:
    for (row, column), r in np.ndenumerate(matrix):
        text = f"{r:.2f}".replace("-", "−")
        ax.text(
            column, row, text, ha="center", va="center", fontsize=8, color="white" if abs(r) > 0.6 else DARK
        )


def _parse_matrix(matrix) -> np.ndarray:
    matrix = as_numbers(matrix, "matrix")
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not matrix.size:
        raise DataError(
            "matrix must have a row and a column for each variable",
            f"shape {matrix.shape}",
            "Give the correlation that audit_latents returned.",
        )
    # Rounding can carry a correlation just above 1
    if not (matrix.min() >= -1 - 1e-6 and matrix.max() <= 1 + 1e-6):
        raise DataError(
            "matrix must hold correlations, from -1 to 1",
            f"values from {matrix.min():g} to {matrix.max():g}",
            "Give the correlation that audit_latents returned.",
        )
    return matrix


def _parse_sweeps(images) -> np.ndarray:
    """Return decoded sweeps with a channel axis, checked."""
    images = np.asarray(images)
    if images.ndim not in (4, 5) or not images.size or len(images) > MOST_ROWS or images.shape[1] < 2:
        raise DataError(
            f"Sweeps must have shape (n_variables, n_steps, height, width, channels), of 1 to {MOST_ROWS} "
            "variables in at least 2 steps",
            f"shape {images.shape}",
            "Decode what sweep_latents returned and bring it to this shape.",
        )
    parsed = parse_images(images.reshape(-1, *images.shape[2:]), "sweeps")
    return parsed.reshape(*images.shape[:2], *parsed.shape[1:])
