"""How many images lie where on a map: a grid of counts, which add up."""

from dataclasses import dataclass

import numpy as np

SIDE = 160  # cells along each side
MARGIN = 0.02  # of the map's width beyond its outermost points


@dataclass(frozen=True)
class Grid:
    """Cells over a map, all of one size; what lies beyond is counted in the nearest.

    Attributes
    ----------
    low, high : tuple of two floats
        Corners in the map's unit, (x, y).
    side : int
        Cells along each side.

    Examples
    --------
    >>> grid = grid_over([[0, 0], [10, 10]], side=2)
    >>> grid.count([[1, 1], [1, 9], [99, 9]]).tolist()
    [[1, 1], [0, 1]]
    """

    low: tuple[float, float]
    high: tuple[float, float]
    side: int = SIDE

    def count(self, points) -> np.ndarray:
        """Return how many points lie in each cell, shape (side, side), int64: first x, then y."""
        points = np.asarray(points, np.float64)
        inside = np.clip((points - self.low) / np.subtract(self.high, self.low), 0, 1)
        cells = np.minimum((inside * self.side).astype(np.int64), self.side - 1)
        flat = np.bincount(cells[:, 0] * self.side + cells[:, 1], minlength=self.side**2)
        return flat.reshape(self.side, self.side).astype(np.int64)


def grid_over(points, side: int = SIDE) -> Grid:
    """Return cells that cover a map, points of shape (n_images, 2), and a little around it."""
    points = np.asarray(points, np.float64)
    low, high = points.min(axis=0), points.max(axis=0)
    room = MARGIN * max(float((high - low).max()), 1e-9)
    corners = (low - room).tolist(), (high + room).tolist()
    return Grid((corners[0][0], corners[0][1]), (corners[1][0], corners[1][1]), side)
