"""Maps: latents projected to two dimensions by PCA, t-SNE or UMAP."""

import warnings
from abc import ABC, abstractmethod
from typing import Any, Protocol

import numpy as np
from sklearn.decomposition import PCA

from caescope.analysis.latents import parse_latents
from caescope.errors import DataError, MissingDependencyError, OptionError
from caescope.parsing import parse_integer, parse_seed

PROJECTIONS = ("tsne", "pca", "umap")
FEWEST_IMAGES = 4
THREADS_FROM = 2000  # images; below, threads gain a second, and lose many where the processor is busy

# t-SNE's options for large maps: a quarter of the time of openTSNE's own, at the same trustworthiness and
# purity of clusters; its loss is a tenth higher. Exact neighbours are faster than Annoy's guesses while few.
MANY, TOO_MANY_FOR_EXACT = 10_000, 100_000
FOR_MANY = {
    "early_exaggeration_iter": 100,
    "initial_momentum": 0.8,
    "n_iter": 250,
    "ints_in_interval": 2,
}


class Projection(Protocol):
    """Anything that draws a map of latents and can place new ones on it."""

    def fit_transform(self, latents) -> np.ndarray:
        """Return the map of these latents, shape (n_images, 2), float32."""
        ...

    def transform(self, latents) -> np.ndarray:
        """Return where other latents lie on that map, shape (n_images, 2), float32."""
        ...


def make_projection(method: str = "tsne", perplexity: float = 40, seed: int = 0) -> Projection:
    """Return a projection by name.

    Parameters
    ----------
    method : {"tsne", "pca", "umap"}
    perplexity : float, at least 1
        For t-SNE only.
    seed : int, 0 to 2**32 - 1

    Raises
    ------
    OptionError
        If an option cannot be used.
    MissingDependencyError
        If UMAP is asked for and not installed.

    Examples
    --------
    >>> make_projection("pca").fit_transform([[0, 1], [0, 2], [0, 3], [0, 4]])[:, 1]
    array([0., 0., 0., 0.], dtype=float32)
    """
    if method == "tsne":
        return TSNEMap(perplexity, seed)
    if method == "pca":
        return PCAMap(seed)
    if method == "umap":
        return UMAPMap(seed)
    raise OptionError(
        f"The map must be one of {', '.join(PROJECTIONS)}", f"{method!r}", "tsne is the default."
    )


class _Map(ABC):
    """The border that all maps share; inside, latents are checked and float64."""

    _features: int | None = None

    def fit_transform(self, latents) -> np.ndarray:
        """Return the map of these latents, shape (n_images, 2), float32."""
        table = parse_latents(latents)
        if len(table) < FEWEST_IMAGES:
            raise DataError(f"A map needs at least {FEWEST_IMAGES} images", f"{len(table)}", "Add images.")
        self._features = table.shape[1]
        return self._fit(table.astype(np.float64)).astype(np.float32)

    def transform(self, latents) -> np.ndarray:
        """Return where other latents lie on that map, shape (n_images, 2), float32."""
        if self._features is None:
            advice = "Call fit_transform first."
            raise DataError("A map must be fitted before images are placed on it", "no fit", advice)
        table = parse_latents(latents, features=self._features)
        return self._place(table.astype(np.float64)).astype(np.float32)

    @abstractmethod
    def _fit(self, latents: np.ndarray) -> np.ndarray:
        """Return the map of checked latents."""

    @abstractmethod
    def _place(self, latents: np.ndarray) -> np.ndarray:
        """Return where other checked latents lie on it."""


class PCAMap(_Map):
    """The first two principal components; the second is zero where there is only one feature.

    Parameters
    ----------
    seed : int, 0 to 2**32 - 1
        Used by the randomised solver that scikit-learn takes for large inputs.

    References
    ----------
    Pearson, "On lines and planes of closest fit to systems of points in space", Philosophical Magazine 2,
    1901.

    Examples
    --------
    >>> PCAMap().fit_transform([[1.0], [2.0], [3.0], [6.0]])[:, 0]
    array([-2., -1.,  0.,  3.], dtype=float32)
    """

    def __init__(self, seed: int = 0):
        self.seed = parse_seed(seed)

    def _fit(self, latents: np.ndarray) -> np.ndarray:
        self._pca = _fit_pca(latents, min(2, latents.shape[1]), self.seed)
        return self._place(latents)

    def _place(self, latents: np.ndarray) -> np.ndarray:
        scores = self._pca.transform(latents)
        return np.pad(scores, [(0, 0), (0, 2 - scores.shape[1])])


