"""Whether neighbours on a map are neighbours in the latents."""

from typing import TypedDict

import numpy as np
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.neighbors import NearestNeighbors

from caescope.analysis.latents import parse_latents
from caescope.errors import DataError
from caescope.parsing import parse_integer, parse_seed

PAIRS = 10**8  # of images whose distances are compared: a few seconds
FEWEST_JUDGED = 1000
CELLS = 2**22  # distances at a time: 32 MB


class MapQuality(TypedDict):
    """What `judge_map` found."""

    trustworthiness: float
    preservation: float
    chance: float
    neighbours: int
    images: int


def judge_map(latents, points, neighbours: int = 15, seed: int = 0) -> MapQuality:
    """Say how far a map keeps the neighbourhoods that images have in the latents.

    With more than 10,000 images only the neighbourhoods of a random sample are looked at: of 2,000 images of
    50,000, say, and never of fewer than 1,000. They are ranked against all images, so that the figures
    estimate, without bias, those that all neighbourhoods would give; the standard error is below 0.01.

    Parameters
    ----------
    latents : array_like, shape (n_images, ...)
        At least 3 images.
    points : array_like, shape (n_images, 2)
        The same images on the map.
    neighbours : int, at least 1
        How many of an image's nearest make up its neighbourhood; with few images as many as the formula
        allows, fewer than half of them.
    seed : int, 0 to 2**32 - 1
        Draws the sample.

    Returns
    -------
    dict
        ``trustworthiness``, in [0, 1]: 1 where every neighbour on the map is one in the latents; each that is
        not takes away the more, the farther down the ranks it is; a map at random has about 0.5.
        ``preservation``, in [0, 1]: the share of the nearest neighbours in the latents that are among the
        nearest on the map; a map at random has ``chance``. ``neighbours``: what was used. ``images``: how
        many neighbourhoods were looked at. Images that are equally far away share the best rank.

    Raises
    ------
    DataError
        If latents or points cannot be used, or are fewer than 3 or not as many.
    OptionError
        If an option cannot be used.

    References
    ----------
    Venna and Kaski, "Neighborhood preservation in nonlinear projection methods: an experimental study",
    International Conference on Artificial Neural Networks, 2001.
    Lee and Verleysen, "Quality assessment of dimensionality reduction: rank-based criteria", Neurocomputing
    72, 2009.

    Examples
    --------
    >>> judge_map([[0], [1], [3], [7], [15]], [[0], [1], [3], [7], [15]])
    {'trustworthiness': 1.0, 'preservation': 1.0, 'chance': 0.5, 'neighbours': 2, 'images': 5}
    """
    table, places = _parse(latents, points)
    n = len(table)
    k = min(parse_integer(neighbours, "neighbours"), (n - 1) // 2)
    judged = _sample(n, parse_seed(seed))
    nearest = NearestNeighbors(n_neighbors=k).fit(places).kneighbors(return_distance=False)[judged]
    ranks = _ranks(table, judged, nearest)
    excess = np.maximum(ranks - k, 0).sum() / len(judged)
    return MapQuality(
        trustworthiness=float(1 - excess * 2 / (k * (2 * n - 3 * k - 1))),
        preservation=float((ranks <= k).mean()),
        chance=k / (n - 1),
        neighbours=k,
        images=len(judged),
    )


def _parse(latents, points) -> tuple[np.ndarray, np.ndarray]:
    """Return latents around zero, where distances lose least to rounding, and points; both float64."""
    table = parse_latents(latents).astype(np.float64)
    places = parse_latents(points, "points").astype(np.float64)
    if len(table) != len(places):
        raise DataError(
            "latents and points must be of the same images",
            f"{len(table)} latents and {len(places)} points",
            "Give both for the same images, in the same order.",
        )
    if len(table) < 3:
        raise DataError("Neighbourhoods need at least 3 images", f"{len(table)}", "Add images.")
    return table - table.mean(axis=0), places


def _sample(n_images: int, seed: int) -> np.ndarray:
    """Return the images whose neighbourhoods are looked at, in order."""
    wanted = max(FEWEST_JUDGED, PAIRS // n_images)
    return np.sort(np.random.default_rng(seed).permutation(n_images)[:wanted])


def _ranks(table: np.ndarray, judged: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return which nearest in the table (1, 2, …) ``others`` are to the images judged, in their shape."""
    ranks = np.empty(others.shape, np.int64)
    step = max(1, CELLS // len(table))
    for start in range(0, len(judged), step):
        rows, near = judged[start : start + step], others[start : start + step]
        distances = euclidean_distances(table[rows], table, squared=True)
        distances[np.arange(len(rows)), rows] = np.inf  # nobody is a neighbour of himself
        for column, bound in enumerate(np.take_along_axis(distances, near, axis=1).T):
            nearer = np.count_nonzero(distances < bound[:, None], axis=1)
            ranks[start : start + step, column] = 1 + nearer
    return ranks
