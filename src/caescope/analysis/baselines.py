"""What images say without any autoencoder: principal components of their pixels, histograms, mean colours."""

from collections.abc import Iterator

import numpy as np

from caescope.errors import DataError
from caescope.images import parse_images, to_float
from caescope.parallel import blocks_of
from caescope.parsing import parse_integer, parse_seed

MOST_FITTED = 2**26  # values that PCA is fitted on: 256 MB, and some five times that while it works
BLOCK_VALUES = 2**21  # pixels and channels at a time: few enough for the processor's cache
PCA_BLOCK_VALUES = 2**23  # each block reads all components, which costs more than its own images


class PixelPCA:
    r"""Principal components of the pixels: the best that linear variables can do.

    No linear encoder and decoder with as many variables have a smaller mean squared error on the images that
    it was fitted on. An autoencoder with as many that does not stay below knows nothing that PCA does not.

    Parameters
    ----------
    n_components : int, at least 1
        How many there should be.
    seed : int, 0 to 2**32 - 1
        For the sample of images, and for the randomised solver that scikit-learn takes for large images.

    Attributes
    ----------
    n_components_ : int
        How many there are: at most the number of images fitted on, and that of pixels times channels.
    fitted_on : int
        How many images it was fitted on: all, or a random sample that holds at most :math:`2^{26}` values,
        such as 85,598 grey images of 28×28 pixels, or 1,365 RGB images of 128×128. Where it is a sample,
        more images might lower the errors further.

    References
    ----------
    Pearson, "On lines and planes of closest fit to systems of points in space", Philosophical Magazine 2,
    1901.
    Baldi and Hornik, "Neural networks and principal component analysis: learning from examples without local
    minima", Neural Networks 2, 1989.

    Examples
    --------
    >>> images = np.linspace(0, 1, 5)[:, None, None] * np.ones((5, 2, 2))
    >>> pca = PixelPCA(1).fit(images)
    >>> pca.transform(images).shape, bool(pca.errors(images).max() < 1e-9)
    ((5, 1), True)
    """

    n_components_: int
    fitted_on: int

    def __init__(self, n_components: int, seed: int = 0):
        self.n_components = parse_integer(n_components, "n_components")
        self.seed = parse_seed(seed)
        self._shape: tuple[int, ...] | None = None

    def fit(self, images) -> "PixelPCA":
        """Find the components.

        Parameters
        ----------
        images : array_like, shape (n_images, height, width, channels)
            Floats in [0, 1] or uint8 in [0, 255]; at least 2.

        Returns
        -------
        PixelPCA
            Itself.

        Raises
        ------
        DataError
            If the images cannot be used (see `caescope.images.parse_images`).
        """
        from sklearn.decomposition import PCA  # takes seconds, and whoever encodes needs colours alone

        images = parse_images(images)
        if len(images) < 2:
            raise DataError("PCA needs at least 2 images", f"{len(images)}", "Add images.")
        table = _to_table(images[rows_to_fit(len(images), images[0].size, self.seed)])
        self._shape, self.fitted_on = images.shape[1:], len(table)
        self.n_components_ = min(self.n_components, *table.shape)
        with np.errstate(divide="ignore", invalid="ignore"):  # equal images have no variance to share out
            self._pca = PCA(self.n_components_, random_state=self.seed).fit(table)
        return self

    def transform(self, images) -> np.ndarray:
        """Return the scores of images, of the same shape as those that it was fitted on.

        Returns
        -------
        numpy.ndarray, shape (n_images, n_components_), float32
            In units of pixel values, centred on the images fitted on.

        Raises
        ------
        DataError
            If the images cannot be used, or nothing was fitted.
        """
        return np.concatenate([self._pca.transform(table) for table in self._tables(images)])

    def errors(self, images) -> np.ndarray:
        """Return the mean squared error of each image when rebuilt from its scores.

        What is rebuilt is not clipped to [0, 1]: this is the floor of linear variables, for which there is a
        theorem. Clipping would lower it a little.

        Returns
        -------
        numpy.ndarray, shape (n_images,), float32
            Pixel values in [0, 1].

        Raises
        ------
        DataError
            As `transform`.
        """
        parts = []
        for table in self._tables(images):
            apart = table - self._pca.inverse_transform(self._pca.transform(table))
            parts.append(np.square(apart).mean(axis=1, dtype=np.float64))
        return np.concatenate(parts).astype(np.float32)

    def _tables(self, images) -> Iterator[np.ndarray]:
        """Yield images as tables of float32, a few rows at a time."""
        images = parse_images(images)
        if images.shape[1:] != self._shape:
            raise DataError(
                "PCA must be fitted on images of the same shape",
                f"{self._shape or 'no fit'} and images of shape {images.shape[1:]}",
                "Call fit with such images first.",
            )
        return map(_to_table, _blocks(images, PCA_BLOCK_VALUES))


