"""What all maps share: checks, a sample to fit on where images are many, and blocks of images to place."""

from abc import ABC, abstractmethod
from typing import Self

import numpy as np

from caescope.analysis.latents import parse_latents
from caescope.errors import DataError
from caescope.parsing import parse_integer, parse_seed

FEWEST_IMAGES = 4
MOST_IMAGES = 200_000
BLOCK = 10_000  # images placed at a time; umap-learn takes fewer pains over each of more than these


class Map(ABC):
    """A map that is fitted on some images and has others placed on it.

    A method says how in ``_fit`` and ``_place``, which get checked latents of float64.

    Parameters
    ----------
    seed : int, 0 to 2**32 - 1
    most : int, at least 4
        Of more images than that, the map is fitted on a random sample of ``most``, and the rest is placed.

    Attributes
    ----------
    fitted_ : int
        How many images the map was fitted on.
    """

    fitted_: int
    _features: int | None = None

    def __init__(self, seed: int = 0, most: int = MOST_IMAGES):
        self.seed = parse_seed(seed)
        self.most = parse_integer(most, "most", FEWEST_IMAGES)

    def fit(self, latents) -> Self:
        """Draw the map of these latents, shape (n_images, ...), or of a sample of them; return itself."""
        table = parse_latents(latents)
        self._draw(table, self._sample(len(table)))
        return self

    def fit_transform(self, latents) -> np.ndarray:
        """Return the map of these latents, shape (n_images, 2), float32."""
        table = parse_latents(latents)
        sample = self._sample(len(table))
        points = np.empty((len(table), 2), np.float32)
        points[sample] = self._draw(table, sample)
        if not sample.all():
            points[~sample] = self.transform(table[~sample])
        return points

    def transform(self, latents) -> np.ndarray:
        """Return where other latents lie on that map, shape (n_images, 2), float32."""
        if self._features is None:
            advice = "Call fit or fit_transform first."
            raise DataError("A map must be fitted before images are placed on it", "no fit", advice)
        table = parse_latents(latents, features=self._features)
        points = np.empty((len(table), 2), np.float32)
        for start in range(0, len(table), BLOCK):
            block = slice(start, start + BLOCK)
            points[block] = self._place(table[block].astype(np.float64))
        return points

    def use_threads(self, threads: int) -> None:
        """Place images in so many threads, where the method can: several processes may share a machine."""
        del threads  # most have one

    def _sample(self, n_images: int) -> np.ndarray:
        """Return which images to fit on, shape (n_images,), bool."""
        if n_images < FEWEST_IMAGES:
            raise DataError(f"A map needs at least {FEWEST_IMAGES} images", f"{n_images}", "Add images.")
        drawn = np.random.default_rng(self.seed).permutation(n_images)[: self.most]
        return np.isin(np.arange(n_images), drawn)

    def _draw(self, table: np.ndarray, sample: np.ndarray) -> np.ndarray:
        points = self._fit(table[sample].astype(np.float64))
        self._features, self.fitted_ = table.shape[1], len(points)
        return points

    @abstractmethod
    def _fit(self, latents: np.ndarray) -> np.ndarray:
        """Return the map of checked latents."""

    @abstractmethod
    def _place(self, latents: np.ndarray) -> np.ndarray:
        """Return where other checked latents lie on it."""
