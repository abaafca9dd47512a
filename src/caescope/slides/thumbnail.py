"""A small picture of a whole slide."""

import math
from collections.abc import Iterator
from itertools import product

import numpy as np

from caescope.parallel import map_in_order
from caescope.slides.opening import Slide

LARGEST_SIDE = 2000  # pixels
PIECE = 2048  # pixels of a level, along a side, that are read at a time


def read_thumbnail(slide: Slide, largest_side: int = LARGEST_SIDE) -> np.ndarray:
    """Return the whole slide as a small picture.

    It is a level of the slide where one has the right size, at least half of ``largest_side``; else it is
    averaged from the coarsest level that is larger. That is read piece by piece, so memory stays flat even
    for a slide that has only its finest level.

    Parameters
    ----------
    slide : Slide
    largest_side : int, pixels
        At most; a smaller slide keeps its own size.

    Returns
    -------
    numpy.ndarray, shape (height, width, 3), uint8

    Raises
    ------
    FileFormatError
        If a part of the level is damaged.
    """
    level, (width, height) = _level_and_size(slide, largest_side)
    factors = [
        pixels / size for pixels, size in zip(slide.level_dimensions[level], (width, height), strict=True)
    ]
    pieces = product(_pieces(height, factors[1]), _pieces(width, factors[0]))

    def read_piece(piece: tuple[slice, slice]) -> tuple[tuple[slice, slice], np.ndarray]:
        rows, columns = piece
        return piece, _shrunk(slide, level, rows, columns, factors)

    picture = np.empty((height, width, 3), np.uint8)
    for piece, pixels in map_in_order(read_piece, pieces):
        picture[piece] = pixels
    return picture


def thumbnail_size(slide: Slide, largest_side: int = LARGEST_SIDE) -> tuple[int, int]:
    """Return the width and height of what `read_thumbnail` returns, without reading it."""
    return _level_and_size(slide, largest_side)[1]


def _level_and_size(slide: Slide, largest_side: int) -> tuple[int, tuple[int, int]]:
    """Return from which level to make the thumbnail, and its width and height."""
    sides = [max(dimensions) for dimensions in slide.level_dimensions]
    larger = [level for level, side in enumerate(sides) if side > largest_side]
    level = larger[-1] if larger else 0
    if larger and level + 1 < len(sides) and 2 * sides[level + 1] >= largest_side:
        level += 1
    factor = max(1.0, sides[level] / largest_side)
    width, height = slide.level_dimensions[level]
    return level, (max(1, round(width / factor)), max(1, round(height / factor)))


def _pieces(n_pixels: int, factor: float) -> Iterator[slice]:
    """Yield parts of one side of the thumbnail, each of few pixels of the level."""
    step = max(1, int(PIECE / factor))
    return (slice(start, min(start + step, n_pixels)) for start in range(0, n_pixels, step))


def _shrunk(slide: Slide, level: int, rows: slice, columns: slice, factors: list[float]) -> np.ndarray:
    """Return a piece of the thumbnail, each pixel the mean of what it stands for."""
    from PIL import Image

    sides = [
        (part.start * factor, part.stop * factor)
        for part, factor in zip((columns, rows), factors, strict=True)
    ]
    starts = [math.floor(start) for start, _ in sides]
    spans = [math.ceil(stop) - start for (_, stop), start in zip(sides, starts, strict=True)]
    x, y = (round(start * slide.downsamples[level]) for start in starts)
    region = slide.read_region(level, x, y, spans[0], spans[1])
    (left, right), (top, bottom) = ((a - s, b - s) for (a, b), s in zip(sides, starts, strict=True))
    box = (left, top, min(right, spans[0]), min(bottom, spans[1]))
    size = (columns.stop - columns.start, rows.stop - rows.start)
    return np.asarray(region.resize(size, Image.Resampling.BOX, box))
