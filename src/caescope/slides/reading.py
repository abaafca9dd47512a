"""Cutting one tile out of a slide."""

import math

import numpy as np

from caescope.errors import FileFormatError
from caescope.slides.opening import Slide
from caescope.slides.tiling import TilePlan

REACH = 256  # pixels of a level in which to look for a place that OpenSlide reads without interpolating
SAMPLE = 128  # tiles, and pixels along a side of each, of which a sample of a slide has at most so many
STILL = 1 / 512  # pixels; it moves an image by nothing where the shift is less


def read_tile(slide: Slide, plan: TilePlan, i: int) -> np.ndarray:
    """Return one tile of a plan.

    Where the plan is at a level's own resolution, its pixels are those of the level. OpenSlide addresses a
    level in whole pixels of level 0 and interpolates in between. Where a level's downsample is not a whole
    number, a tile is therefore read from the nearest place to the left and above that needs no interpolation,
    and cut out of that; if there is none within 256 pixels, it is off by at most half a pixel of level 0.

    Otherwise the exact region is resampled: by averages where whole pixels make up one, else by Lanczos's
    filter.

    Parameters
    ----------
    slide : Slide
    plan : TilePlan
        Made for that slide.
    i : int

    Returns
    -------
    numpy.ndarray, shape (size, size, 3), uint8
        RGB; what is transparent or outside of the slide is white. Colour profiles are left alone.

    Raises
    ------
    FileFormatError
        If that part of the slide is damaged.
    """
    x, y = int(plan.x[i]), int(plan.y[i])
    try:
        image = _of_level(slide, plan, x, y) if plan.scale == 1 else _resampled(slide, plan, x, y)
    except FileFormatError as error:
        must = f"Tile {slide.name}/{x}_{y} of {slide.path} must be readable"
        raise FileFormatError(must, error.received, "Fetch the slide again, or leave it out.") from error
    return np.asarray(image)


def read_sample(slide: Slide, plan: TilePlan) -> np.ndarray:
    """Return pixels of tiles all over a plan, always the same ones.

    They are those of the tiles, not averages: at most 128 tiles, evenly spaced in the plan, and of large ones
    every so many rows and columns.

    Parameters
    ----------
    slide : Slide
    plan : TilePlan
        Made for that slide, with at least one tile.

    Returns
    -------
    numpy.ndarray, shape (n, 3), uint8

    Raises
    ------
    FileFormatError
        If one of the tiles is damaged.
    """
    tiles = np.unique(np.linspace(0, len(plan) - 1, SAMPLE).astype(np.intp))
    step = math.ceil(plan.size / SAMPLE)
    pixels = [read_tile(slide, plan, i)[step // 2 :: step, step // 2 :: step] for i in tiles.tolist()]
    return np.concatenate([tile.reshape(-1, 3) for tile in pixels])


def _of_level(slide: Slide, plan: TilePlan, x: int, y: int):
    """Return pixels of the level as they are."""
    places = [_still_place(round(start / plan.level_downsample), plan.level_downsample) for start in (x, y)]
    (x, left), (y, top) = places
    region = slide.read_region(plan.level, x, y, left + plan.size, top + plan.size)
    return region.crop((left, top, left + plan.size, top + plan.size)) if left or top else region


def _still_place(start: int, downsample: float) -> tuple[int, int]:
    """Return a pixel of level 0 that lies on one of the level, and how many of those ``start`` is behind it.

    >>> _still_place(30, 2.0), _still_place(65, 4 + 1 / 62)
    ((60, 0), (249, 3))
    """
    behind = np.arange(min(REACH, start) + 1)
    exact = (start - behind) * downsample
    still = np.abs(exact - np.rint(exact)) < STILL * downsample
    steps = int(behind[still.argmax()])  # 0 where there is none
    return round((start - steps) * downsample), steps


def _resampled(slide: Slide, plan: TilePlan, x: int, y: int):
    """Return exactly the region from (x, y) on, ``plan.size0`` wide, as ``plan.size`` pixels."""
    from PIL import Image

    side = plan.size * plan.scale
    pixels = math.ceil(side - 1e-6)
    region = slide.read_region(plan.level, x, y, pixels, pixels)
    if abs(plan.scale - round(plan.scale)) < 1e-6:
        return region.reduce(round(plan.scale))
    box = (0, 0, min(side, pixels), min(side, pixels))
    return region.resize((plan.size, plan.size), Image.Resampling.LANCZOS, box)
