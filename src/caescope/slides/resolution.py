"""Microns per pixel of a slide, and how much coarser than that tiles are to be."""

import math
from typing import Any

from caescope.errors import DataError, OptionError
from caescope.slides.opening import Slide
from caescope.slides.properties import positive

CONVENTION = 10.0  # mpp · magnification: a 20× scan has about 0.5 microns per pixel, a 40× scan 0.25
FINER = 1.25  # than level 0, at most: scanners' 40× lie between 0.22 and 0.28


def downsample_for(
    slide: Slide, mpp: float | None, magnification: float | None, slide_mpp: float | None
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


def demand_mpp(slide: Slide, slide_mpp: float | None = None) -> float:
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


def mpp_of(slide: Slide, slide_mpp: float | None = None) -> float | None:
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
    number = math.nan if isinstance(value, bool) else positive(value)
    if math.isnan(number):
        raise OptionError(
            f"{name} must be a positive number", f"{name}={value!r}", f"Use for example {name}={example:g}."
        )
    return number


def _too_fine(
    slide: Slide, mpp: float | None, magnification: float | None, slide_mpp: float | None
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
