"""Stain normalisation: the colours of a slide brought to those of a common target."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, TypeVar

import numpy as np

from caescope.errors import DataError, OptionError
from caescope.slides.tissue import white_mask

BETA = 0.15  # least optical density of tissue, mean of the channels, natural logarithm
ALPHA = 1.0  # per cent of the pixels that lie beyond what is taken for the extreme
CLOSEST = np.radians(15)  # one stain and a scanner's noise spread over 10 degrees, H and E over 25 to 55
NARROWEST = 5e-3  # spread in lαβ: about half a grey level, which is one colour and its rounding
FEWEST = 100  # pixels of tissue, so that a percentile means something
COLOURLESS = 12  # of 255: the channels of glass are at most so far apart
CLEAREST = 75  # per cent: what is colourless and darker than most of it may be very pale tissue
LEAST_GLASS = 0.01  # share of the pixels; with less the colour of glass is taken for 255

# Reinhard et al. 2001: from RGB to the responses of the eye's cones, and from their logarithms,
# here natural ones, to lαβ
LMS = np.array([[0.3811, 0.5783, 0.0402], [0.1967, 0.7244, 0.0782], [0.0241, 0.1288, 0.8444]], np.float32)
RGB = np.linalg.inv(LMS)
LAB = (np.array([[1, 1, 1], [1, 1, -2], [1, -1, 0]]) / np.sqrt([[3], [6], [2]])).astype(np.float32)


class Stains(NamedTuple):
    """Two stains, hematoxylin first: directions in optical density (2, 3), strongest concentrations (2,)."""

    vectors: np.ndarray
    strongest: np.ndarray


class Colours(NamedTuple):
    """Mean and standard deviation of tissue in lαβ, each of shape (3,)."""

    mean: np.ndarray
    spread: np.ndarray


# The reference in M. Veta's implementation of 2013 (J.P. Vink et al., J Microsc 249, 2013), which most later
# ones share; natural logarithm.
REFERENCE_STAINS = Stains(
    np.array([[0.5626, 0.7201, 0.4062], [0.2159, 0.8012, 0.5581]]), np.array([1.9705, 1.0308])
)
# Measured by `_colours_of` on all of OpenSlide's test slide CMU-1-Small-Region.svs, at 0.499 µm per pixel.
REFERENCE_COLOURS = Colours(np.array([-1.5359, -0.1653, 0.0602]), np.array([0.8923, 0.1973, 0.0484]))


@dataclass(frozen=True, eq=False)
class Macenko:
    """The same concentrations in the stains, and the strengths, of a target; `estimate` makes it.

    The light that a pixel absorbs is written as so much hematoxylin and so much eosin; the amounts are
    scaled so that their 99th percentiles are the target's, and seen in the target's stains. Glass becomes
    white. What has neither stain's colour, such as ink, comes out in a mixture of the two.

    Attributes
    ----------
    source : Stains or None
        Of the slide. None where two stains cannot be told apart, because there are less than 100 pixels of
        tissue, or all have one colour or are grey; images are then left as they are.
    light : numpy.ndarray, shape (3,), in [1, 255]
        Colour of the glass, against which absorption is measured.
    target : Stains

    References
    ----------
    M. Macenko et al. A method for normalizing histology slides for quantitative analysis. ISBI 2009.

    Examples
    --------
    >>> amounts = np.random.default_rng(0).gamma(2, 0.4, (6000, 2))
    >>> amounts[:4000, 0] = amounts[2000:, 1] = 0  # a third eosin, a third glass, a third hematoxylin
    >>> stains = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11]])
    >>> pixels = np.rint(255 * np.exp(-amounts @ stains)).astype(np.uint8)
    >>> macenko = Macenko.estimate(pixels)
    >>> macenko.source.vectors.round(2)
    array([[0.65, 0.7 , 0.29],
           [0.07, 0.99, 0.11]])
    >>> macenko(np.full((1, 1, 3), 255, np.uint8)).tolist()
    [[[255, 255, 255]]]
    """

    source: Stains | None
    light: np.ndarray
    target: Stains = REFERENCE_STAINS

    @classmethod
    def estimate(cls, pixels: np.ndarray, target: np.ndarray | None = None) -> "Macenko":
        """Find the stains of a slide.

        Parameters
        ----------
        pixels : numpy.ndarray, shape (..., 3), uint8
            RGB pixels of one slide, tissue and glass alike, at the resolution of what is to be normalised:
            averaged pixels mix the stains and have weaker extremes.
        target : numpy.ndarray, shape (..., 3), uint8, optional
            Pixels of a slide that others are to look like; by default a reference from the literature.

        Returns
        -------
        Macenko

        Raises
        ------
        DataError
            If something is not uint8 RGB, or two stains cannot be told apart in the target.
        """
        source, light = _measure(pixels, _stains_of)
        if target is None:
            return cls(source, light)
        return cls(source, light, _measure_target(target, _stains_of, "two stains"))

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Return pixels of shape (..., 3), uint8 RGB, normalised.

        Raises
        ------
        DataError
            If they are not uint8 RGB.
        """
        _demand_rgb(pixels)
        if self.source is None:
            return pixels
        density = _optical_density(pixels, self.light) @ self._matrix
        return _to_bytes(255 * np.exp(-density))

    @cached_property
    def _matrix(self) -> np.ndarray:
        """From optical densities as they are to those in the target's stains, shape (3, 3)."""
        assert self.source is not None
        factors = self.target.strongest / self.source.strongest
        matrix = np.linalg.pinv(self.source.vectors) * factors @ self.target.vectors
        return matrix.astype(np.float32)


