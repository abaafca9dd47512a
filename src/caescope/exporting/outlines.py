"""The exact outlines of tiles that lie on a grid."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from caescope.errors import DataError

Corner = tuple[int, int]  # column, row
Ring = list[Corner]
STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))  # headings, each to the right of the last, with y downwards
FIRST_CORNERS = ((0, 0), (1, 0), (1, 1), (0, 1))  # of a cell's side, by heading
MOST_CELLS = 10**8


class Grid(NamedTuple):
    """Tiles as cells of a grid.

    Attributes
    ----------
    rows, columns : numpy.ndarray, shape (n,), int
        The cell of each tile.
    x_edges, y_edges : numpy.ndarray, shape (n_columns + 1,) and (n_rows + 1,)
        Where the cells begin and end; NaN between cells of which neither holds a tile.
    """

    rows: np.ndarray
    columns: np.ndarray
    x_edges: np.ndarray
    y_edges: np.ndarray

    def mask(self, chosen: np.ndarray) -> np.ndarray:
        """Return the cells of the chosen tiles, shape (n_rows, n_columns), bool."""
        cells = np.zeros((len(self.y_edges) - 1, len(self.x_edges) - 1), bool)
        cells[self.rows[chosen], self.columns[chosen]] = True
        return cells


def lay_on_grid(x: np.ndarray, y: np.ndarray, size: float) -> Grid:
    """Find the grid that tiles lie on.

    Where ``size`` is no whole number, corners have been rounded to pixels, so a step may be off by one pixel;
    a tile's right edge is then its neighbour's left one.

    Parameters
    ----------
    x, y : numpy.ndarray, shape (n,)
        Top left corners.
    size : float
        Side of all tiles, in the same unit.

    Raises
    ------
    DataError
        If tiles overlap, or lie on no common grid.

    Examples
    --------
    >>> grid = lay_on_grid(np.array([0, 20]), np.array([5, 5]), 10)
    >>> grid.columns.tolist(), grid.x_edges.tolist()
    ([0, 2], [0.0, 10.0, 20.0, 30.0])
    """
    columns, x_edges = _lay_on_axis(x, size)
    rows, y_edges = _lay_on_axis(y, size)
    n_cells = (len(x_edges) - 1) * (len(y_edges) - 1)
    if n_cells > MOST_CELLS:
        raise DataError(
            f"A slide must have room for at most {MOST_CELLS:,} tiles",
            f"room for {n_cells:,} of size {size:g}",
            "Export single tiles, or check their places.",
        )
    if len(np.unique(rows * len(x_edges) + columns)) < len(x):
        raise _no_grid(f"tiles of size {size:g} that lie on one another")
    return Grid(rows, columns, x_edges, y_edges)


def outline(cells: np.ndarray) -> list[list[Ring]]:
    """Return the polygons that cover exactly the cells that are True.

    Cells that share a side share a polygon. Each polygon is its outer ring, then its holes; a ring is the
    (column, row) of its corners, none of them twice. With y downwards, outer rings turn right: their signed
    area is positive; that of holes is negative.

    Parameters
    ----------
    cells : numpy.ndarray, shape (n_rows, n_columns), bool

    Examples
    --------
    >>> outline(np.array([[True, True]]))
    [[[(0, 0), (2, 0), (2, 1), (0, 1)]]]
    """
    pieces, n_pieces = ndimage.label(cells)  # pyright: ignore[reportGeneralTypeIssues]
    polygons: list[list[Ring]] = [[] for _ in range(n_pieces)]
    sides = _sides(cells)
    for corner in list(sides):
        for loop in _split(_walk(sides, corner)):
            column, row = _cell_beside(loop)
            polygons[pieces[row, column] - 1].append(_turns(loop))
    return [sorted(rings, key=signed_area, reverse=True) for rings in polygons]


def signed_area(ring: Ring) -> float:
    """Return the area inside a ring, positive where it turns from x to y.

    >>> signed_area([(0, 0), (2, 0), (2, 1), (0, 1)])
    2.0
    """
    x, y = np.asarray(ring, dtype=np.float64).T
    return float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2


def _lay_on_axis(starts: np.ndarray, size: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the cell of each tile along one axis, and the cells' edges."""
    places, codes = np.unique(starts, return_inverse=True)
    gaps = np.diff(places)
    steps = np.rint(gaps / size).astype(np.int64)
    tolerance = min(1.0, size / 16) * np.maximum(steps, 1)
    if (steps < 1).any() or (np.abs(gaps - steps * size) > tolerance).any():
        raise _no_grid(f"tiles of size {size:g} whose corners are {gaps.min():g} pixels apart")
    cells = np.concatenate([[0], np.cumsum(steps)])
    if cells[-1] >= MOST_CELLS:
        raise _no_grid(f"tiles of size {size:g} from {places[0]:g} to {places[-1]:g}")
    edges = np.full(cells[-1] + 2, np.nan)
    edges[cells + 1] = places + size
    edges[cells] = places  # after the line above: where a neighbour begins, a tile ends
    return cells[codes], edges


def _no_grid(received: str) -> DataError:
    return DataError(
        "Tiles must lie side by side on one grid to be dissolved",
        received,
        "Cut them without overlap, or export single tiles.",
    )


def _sides(cells: np.ndarray) -> dict[Corner, set[int]]:
    """Return the headings of the sides that begin at each corner, with their cell to the right."""
    padded = np.pad(cells, 1)
    beyond = (padded[:-2, 1:-1], padded[1:-1, 2:], padded[2:, 1:-1], padded[1:-1, :-2])
    sides: dict[Corner, set[int]] = {}
    for heading, ((dx, dy), outside) in enumerate(zip(FIRST_CORNERS, beyond, strict=True)):
        for row, column in np.argwhere(cells & ~outside).tolist():
            sides.setdefault((column + dx, row + dy), set()).add(heading)
    return sides


def _walk(sides: dict[Corner, set[int]], corner: Corner) -> Ring:
    """Walk along sides, which are used up, until none leads on; where two do, stay with the same cell."""
    path: Ring = []
    heading = 0
    while ways := sides[corner]:
        right = (heading + 1) % 4
        heading = right if right in ways else min(ways)
        ways.remove(heading)
        path.append(corner)
        corner = (corner[0] + STEPS[heading][0], corner[1] + STEPS[heading][1])
    return path


def _split(path: Ring) -> Iterator[Ring]:
    """Cut a closed walk wherever it comes to a corner again, so that no ring touches itself."""
    loop: Ring = []
    places: dict[Corner, int] = {}
    for corner in path:
        if corner in places:
            cut = places[corner]
            yield loop[cut:]
            for passed in loop[cut:]:
                del places[passed]
            del loop[cut:]
        places[corner] = len(loop)
        loop.append(corner)
    if loop:
        yield loop


def _cell_beside(loop: Ring) -> Corner:
    """Return the cell to the right of a loop's first side."""
    (x, y), (next_x, next_y) = loop[:2]
    dx, dy = FIRST_CORNERS[STEPS.index((next_x - x, next_y - y))]
    return x - dx, y - dy


def _turns(loop: Ring) -> Ring:
    """Leave out the corners that a loop passes straight on."""
    around = zip(loop[-1:] + loop[:-1], loop, loop[1:] + loop[:1], strict=True)
    return [here for last, here, after in around if last[0] != after[0] and last[1] != after[1]]
