"""Maps by packages that are not installed with this one: UMAP and PaCMAP."""

import importlib
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits

from caescope.analysis.maps import MOST_IMAGES, Map
from caescope.analysis.pca import pca_start
from caescope.errors import MissingDependencyError

PLACED_AMONG = 11  # neighbours; odd, so that a median is never halfway between two clusters


class UMAPMap(Map):
    """UMAP by umap-learn, started from PCA; needs ``pip install "caescope[umap]"``.

    It runs in one thread, so that the same latents and seed give the same map.

    Parameters
    ----------
    seed : int, 0 to 2**32 - 1
    most : int, at least 4
        Of more images than that, a random sample of ``most`` is fitted on.

    Attributes
    ----------
    fitted_ : int
        How many images the map was fitted on.

    Raises
    ------
    MissingDependencyError
        If umap-learn is not installed.

    References
    ----------
    McInnes, Healy and Melville, "UMAP: uniform manifold approximation and projection for dimension
    reduction", arXiv:1802.03426, 2018.

    Examples
    --------
    >>> UMAPMap(seed=1).fit_transform(np.eye(20)).shape  # doctest: +SKIP
    (20, 2)
    """

    def __init__(self, seed: int = 0, most: int = MOST_IMAGES):
        super().__init__(seed, most)
        self._umap = _import_extra("umap", "umap-learn")

    def _fit(self, latents: np.ndarray) -> np.ndarray:
        start = pca_start(latents, spread=10, seed=self.seed)
        neighbours = min(15, len(latents) - 1)
        with _quiet():
            self._model = self._umap.UMAP(
                n_neighbors=neighbours, init=start, random_state=self.seed, n_jobs=1
            )
            return np.asarray(self._model.fit_transform(latents))

    def _place(self, latents: np.ndarray) -> np.ndarray:
        with _quiet():
            return np.asarray(self._model.transform(latents))


class PaCMAPMap(Map):
    """PaCMAP by its authors' package, started from PCA; needs ``pip install "caescope[pacmap]"``.

    It runs in one thread: its longest loop does in any case, and more threads make it slower where the
    processor is busy. The same latents and seed give the same map.

    A new image is placed at the median of the places of its 11 nearest neighbours in the latents. The package
    has a ``transform`` of its own, but that lets every new image set out from the middle of the map, and has
    fewer of its neighbours around it in the end.

    Parameters
    ----------
    seed : int, 0 to 2**32 - 1
    most : int, at least 4
        Of more images than that, a random sample of ``most`` is fitted on.

    Attributes
    ----------
    fitted_ : int
        How many images the map was fitted on.

    Raises
    ------
    MissingDependencyError
        If pacmap is not installed.

    References
    ----------
    Wang, Huang, Rudin and Shaposhnik, "Understanding how dimension reduction tools work: an empirical
    approach to deciphering t-SNE, UMAP, TriMap, and PaCMAP for data visualization", Journal of Machine
    Learning Research 22, 2021.

    Examples
    --------
    >>> PaCMAPMap(seed=1).fit_transform(np.eye(20)).shape  # doctest: +SKIP
    (20, 2)
    """

    def __init__(self, seed: int = 0, most: int = MOST_IMAGES):
        super().__init__(seed, most)
        self._pacmap = _import_extra("pacmap", "pacmap")

    def _fit(self, latents: np.ndarray) -> np.ndarray:
        self._points = self._embed(latents)
        self._neighbours = NearestNeighbors(n_neighbors=min(PLACED_AMONG, len(latents))).fit(latents)
        return self._points

    def _embed(self, latents: np.ndarray) -> np.ndarray:
        size = np.ptp(latents, axis=0).max()
        if size == 0:  # PaCMAP divides by the range of the latents
            return np.zeros((len(latents), 2))
        scaled = (latents - latents.mean(axis=0)) / size
        if scaled.shape[1] == 1:  # it starts from two components; zeros leave all distances as they are
            scaled = np.pad(scaled, [(0, 0), (0, 1)])
        # Its seeds have 31 bits, and it adds 1, 2, 3 … to them: near seeds would give nearly the same map
        seed = int(np.random.default_rng(self.seed).integers(2**30))
        with _quiet(), _one_thread():
            return self._pacmap.PaCMAP(random_state=seed).fit_transform(scaled)

    def _place(self, latents: np.ndarray) -> np.ndarray:
        nearest = self._neighbours.kneighbors(latents, return_distance=False)
        return np.median(self._points[nearest], axis=1)


def _import_extra(extra: str, package: str) -> Any:
    try:
        with _quiet():
            return importlib.import_module(extra)
    except ImportError as error:
        advice = f'Install it with pip install "caescope[{extra}]", or use tsne.'
        raise MissingDependencyError(f"The projection {extra} needs {package}", "none", advice) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Hold back what the extras' packages tell about themselves: warnings, and PaCMAP's log of its seed.

    Numba sets how many threads OpenMP has, for everybody in the process: that is put back afterwards.
    """
    log = logging.getLogger("pacmap")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), threadpool_limits(user_api="openmp"):
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


@contextmanager
def _one_thread() -> Iterator[None]:
    import numba

    threads = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        yield
    finally:
        numba.set_num_threads(threads)