@dataclass(frozen=True, eq=False)
class Reinhard:
    """The mean and standard deviation of a target's tissue in lαβ; `estimate` makes it.

    Glass stays as it is: below an optical density of 0.15, which is where tissue begins, the change fades in
    proportion.

    Attributes
    ----------
    source : Colours or None
        Of the slide's tissue. None where there are less than 100 pixels of it, or they have one colour or are
        grey; images are then left as they are.
    light : numpy.ndarray, shape (3,), in [1, 255]
        Colour of the glass, by which it is told from tissue.
    target : Colours

    References
    ----------
    E. Reinhard et al. Color transfer between images. IEEE Comput Graph Appl 21(5), 2001.

    Examples
    --------
    >>> pixels = np.random.default_rng(0).normal((180, 110, 170), 15, (5000, 3)).astype(np.uint8)
    >>> reinhard = Reinhard.estimate(pixels, target=pixels - 20)
    >>> pixels.mean(axis=0).round(), reinhard(pixels).mean(axis=0).round()
    (array([180., 110., 170.]), array([160.,  90., 150.]))
    """

    source: Colours | None
    light: np.ndarray
    target: Colours = REFERENCE_COLOURS

    @classmethod
    def estimate(cls, pixels: np.ndarray, target: np.ndarray | None = None) -> "Reinhard":
        """Find the mean and spread of a slide's colours.

        Parameters
        ----------
        pixels : numpy.ndarray, shape (..., 3), uint8
            RGB pixels of one slide, tissue and glass alike, at the resolution of what is to be normalised.
        target : numpy.ndarray, shape (..., 3), uint8, optional
            Pixels of a slide that others are to look like; by default the tissue of OpenSlide's test slide
            CMU-1-Small-Region.svs.

        Returns
        -------
        Reinhard

        Raises
        ------
        DataError
            If something is not uint8 RGB, or the target has too little tissue or one colour.
        """
        source, light = _measure(pixels, _colours_of)
        if target is None:
            return cls(source, light)
        return cls(source, light, _measure_target(target, _colours_of, "tissue of several colours"))

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Return pixels of shape (..., 3), uint8 RGB, normalised.

        Raises
        ------
        DataError
            If they are not uint8 RGB.
        """
        _demand_rgb(pixels)
        if self.source is None:
            return pixels
        scale = (self.target.spread / self.source.spread).astype(np.float32)
        shift = (self.target.mean - self.source.mean * scale).astype(np.float32)
        moved = _from_lab(_to_lab(pixels) * scale + shift)
        share = np.minimum(_mean_density(pixels, self.light) / BETA, 1)  # 1 for tissue, 0 for glass
        return _to_bytes(share * moved + (1 - share) * pixels)


Normaliser = Macenko | Reinhard
Found = TypeVar("Found", Stains, Colours)
NORMALISERS = {"macenko": Macenko, "reinhard": Reinhard}


def parse_stain(name: str | None) -> type[Normaliser] | None:
    """Return the class of a normalisation by its name, or None for none.

    Raises
    ------
    OptionError
        If there is no such normalisation.

    Examples
    --------
    >>> parse_stain("macenko").__name__
    'Macenko'
    """
    if name is None:
        return None
    if not isinstance(name, str) or name not in NORMALISERS:
        known = ", ".join(NORMALISERS)
        raise OptionError(
            f"stain must be one of {known}", f"stain={name!r}", 'Use for example stain="macenko".'
        )
    return NORMALISERS[name]


def _measure(
    pixels: np.ndarray, find: Callable[[np.ndarray, np.ndarray], Found | None]
) -> tuple[Found | None, np.ndarray]:
    """Return what ``find`` sees in the tissue, if there is enough of it, and the colour of the glass."""
    _demand_rgb(pixels)
    rows = pixels.reshape(-1, 3)
    light = _light_through(rows)
    tissue = rows[_mean_density(rows, light)[:, 0] >= BETA]
    return find(tissue, light) if len(tissue) >= FEWEST else None, light


def _measure_target(
    pixels: np.ndarray, find: Callable[[np.ndarray, np.ndarray], Found | None], what: str
) -> Found:
    if (found := _measure(pixels, find)[0]) is None:
        raise DataError(f"The target must show {what}", "one where none can be told", "Take another image.")
    return found


def _stains_of(tissue: np.ndarray, light: np.ndarray) -> Stains | None:
    """Return the stains of tissue's pixels, shape (n, 3), or None where there are not two."""
    density = _optical_density(tissue, light).astype(np.float64)
    plane = np.linalg.eigh(density.T @ density)[1][:, :0:-1]  # (3, 2), the direction of most light first
    plane = plane * np.sign(plane[:, 0].sum())
    along, across = (density @ plane).T
    extremes = np.percentile(np.arctan2(across, along), [ALPHA, 100 - ALPHA])
    if np.ptp(extremes) < CLOSEST:
        return None
    vectors = np.stack([np.cos(extremes), np.sin(extremes)], axis=1) @ plane.T
    vectors = vectors[np.argsort(-vectors[:, 0])]  # hematoxylin absorbs more red than eosin
    return Stains(vectors, np.percentile(density @ np.linalg.pinv(vectors), 100 - ALPHA, axis=0))


