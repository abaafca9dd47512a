"""Microns per pixel of a slide, and how much coarser than that tiles are to be."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from caescope.errors import DataError, OptionError

if TYPE_CHECKING:
    from caescope.slides.opening import Slide

CONVENTION = 10.0  # mpp · magnification: a 20× scan has about 0.5 microns per pixel, a 40× scan 0.25
PLAUSIBLE = (0.01, 40.0)  # microns per pixel; image programs write 72 to 600 dpi, which is 42 or more
FINER = 1.25  # than level 0, at most: scanners' 40× lie between 0.22 and 0.28
MICRONS = {"inch": 25400.0, "centimeter": 10000.0}


def mpp_in(properties: Mapping[str, str]) -> float | None:
    """Return microns per pixel of level 0 from OpenSlide's properties, or None.

    First from ``openslide.mpp-x`` and ``-y``, of which the mean is taken, else from the TIFF tags of
    resolution. A value that no microscope has, such as the 72 dots per inch that image programs write, counts
    as none.

    >>> mpp_in({"openslide.mpp-x": "0.499", "openslide.mpp-y": "0.499"})
    0.499
    >>> tags = {"tiff.XResolution": "40000", "tiff.YResolution": "40000"}
    >>> mpp_in(tags | {"tiff.ResolutionUnit": "centimeter"})
    0.25
    >>> mpp_in(tags) is None  # no unit
    True
    """
    told = [_positive(properties.get(f"openslide.mpp-{axis}")) for axis in "xy"]
    micron = MICRONS.get(properties.get("tiff.ResolutionUnit", ""), math.nan)
    tags = [micron / _positive(properties.get(f"tiff.{axis}Resolution")) for axis in "XY"]
    for x, y in (told, tags):
        if PLAUSIBLE[0] <= (x + y) / 2 <= PLAUSIBLE[1]:
            return (x + y) / 2
    return None


def objective_in(properties: Mapping[str, str]) -> float | None:
    """Return the objective's magnification from OpenSlide's properties, or None."""
    power = _positive(properties.get("openslide.objective-power"))
    return None if math.isnan(power) else power


def downsample_for(
    slide: "Slide", mpp: float | None, magnification: float | None, slide_mpp: float | None
) -> float:
    """Return how many pixels of level 0, along one side, one pixel of a tile is to stand for.

    Parameters
    ----------
    slide : Slide
    mpp : float, optional
        Microns per pixel that are asked for.
    magnification : float, optional
        In its place. It is taken as a share of the objective's; where the slide does not tell its objective,
        as 10 / magnification microns per pixel. With neither, level 0 is meant: 1.
    slide_mpp : float, optional
        Microns per pixel of level 0, used where the slide does not tell them.

    Raises
    ------
    DataError
        If it cannot be found out, or the slide is coarser than what is asked for.
    """
    if mpp is None and magnification is None:
        return 1.0
    if magnification is not None and slide.magnification is not None:
        downsample = slide.magnification / magnification
    else:
        wanted = CONVENTION / magnification if magnification is not None else mpp or math.nan
        downsample = wanted / demand_mpp(slide, slide_mpp)
    if downsample * FINER < 1:
        raise _too_fine(slide, mpp, magnification, slide_mpp)
    return downsample


def demand_mpp(slide: "Slide", slide_mpp: float | None = None) -> float:
    """Return microns per pixel of level 0: those of the file, else those given.

    Raises
    ------
    DataError
        If there are neither.
    """
    known = mpp_of(slide, slide_mpp)
    if known is None:
        raise DataError(
            f"{slide.path} must tell its microns per pixel",
            "none in its properties or TIFF tags",
            "Give those of its finest level, for example slide_mpp=0.5 for a 20× scan, or ask for neither "
            "mpp nor magnification.",
        )
    return known


def mpp_of(slide: "Slide", slide_mpp: float | None = None) -> float | None:
    """Return microns per pixel of level 0: those of the file, else those given, else None."""
    return slide_mpp if slide.mpp is None else slide.mpp


def parse_positive(value: Any, name: str, example: float) -> float | None:
    """Return a length or magnification as a float, None as it is.

    Raises
    ------
    OptionError
        If it is no positive number.
    """
    if value is None:
        return None
    number = math.nan if isinstance(value, bool) else _positive(value)
    if math.isnan(number):
        raise OptionError(
            f"{name} must be a positive number", f"{name}={value!r}", f"Use for example {name}={example:g}."
        )
    return number


def _positive(value: Any) -> float:
    """Return a positive, finite number, else NaN."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return math.nan
    return number if 0 < number < math.inf else math.nan


def _too_fine(
    slide: "Slide", mpp: float | None, magnification: float | None, slide_mpp: float | None
) -> DataError:
    if magnification is not None and slide.magnification is not None:
        return DataError(
            f"{slide.path} must have been scanned at the magnification that is asked for, or above",
            f"{magnification:g}× asked for, {slide.magnification:g}× in the file",
            f"Ask for at most {slide.magnification:g}×.",
        )
    finest = demand_mpp(slide, slide_mpp)
    asked = f"{mpp:g}" if mpp is not None else f"{CONVENTION / (magnification or math.nan):g}"
    return DataError(
        f"{slide.path} must be as fine as what is asked for",
        f"{asked} microns per pixel asked for, {finest:g} in the file",
        f"Ask for at least {finest:g} microns per pixel, or for at most {CONVENTION / finest:.3g}×.",
    )
