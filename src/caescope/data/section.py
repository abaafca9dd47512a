"""Tiles of one picture in memory, such as a photograph of a stained section."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from caescope.data.sources import ArraySource

TILE = 16  # pixels; small enough for a thousand tiles, large enough for a nucleus and its surroundings


@dataclass(frozen=True, eq=False, repr=False)
class SectionSource(ArraySource):
    """Tiles of a picture, and the picture, on which they can be shown.

    Parameters
    ----------
    picture : numpy.ndarray, shape (height, width, 3), uint8
        The others are those of `ArraySource`.
    """

    picture: Any = None

    def thumbnails(self, most: int, _largest_side: int) -> Iterator[tuple[str, np.ndarray, float]]:
        """Yield the picture as the only slide: its name, pixels, and pixels of level 0 for each of them."""
        yield from [(self.name, self.picture, 1.0)][:most]


def load_tissue() -> SectionSource:
    """Return 1,024 tiles of the stained section that comes with scikit-image.

    Returns
    -------
    SectionSource
        Images of shape (1024, 16, 16, 3), uint8, which do not overlap, with the columns of tiles of slides.

    References
    ----------
    A section of a human colon with immunohistochemical (FHL2) and haematoxylin staining, Center for
    Microscopy and Molecular Imaging, in scikit-image's ``data.immunohistochemistry``.

    Examples
    --------
    >>> load_tissue()
    SectionSource('tissue', 1024 images of 16×16×3, uint8)
    """
    from skimage.data import immunohistochemistry

    picture = np.ascontiguousarray(immunohistochemistry())
    rows, columns = (side // TILE for side in picture.shape[:2])
    cut = picture[: rows * TILE, : columns * TILE].reshape(rows, TILE, columns, TILE, 3)
    y, x = (TILE * grid.ravel() for grid in np.mgrid[:rows, :columns])
    return SectionSource(
        cut.swapaxes(1, 2).reshape(-1, TILE, TILE, 3),
        ids=[f"tissue/{left}_{top}" for left, top in zip(x.tolist(), y.tolist(), strict=True)],
        name="tissue",
        columns={"slide": ["tissue"] * len(x), "x": x, "y": y, "size": np.full(len(x), TILE)},
        picture=picture,
    )
