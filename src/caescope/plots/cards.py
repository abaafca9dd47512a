"""All that one cluster looks like, in one picture."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from caescope.images import parse_images
from caescope.plots.clusters import mosaic
from caescope.plots.images import INK, displayed
from caescope.plots.style import fitting, parse_count, parse_size, styled

SIDE = 2  # columns of the sheet that the single pictures beside it are wide


@styled
def plot_cluster_card(
    nearest, boundary=None, medoid=None, mean=None, title=None, n_cols=9, size=0.75, color=None
) -> np.ndarray:
    """Draw a cluster: its medoid and decoded mean, the images nearest to its centre, and those at its border.

    Parameters
    ----------
    nearest : array_like, shape (n_images, height, width, channels) or (n_images, height, width)
        Floats in [0, 1] or uint8, 1 or 3 channels; drawn row by row.
    boundary : array_like, the same shape, optional
        Images nearly as near to another cluster, drawn below.
    medoid, mean : array_like, shape (height, width, channels), optional
        One image, and what the decoder makes of the cluster's mean latents, drawn beside.
    title : str, optional
        For example ``"cluster 3 · 2,519 images · mostly “7” (96 %)"``.
    n_cols : int, 1 to 100
        Images in a row.
    size : float
        Width of an image in inches.
    color : bool, optional
        As in :func:`caescope.plots.plot_sample_imgs`.

    Returns
    -------
    numpy.ndarray of matplotlib.axes.Axes, one for each of what was given

    Raises
    ------
    DataError, OptionError
        If the images or an option cannot be used.

    Examples
    --------
    >>> images = np.zeros((7, 8, 8))
    >>> [ax.get_title("left") for ax in plot_cluster_card(images, images[:2], images[0], title="cluster 0")]
    ['nearest to the centre', 'at the border', 'medoid']
    """
    n_cols, size = parse_count("n_cols", n_cols), parse_size(size)
    sheets = {"nearest to the centre": _sheet(nearest, n_cols, color)}
    if boundary is not None:
        sheets["at the border"] = _sheet(boundary, n_cols, color)
    singles = {"medoid": medoid, "decoded mean": mean}
    singles = {name: _sheet([image], 1, color) for name, image in singles.items() if image is not None}
    inches = [n_cols * size * sheet[0].shape[0] / sheet[0].shape[1] + 0.25 for sheet in sheets.values()]
    side = [SIDE * size] if singles else []
    figure = plt.figure(figsize=(n_cols * size + sum(side), max(sum(inches), 0.5) + (0.3 if title else 0)))
    columns = figure.add_gridspec(1, 1 + len(side), width_ratios=[*side, n_cols * size])
    axes = _stack(figure, columns[0, -1], sheets, inches)
    if singles:
        axes += _stack(figure, columns[0, 0], singles, [1.0] * len(singles))
    if title:
        figure.suptitle(fitting(title, max(n_cols * size, 3), 10), x=0.01, ha="left", fontsize=10)
    return np.array(axes)


def _sheet(images, n_cols: int, color: bool | None) -> tuple[np.ndarray, str | None]:
    """Return images laid row by row into one picture, and its colour map."""
    pixels, cmap = displayed(parse_images(np.asarray(images)), color)
    return mosaic(pixels, n_cols, blank=0.0 if cmap == INK else 1.0), cmap


def _stack(figure, place, pictures: dict, heights: list[float]) -> list[Axes]:
    """Draw pictures one below the other, each under its name."""
    cells, axes = place.subgridspec(len(pictures), 1, height_ratios=heights), []
    for i, (name, (pixels, cmap)) in enumerate(pictures.items()):
        ax = figure.add_subplot(cells[i])
        ax.imshow(pixels, cmap=cmap, vmin=0, vmax=1)
        ax.set(xticks=[], yticks=[], anchor="NW")
        ax.spines[:].set_visible(False)
        ax.set_title(name, fontsize=8, loc="left", pad=2)
        axes.append(ax)
    return axes
