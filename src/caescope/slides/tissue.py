"""Where on a slide there is tissue, from a thumbnail of it."""

import numpy as np

BOUNDS = (0.05, 0.2)  # of the threshold on colourfulness: glass lies below, pale tissue above
SMALLEST = 2e-5  # share of the thumbnail; smaller specks are dust, smaller holes belong to the tissue
WHITE = 220  # of 255: a pixel that is brighter in the mean of its channels is glass


def tissue_mask(thumbnail: np.ndarray) -> np.ndarray:
    """Return where a thumbnail shows stained tissue.

    Colourfulness, the largest channel minus the smallest, is smoothed and cut at Otsu's threshold, which is
    kept within bounds, so that a blank slide has no tissue and one full of it is tissue all over. Specks and
    holes are then removed. Unstained or fluorescent slides, which have no colour, need another rule.

    Parameters
    ----------
    thumbnail : numpy.ndarray, shape (height, width, 3), uint8

    Returns
    -------
    numpy.ndarray, shape (height, width), bool

    References
    ----------
    N. Otsu. A threshold selection method from gray-level histograms. IEEE Trans Syst Man Cybern 9, 1979.

    Examples
    --------
    >>> thumbnail = np.full((60, 80, 3), 245, np.uint8)
    >>> thumbnail[20:40, 30:60] = (200, 120, 180)
    >>> int(tissue_mask(thumbnail).sum()), int(tissue_mask(thumbnail[:20]).sum())  # corners are rounded
    (596, 0)
    """
    from scipy.ndimage import median_filter
    from skimage.filters import threshold_otsu

    red, green, blue = np.moveaxis(thumbnail, -1, 0)
    most, least = (both(both(red, green), blue) for both in (np.maximum, np.minimum))
    colour = median_filter(most - least, size=3)
    cut = np.clip(threshold_otsu(colour) / 255 if colour.min() < colour.max() else 0, *BOUNDS)
    return _without_specks(colour > 255 * cut)


def white_mask(pixels: np.ndarray) -> np.ndarray:
    """Return which pixels are white: the mean of the channels is above 220 of 255.

    >>> white_mask(np.array([[[255, 255, 255], [230, 220, 210], [240, 200, 240]]], np.uint8))
    array([[ True, False,  True]])
    """
    return pixels.sum(axis=-1, dtype=np.uint16) > WHITE * pixels.shape[-1]


def white_fraction(images: np.ndarray) -> np.ndarray:
    """Return the share of white pixels in each image, in [0, 1].

    Parameters
    ----------
    images : numpy.ndarray, shape (n, height, width, 3), uint8

    Returns
    -------
    numpy.ndarray, shape (n,), float

    Examples
    --------
    >>> white_fraction(np.stack([np.full((2, 2, 3), 255), np.zeros((2, 2, 3))]).astype(np.uint8))
    array([1., 0.])
    """
    return white_mask(images).mean(axis=(1, 2))


def tissue_share(mask: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Return the share of each box's area that is tissue, in [0, 1].

    It is exact for boxes whose sides lie between pixels: the mask is summed up once, and a sum over a part of
    a pixel is linear in that part.

    Parameters
    ----------
    mask : numpy.ndarray, shape (height, width), bool
    boxes : numpy.ndarray, shape (n, 4), float
        Left, top, right and bottom, in pixels of the mask; what lies outside of it is no tissue.

    Returns
    -------
    numpy.ndarray, shape (n,), float

    References
    ----------
    F. Crow. Summed-area tables for texture mapping. SIGGRAPH 1984.

    Examples
    --------
    >>> mask = np.array([[True, False], [False, False]])
    >>> tissue_share(mask, np.array([[0, 0, 1, 1], [0, 0, 2, 2], [0.5, 0, 1.5, 1], [-1, 0, 1, 1]]))
    array([1.  , 0.25, 0.5 , 0.5 ])
    """
    return share_within(summed(mask), *np.asarray(boxes, float).T)


def summed(mask: np.ndarray) -> np.ndarray:
    """Return how much of the mask lies above and left of each corner of pixels, (height + 1, width + 1)."""
    return np.pad(mask.cumsum(axis=0, dtype=np.int64).cumsum(axis=1), [(1, 0), (1, 0)])


def share_within(
    table: np.ndarray, left: np.ndarray, top: np.ndarray, right: np.ndarray, bottom: np.ndarray
) -> np.ndarray:
    """Return what `tissue_share` does for the sides of boxes, which broadcast, from what `summed` returns."""
    inside = (
        _at(table, bottom, right) - _at(table, top, right) - _at(table, bottom, left) + _at(table, top, left)
    )
    return np.clip(inside / ((right - left) * (bottom - top)), 0, 1)


def _at(table: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return the table at any points, between its corners or outside."""
    row, down = _split(y, table.shape[0])
    column, along = _split(x, table.shape[1])
    above = table[row, column] * (1 - along) + table[row, column + 1] * along
    below = table[row + 1, column] * (1 - along) + table[row + 1, column + 1] * along
    return above * (1 - down) + below * down


def _split(positions: np.ndarray, n_corners: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the corner before each position, and how far behind it the position is."""
    positions = np.clip(positions, 0, n_corners - 1)
    before = np.minimum(positions.astype(np.intp), n_corners - 2)
    return before, positions - before


def _without_specks(mask: np.ndarray) -> np.ndarray:
    """Remove small objects and holes; scikit-image's functions for it take other arguments by version."""
    from scipy.ndimage import label

    smallest = SMALLEST * mask.size
    for value in (True, False):  # specks first, then holes
        parts = np.empty(mask.shape, np.int32)
        label(mask == value, output=parts)
        small = np.bincount(parts.ravel()) < smallest
        small[0] = False
        mask = mask ^ small[parts]
    return mask
