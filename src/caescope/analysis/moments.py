"""Mean, spread and principal components of latents in parts: the parts' sums add up to the whole's."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from caescope.analysis.latents import BLOCK_VALUES, MOST_CORRELATED, is_constant, parse_latents
from caescope.parallel import blocks_of


@dataclass(frozen=True, eq=False, repr=False)
class Moments:
    """What sums over latents tell of them; two of different latents add up to that of both.

    Attributes
    ----------
    n : int
        How many images.
    mean, low, high : numpy.ndarray, shape (features,), float64
        Mean, least and largest value of each variable.
    scatter : numpy.ndarray, shape (features, features), float64, or None
        Sum of the outer products of latents around the mean; None with more than 2,048 variables.

    References
    ----------
    Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances",
    COMPSTAT 1982.

    Examples
    --------
    >>> both = moments_of([[0, 0], [3, 0]]) + moments_of([[0, 1], [3, 1]])
    >>> both, both.mean.tolist(), both.explained_variance_ratio.round(3).tolist()
    (Moments(4 images, 2 variables), [1.5, 0.5], [0.9, 0.1])
    """

    n: int
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    scatter: np.ndarray | None

    def __repr__(self) -> str:
        return f"Moments({self.n:,} images, {len(self.mean):,} variables)"

    def __add__(self, other: "Moments") -> "Moments":
        n, apart = self.n + other.n, other.mean - self.mean
        scatter = None
        if self.scatter is not None and other.scatter is not None:
            scatter = self.scatter + other.scatter + np.outer(apart, apart) * (self.n * other.n / n)
        mean = self.mean + apart * (other.n / n)
        return Moments(n, mean, np.minimum(self.low, other.low), np.maximum(self.high, other.high), scatter)

    @property
    def dead(self) -> int:
        """How many variables are constant, as `caescope.analysis.latents.audit_latents` counts them."""
        return int(is_constant(self.low, self.high).sum())

    @property
    def covariance(self) -> np.ndarray | None:
        """The sample covariance, shape (features, features), float64, or None."""
        return None if self.scatter is None else self.scatter / max(self.n - 1, 1)

    @cached_property
    def explained_variance_ratio(self) -> np.ndarray:
        """The share of the variance that each principal component explains, falling; none without scatter."""
        if self.scatter is None:
            return np.empty(0)
        # Rounding may have made some negative
        falling = np.maximum(np.linalg.eigvalsh(self.scatter)[::-1], 0)
        return (falling / (falling.sum() or 1.0))[: min(self.n, len(falling))]


def moments_of(latents) -> Moments:
    """Return the moments of latents that are in memory.

    Parameters
    ----------
    latents : array_like, shape (n_images, ...)

    Raises
    ------
    DataError
        If the latents cannot be used.
    """
    table = parse_latents(latents)
    mean = table.mean(axis=0, dtype=np.float64)
    low, high = table.min(axis=0).astype(np.float64), table.max(axis=0).astype(np.float64)
    return Moments(len(table), mean, low, high, _scatter(table, mean))


def _scatter(table: np.ndarray, mean: np.ndarray) -> np.ndarray | None:
    if len(mean) > MOST_CORRELATED:
        return None
    products = np.zeros((len(mean), len(mean)))
    for rows in blocks_of(len(table), max(1, BLOCK_VALUES // len(mean))):
        centred = table[rows] - mean
        products += centred.T @ centred
    return products
