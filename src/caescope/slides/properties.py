"""What OpenSlide's properties tell of a slide's resolution."""

import math
from collections.abc import Mapping
from typing import Any

PLAUSIBLE = (0.01, 40.0)  # microns per pixel; image programs write 72 to 600 dpi, which is 42 or more
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
    told = [positive(properties.get(f"openslide.mpp-{axis}")) for axis in "xy"]
    micron = MICRONS.get(properties.get("tiff.ResolutionUnit", ""), math.nan)
    tags = [micron / positive(properties.get(f"tiff.{axis}Resolution")) for axis in "XY"]
    for x, y in (told, tags):
        if PLAUSIBLE[0] <= (x + y) / 2 <= PLAUSIBLE[1]:
            return (x + y) / 2
    return None


def objective_in(properties: Mapping[str, str]) -> float | None:
    """Return the objective's magnification from OpenSlide's properties, or None."""
    power = positive(properties.get("openslide.objective-power"))
    return None if math.isnan(power) else power


def positive(value: Any) -> float:
    """Return a positive, finite number, else NaN."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return math.nan
    return number if 0 < number < math.inf else math.nan
