"""Where the rows of a table lie on their slides."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from caescope.errors import DataError
from caescope.files import printable
from caescope.table import LatentTable

NEEDED = ("slide", "x", "y", "size")
SLIDE_SUFFIX = re.compile(r"\.(ome\.)?(svs|tiff?|ndpi|mrxs|scn|vms|vmu|bif|svslide|czi|dcm)$", re.IGNORECASE)
NOT_IN_NAMES = re.compile(r"[^\w.\- ]+")


@dataclass(frozen=True, eq=False)
class Tiles:
    """The places of tiles, in pixels of level 0.

    Attributes
    ----------
    slide : numpy.ndarray, shape (n,), str
    x, y : numpy.ndarray, shape (n,)
        Top left corners.
    size : numpy.ndarray, shape (n,)
        Sides.
    """

    slide: np.ndarray
    x: np.ndarray
    y: np.ndarray
    size: np.ndarray

    @property
    def centres(self) -> np.ndarray:
        """Middles of the tiles, shape (n, 2), float64."""
        return np.stack([self.x + self.size / 2, self.y + self.size / 2], axis=1)

    def rows_by_slide(self) -> dict[str, np.ndarray]:
        """Return the rows of each slide, in the order of the table."""
        names, codes = np.unique(self.slide, return_inverse=True)
        return {str(name): np.flatnonzero(codes == i) for i, name in enumerate(names)}


def parse_tiles(table: LatentTable) -> Tiles:
    """Return where the rows of a table lie.

    Raises
    ------
    DataError
        If a column is missing, or a place is unknown, no finite number, or a size not positive.

    Examples
    --------
    >>> columns = {"slide": np.array(["a"]), "x": np.array([0]), "y": np.array([8]), "size": np.array([4])}
    >>> parse_tiles(LatentTable(np.array(["0"]), np.zeros((1, 2)), columns=columns)).centres
    array([[ 2., 10.]])
    """
    if missing := [name for name in NEEDED if name not in table.columns]:
        raise DataError(
            f"The rows of the table must be tiles, with the columns {', '.join(NEEDED)}",
            f"a table without {', '.join(missing)}",
            "Encode tiles of slides, or add these columns in pixels of level 0.",
        )
    if not len(table):
        raise DataError("The table must have tiles", "none", "Encode tiles of slides.")
    for name in NEEDED:
        _demand_known(name, table.columns[name])
    tiles = Tiles(np.asarray(table.columns["slide"]).astype(str), *(_numbers(table, n) for n in NEEDED[1:]))
    if tiles.size.min() <= 0:
        raise DataError(
            "size must be positive", f"{tiles.size.min():g}", "Give the tiles' sides in pixels of level 0."
        )
    return tiles


def file_names(slides: Sequence[str]) -> list[str]:
    """Return a file's name for each slide: its own, without folders, its format's ending, and odd characters.

    Raises
    ------
    DataError
        If two slides would share a file.

    Examples
    --------
    >>> file_names(["CMU-1.svs", "../b:2.0"])
    ['CMU-1', 'b_2.0']
    """
    names = [_file_name(slide) for slide in slides]
    folded = [name.casefold() for name in names]  # some file systems know no capitals
    if twice := next((i for i, name in enumerate(folded) if name in folded[:i]), None):
        first = slides[folded.index(folded[twice])]
        raise DataError(
            "Slides must differ in their names, for each gets a file",
            f"{printable(first, 60)!r} and {printable(slides[twice], 60)!r}",
            "Rename one of them.",
        )
    return names


def one_size(tiles: Tiles, rows: np.ndarray) -> float:
    """Return the side of the tiles of one slide, or raise DataError where they differ."""
    sizes = tiles.size[rows]
    if np.ptp(sizes) > 0:
        raise DataError(
            "The tiles of a slide must have one size",
            f"sizes from {sizes.min():g} to {sizes.max():g} on {printable(str(tiles.slide[rows[0]]), 60)!r}",
            "Export the tiles of each size for themselves.",
        )
    return float(sizes[0])


def _file_name(slide: str) -> str:
    last = re.split(r"[/\\]", slide)[-1]
    return NOT_IN_NAMES.sub("_", SLIDE_SUFFIX.sub("", last)).strip(". ")[:120] or "slide"


def _demand_known(name: str, values: Any) -> None:
    if n_missing := int(np.ma.getmaskarray(values).sum()):
        raise DataError(
            f"{name} must be known for every tile",
            f"{n_missing:,} empty cells",
            "Fill them, or leave those tiles out.",
        )


def _numbers(table: LatentTable, name: str) -> np.ndarray:
    values = np.asarray(table.columns[name])
    if values.dtype.kind not in "iuf" or not np.isfinite(values).all():
        raise DataError(
            f"{name} must be finite numbers, in pixels of level 0",
            f"values of dtype {values.dtype}",
            "Check the column.",
        )
    return values.astype(np.int64) if values.dtype.kind in "iu" else values.astype(np.float64)
