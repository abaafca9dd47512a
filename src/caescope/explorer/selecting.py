"""What is near in the space of the latents: neighbours of an image, and a selection's middle."""

import numpy as np

from caescope.analysis.members import medoid

N_NEIGHBOURS = 20


def neighbours(latents: np.ndarray, row: int, n: int = N_NEIGHBOURS) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows nearest to one, without itself, nearest first, and their distances.

    Parameters
    ----------
    latents : numpy.ndarray, shape (n_images, latent_features)
    row : int
    n : int

    Examples
    --------
    >>> rows, distances = neighbours(np.array([[0.0], [5.0], [1.0]]), 0, n=2)
    >>> rows.tolist(), distances.tolist()
    ([2, 1], [1.0, 5.0])
    """
    distances = _distances(latents, latents[row])
    distances[row] = np.inf
    n = min(n, len(latents) - 1)
    nearest = np.argpartition(distances, max(0, n - 1))[:n]
    nearest = nearest[np.argsort(distances[nearest], kind="stable")]
    return nearest, distances[nearest]


def from_the_medoid(latents: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return rows sorted by the distance to their medoid, which comes first.

    The medoid is the image with the smallest sum of distances to (a sample of 1,000 of) the others.
    """
    points = latents[rows]
    middle = medoid(points.astype(np.float64), np.random.default_rng(0))
    return rows[np.argsort(_distances(points, points[middle]), kind="stable")]


def _distances(points: np.ndarray, point: np.ndarray) -> np.ndarray:
    return np.linalg.norm(points - point, axis=1)