class TSNEMap(_Map):
    """t-SNE by openTSNE, started from PCA.

    New latents are placed one by one between their neighbours on the finished map. The same latents, seed and
    number of threads give the same map; below 2,000 images one thread is used, whatever ``n_jobs`` says. From
    10,000 images on the schedule is shorter and the grid of the repulsive forces coarser.

    Parameters
    ----------
    perplexity : float, at least 1
        About how many neighbours an image has.
    seed : int, 0 to 2**32 - 1
    n_jobs : int
        Threads for 2,000 images or more; -1 for all.

    Attributes
    ----------
    perplexity_ : float
        What was used: at most a third of the other images.

    References
    ----------
    van der Maaten and Hinton, "Visualizing data using t-SNE", Journal of Machine Learning Research 9, 2008.
    Poličar, Stražar and Zupan, "openTSNE: a modular Python library for t-SNE dimensionality reduction and
    embedding", Journal of Statistical Software 109, 2024.
    Kobak and Berens, "The art of using t-SNE for single-cell transcriptomics", Nature Communications 10,
    2019.

    Examples
    --------
    >>> tsne = TSNEMap()
    >>> tsne.fit_transform(np.eye(10)).shape, tsne.perplexity_
    ((10, 2), 3.0)
    """

    perplexity_: float

    def __init__(self, perplexity: float = 40, seed: int = 0, n_jobs: int = -1):
        self.perplexity = _parse_perplexity(perplexity)
        self.seed = parse_seed(seed)
        self.n_jobs = _parse_threads(n_jobs)

    def _fit(self, latents: np.ndarray) -> np.ndarray:
        from openTSNE import TSNE

        self.perplexity_ = min(self.perplexity, (len(latents) - 1) / 3)
        start = _start(latents, spread=1e-4, seed=self.seed)
        options: Any = {"perplexity": self.perplexity_, "initialization": start, "random_state": self.seed}
        options["n_jobs"] = self.n_jobs if len(latents) >= THREADS_FROM else 1
        options["neighbors"] = "exact" if len(latents) <= TOO_MANY_FOR_EXACT else "annoy"
        model = TSNE(**options | (FOR_MANY if len(latents) >= MANY else {}))
        self._embedding: Any = model.fit(latents)
        # openTSNE's transform moves the map to this place; placed images would be off by as much.
        self._embedding -= (self._embedding.max(axis=0) + self._embedding.min(axis=0)) / 2
        return np.asarray(self._embedding)

    def _place(self, latents: np.ndarray) -> np.ndarray:
        # openTSNE's own defaults, as far as the images on the map allow.
        n_images = len(self._embedding)
        perplexity, k = min(5, (n_images - 1) / 3), min(25, n_images)
        return np.asarray(self._embedding.transform(latents, perplexity=perplexity, k=k))


class UMAPMap(_Map):
    """UMAP by umap-learn, started from PCA; needs ``pip install "caescope[umap]"``.

    It runs in one thread, so that the same latents and seed give the same map.

    Parameters
    ----------
    seed : int, 0 to 2**32 - 1

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

    def __init__(self, seed: int = 0):
        self.seed = parse_seed(seed)
        self._umap = _import_umap()

    def _fit(self, latents: np.ndarray) -> np.ndarray:
        start = _start(latents, spread=10, seed=self.seed)
        neighbours = min(15, len(latents) - 1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._model = self._umap.UMAP(
                n_neighbors=neighbours, init=start, random_state=self.seed, n_jobs=1
            )
            return np.asarray(self._model.fit_transform(latents))

    def _place(self, latents: np.ndarray) -> np.ndarray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return np.asarray(self._model.transform(latents))


def explained_variance_ratio(latents, n_components: int | None = None) -> np.ndarray:
    """Return which share of the variance each principal component explains.

    Parameters
    ----------
    latents : array_like, shape (n_images, ...)
    n_components : int, optional
        At most the smaller of images and features; None: that many.

    Returns
    -------
    numpy.ndarray, shape (n_components,), float64
        In falling order; all of them add up to 1. Zeros where the latents are constant.

    Raises
    ------
    DataError
        If the latents cannot be used or are of a single image.
    OptionError
        If ``n_components`` is out of range.

    Examples
    --------
    >>> explained_variance_ratio([[0, 0], [3, 0], [0, 1], [3, 1]]).round(3)
    array([0.9, 0.1])
    """
    table = parse_latents(latents)
    if len(table) < 2:
        raise DataError("Variance needs at least 2 images", f"{len(table)}", "Add images.")
    most = min(table.shape)
    wanted = most if n_components is None else parse_integer(n_components, "n_components", 1, most)
    return np.nan_to_num(_fit_pca(table.astype(np.float64), wanted, seed=0).explained_variance_ratio_)


def _fit_pca(latents: np.ndarray, n_components: int, seed: int) -> PCA:
    with np.errstate(divide="ignore", invalid="ignore"):  # constant latents have no variance to share out
        return PCA(n_components, random_state=seed).fit(latents)


def _start(latents: np.ndarray, spread: float, seed: int) -> np.ndarray:
    """Return the PCA map scaled to ``spread``, and jittered by a hundredth of it to part equal images."""
    scores = PCAMap(seed).fit_transform(latents).astype(np.float64)
    scale = np.sqrt(np.square(scores[:, 0]).mean()) or 1.0
    return spread * (scores / scale + np.random.default_rng(seed).normal(0, 0.01, scores.shape))


def _parse_perplexity(perplexity) -> float:
    try:
        parsed = float(perplexity)
    except (TypeError, ValueError):
        parsed = 0.0
    if not 1 <= parsed < float("inf"):
        advice = "Use for example perplexity=40."
        raise OptionError("perplexity must be a number of at least 1", f"perplexity={perplexity!r}", advice)
    return parsed


def _parse_threads(n_jobs) -> int:
    return -1 if n_jobs == -1 else parse_integer(n_jobs, "n_jobs", 1)


def _import_umap() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import umap
    except ImportError as error:
        advice = 'Install it with pip install "caescope[umap]", or use tsne.'
        raise MissingDependencyError("The projection umap needs umap-learn", "none", advice) from error
    return umap
