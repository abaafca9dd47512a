"""Principal components: the plainest map, where the other maps start, and how the variance is shared out."""

import numpy as np
from sklearn.decomposition import PCA

from caescope.analysis.latents import parse_latents
from caescope.analysis.maps import Map
from caescope.errors import DataError
from caescope.parsing import parse_integer


class PCAMap(Map):
    """The first two principal components; the second is zero where there is only one feature.

    Parameters
    ----------
    seed : int, 0 to 2**32 - 1
        Used by the randomised solver that scikit-learn takes for large inputs, and to draw a sample.
    most : int, at least 4
        Of more images than that, a random sample of ``most`` is fitted on.

    Attributes
    ----------
    fitted_ : int
        How many images the map was fitted on.

    References
    ----------
    Pearson, "On lines and planes of closest fit to systems of points in space", Philosophical Magazine 2,
    1901.

    Examples
    --------
    >>> PCAMap().fit_transform([[1.0], [2.0], [3.0], [6.0]])[:, 0]
    array([-2., -1.,  0.,  3.], dtype=float32)
    """

    def _fit(self, latents: np.ndarray) -> np.ndarray:
        self._pca = _fit_pca(latents, min(2, latents.shape[1]), self.seed)
        return self._place(latents)

    def _place(self, latents: np.ndarray) -> np.ndarray:
        scores = self._pca.transform(latents)
        return np.pad(scores, [(0, 0), (0, 2 - scores.shape[1])])


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


def pca_start(latents: np.ndarray, spread: float, seed: int) -> np.ndarray:
    """Return the PCA map scaled to ``spread``, and jittered by a hundredth of it to part equal images."""
    scores = PCAMap(seed).fit_transform(latents).astype(np.float64)
    scale = np.sqrt(np.square(scores[:, 0]).mean()) or 1.0
    return spread * (scores / scale + np.random.default_rng(seed).normal(0, 0.01, scores.shape))


def _fit_pca(latents: np.ndarray, n_components: int, seed: int) -> PCA:
    with np.errstate(divide="ignore", invalid="ignore"):  # constant latents have no variance to share out
        return PCA(n_components, random_state=seed).fit(latents)
