"""Slides that tiles were cut from: small pictures, surroundings of a tile, and pieces for a deep zoom."""

import math
from collections.abc import Sequence
from functools import cached_property
from threading import Lock
from typing import Any

import numpy as np
from PIL import Image

from caescope.explorer.collection import Collection
from caescope.explorer.pictures import as_jpeg
from caescope.slides.thumbnail import read_thumbnail, thumbnail_size

LARGEST_SIDE = 1000  # pixels of a thumbnail
PIECE = 256  # pixels along a side of a piece of the deep zoom
AROUND = 3  # tile sides that the surroundings are wide
MOST_AROUND = 768  # pixels
Facts = dict[str, Any]


class Slides:
    """The slides of a collection, by number, in the order of the names that its column ``slide`` has.

    Parameters
    ----------
    collection : Collection
    names : sequence of str
        As in the column.
    """

    def __init__(self, collection: Collection, names: Sequence[str]):
        self.collection, self.names = collection, list(names)
        self._thumbnails: dict[int, bytes] = {}
        self._lock = Lock()

    @cached_property
    def _planned(self) -> dict[str, Any]:
        """Slides that can be read, by name."""
        return {planned.name: planned.slide for planned in getattr(self.collection.source, "slides", ())}

    @cached_property
    def _pictures(self) -> dict[str, np.ndarray]:
        """Pictures in memory that stand for a slide, by name, in pixels of level 0."""
        source: Any = self.collection.source
        if self._planned or not hasattr(source, "thumbnails"):
            return {}
        return {name: picture for name, picture, _ in source.thumbnails(len(self.names), LARGEST_SIDE)}

    @property
    def are_there(self) -> bool:
        """Whether any can be shown."""
        return bool(self._planned or self._pictures)

    def describe(self) -> list[Facts]:
        """Return what the page has to know of each slide; an empty list where none can be shown."""
        return [self._describe(name) for name in self.names] if self.are_there else []

    def _describe(self, name: str) -> Facts:
        if name not in self._planned:
            picture = self._pictures.get(name)
            height, width = (0, 0) if picture is None else picture.shape[:2]
            return _facts(name, width, height, (width, height))
        slide = self._planned[name]
        zoom = {"tile": PIECE, "levels": _n_levels(slide.width, slide.height)}
        size = thumbnail_size(slide, LARGEST_SIDE)
        return _facts(name, slide.width, slide.height, size, slide.mpp, zoom)

    def thumbnail(self, number: int) -> bytes | None:
        """Return a small picture of a slide as JPEG, or None where it cannot be shown."""
        with self._lock:
            if number not in self._thumbnails and (picture := self._small(number)) is not None:
                self._thumbnails[number] = as_jpeg(picture)
            return self._thumbnails.get(number)

    def _small(self, number: int) -> np.ndarray | None:
        name = self.names[number]
        if name in self._planned:
            return read_thumbnail(self._planned[name], LARGEST_SIDE)
        return self._pictures.get(name)

    def piece(self, number: int, level: int, column: int, row: int) -> bytes | None:
        """Return one piece of the deep zoom as JPEG, or None where there is none.

        Level 0 is one pixel; each further one has twice as many along a side, up to those of level 0 of the
        slide.
        """
        slide = self._planned.get(self.names[number])
        if slide is None or not 0 <= level < _n_levels(slide.width, slide.height):
            return None
        scale = 2 ** (_n_levels(slide.width, slide.height) - 1 - level)  # pixels of level 0 for each
        sides = [math.ceil(side / scale) for side in (slide.width, slide.height)]
        corner = column * PIECE, row * PIECE
        width, height = (min(PIECE, side - start) for side, start in zip(sides, corner, strict=True))
        if width <= 0 or height <= 0 or column < 0 or row < 0:
            return None
        x, y = (start * scale for start in corner)
        return as_jpeg(_region(slide, x, y, scale, width, height))

    def surroundings(self, row: int) -> bytes | None:
        """Return a tile and what lies around it as JPEG: AROUND tile sides wide, the tile in the middle."""
        table = self.collection.table
        name, x, y, size = (table.columns[column][row] for column in ("slide", "x", "y", "size"))
        margin = (AROUND - 1) / 2 * float(size)
        left, top, side = float(x) - margin, float(y) - margin, AROUND * float(size)
        if name in self._planned:
            pixels = min(MOST_AROUND, max(1, round(side)))
            return as_jpeg(_region(self._planned[name], left, top, side / pixels, pixels, pixels))
        picture = self._pictures.get(str(name))
        if picture is None:
            return None
        box = tuple(round(edge) for edge in (left, top, left + side, top + side))
        return as_jpeg(_on_white(picture, *box))


def _facts(name: str, width: int, height: int, thumbnail: tuple[int, int], mpp=None, zoom=None) -> Facts:
    facts = {"name": name, "width": width, "height": height, "thumbnail": list(thumbnail)}
    return facts | {"mpp": mpp, "zoom": zoom}


def _n_levels(width: int, height: int) -> int:
    """Return how many levels a deep zoom has, from a single pixel on.

    >>> _n_levels(2220, 2967)
    13
    """
    return max(1, math.ceil(math.log2(max(width, height)))) + 1


def _region(slide: Any, x: float, y: float, scale: float, width: int, height: int) -> np.ndarray:
    """Return width × height pixels of a slide, each of ``scale`` pixels of level 0, from x, y of those on."""
    level = max((i for i, down in enumerate(slide.downsamples) if down <= 1.01 * scale), default=0)
    factor = scale / slide.downsamples[level]
    spans = [max(1, round(side * factor)) for side in (width, height)]
    region = slide.read_region(level, round(x), round(y), *spans)
    return np.asarray(region.resize((width, height), Image.Resampling.BOX))


def _on_white(picture: np.ndarray, left: int, top: int, right: int, bottom: int) -> np.ndarray:
    """Return a box of a picture in memory; white where it reaches beyond."""
    height, width = picture.shape[:2]
    found = np.full((bottom - top, right - left, picture.shape[2]), 255, np.uint8)
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
    found[y0 - top : y1 - top, x0 - left : x1 - left] = picture[y0:y1, x0:x1]
    return found