def _colours_of(tissue: np.ndarray, _light: np.ndarray) -> Colours | None:
    """Return the colours of tissue's pixels, shape (n, 3), or None where it has one only."""
    lab = _to_lab(tissue).astype(np.float64)
    colours = Colours(lab.mean(axis=0), lab.std(axis=0))
    return colours if colours.spread.min() >= NARROWEST else None


def _light_through(rows: np.ndarray) -> np.ndarray:
    """Return the colour of the glass among pixels, shape (n, 3)."""
    glass = rows[white_mask(rows) & (np.ptp(rows, axis=1) <= COLOURLESS)]
    known = len(glass) >= max(1, LEAST_GLASS * len(rows))
    return np.percentile(glass, CLEAREST, axis=0) if known else np.full(3, 255.0)


def _optical_density(pixels: np.ndarray, light: np.ndarray) -> np.ndarray:
    """Return how much light each channel lost, as a natural logarithm, at least 0; float32."""
    return np.maximum(np.log(light.astype(np.float32) / np.maximum(pixels, 1)), 0)


def _mean_density(pixels: np.ndarray, light: np.ndarray) -> np.ndarray:
    """Return the mean of the channels, shape (..., 1); a product is faster than a mean over three."""
    return _optical_density(pixels, light) @ np.full((3, 1), 1 / 3, np.float32)


def _to_lab(pixels: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(pixels, 1).astype(np.float32) @ LMS.T / 255) @ LAB.T


def _from_lab(lab: np.ndarray) -> np.ndarray:
    """Return RGB in [0, 255], and beyond where a colour cannot be shown."""
    return 255 * np.exp(np.minimum(lab @ LAB, 1)) @ RGB.T


def _to_bytes(pixels: np.ndarray) -> np.ndarray:
    return np.rint(pixels.clip(0, 255)).astype(np.uint8)


def _demand_rgb(pixels: np.ndarray) -> None:
    if pixels.dtype != np.uint8 or pixels.ndim < 2 or pixels.shape[-1] != 3:
        raise DataError(
            "Pixels whose stain is normalised must be uint8 RGB, shape (..., 3)",
            f"{pixels.dtype} of shape {pixels.shape}",
            "Convert them before.",
        )