def intensity_histogram(images, bins: int = 16) -> np.ndarray:
    """Return how the values of each image are spread over [0, 1].

    Parameters
    ----------
    images : array_like, shape (n_images, height, width, channels)
        Floats in [0, 1] or uint8 in [0, 255]; the channel axis may be left out for grey images.
    bins : int, 1 to 256
        Of equal width; the last one includes 1.

    Returns
    -------
    numpy.ndarray, shape (n_images, channels * bins), float32
        Shares of the pixels, channel by channel; those of one channel add up to 1.

    Raises
    ------
    DataError
        If the images cannot be used; see `caescope.images.parse_images`.
    OptionError
        If ``bins`` is out of range.

    Examples
    --------
    >>> intensity_histogram([[[0.0, 0.1], [0.6, 1.0]]], bins=4)
    array([[0.5 , 0.  , 0.25, 0.25]], dtype=float32)
    """
    images, bins = parse_images(images), parse_integer(bins, "bins", 1, 256)
    return np.concatenate([_shares(block, bins) for block in _blocks(images)])


def mean_colour(images) -> np.ndarray:
    """Return the mean of each channel of each image.

    Parameters
    ----------
    images : array_like, shape (n_images, height, width, channels)
        Floats in [0, 1] or uint8 in [0, 255]; the channel axis may be left out for grey images.

    Returns
    -------
    numpy.ndarray, shape (n_images, channels), float32, in [0, 1]

    Raises
    ------
    DataError
        If the images cannot be used; see `caescope.images.parse_images`.

    Examples
    --------
    >>> mean_colour(np.full((1, 4, 4, 3), [255, 51, 0]))
    array([[1. , 0.2, 0. ]], dtype=float32)
    """
    images = parse_images(images)
    n, height, width, channels = images.shape
    white, exact = (255, np.uint32) if images.dtype == np.uint8 else (1, np.float64)
    # Whole rows are added before the few channels are told apart, which is ten times as fast
    columns = images.reshape(n, height, -1).sum(axis=1, dtype=exact).reshape(n, width, channels)
    return (columns.sum(axis=1, dtype=np.float64) / (height * width * white)).astype(np.float32)


def rows_to_fit(n_images: int, n_values: int, seed: int = 0) -> np.ndarray:
    """Return which of ``n_images`` images of ``n_values`` values `PixelPCA` is fitted on.

    All of them, or as many random ones as have 2**26 values together; whoever reads images one by one need
    not read the others.

    >>> rows_to_fit(3, 784).tolist(), len(rows_to_fit(100_000, 784))
    ([0, 1, 2], 85598)
    """
    most = max(2, MOST_FITTED // n_values)
    if n_images <= most:
        return np.arange(n_images)
    return np.sort(np.random.default_rng(seed).choice(n_images, most, replace=False))


def _blocks(images: np.ndarray, values: int = BLOCK_VALUES) -> Iterator[np.ndarray]:
    size = max(1, values // images[0].size)
    return (images[part] for part in blocks_of(len(images), size))


def _to_table(images: np.ndarray) -> np.ndarray:
    return to_float(images).reshape(len(images), -1)


def _shares(images: np.ndarray, bins: int) -> np.ndarray:
    """Return the histograms of a few images, shape (n, channels * bins)."""
    n_images, height, width, channels = images.shape
    offsets = np.arange(n_images * channels).reshape(n_images, 1, 1, channels) * bins
    places = offsets + _bin_of(images, bins)
    counts = np.bincount(places.ravel(), minlength=n_images * channels * bins)
    return (counts / (height * width)).astype(np.float32).reshape(n_images, channels * bins)


def _bin_of(images: np.ndarray, bins: int) -> np.ndarray:
    if images.dtype == np.uint8:  # 256 answers, looked up
        return _bin_of(to_float(np.arange(256, dtype=np.uint8)), bins)[images]
    return np.minimum((images * np.float32(bins)).astype(np.int32), bins - 1)
