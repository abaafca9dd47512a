"""Tiles of one slide or of many, as a source of images."""

import os
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from caescope.data.numbers import numbers_of
from caescope.data.sources import ArraySource, parse_columns, parse_labels
from caescope.errors import DataError, FileFormatError, InputError
from caescope.parallel import blocks_of, map_in_order
from caescope.slides.finding import slide_files
from caescope.slides.opening import Slide, open_slide
from caescope.slides.reading import read_sample, read_tile
from caescope.slides.stain import Normaliser, parse_stain
from caescope.slides.thumbnail import read_thumbnail
from caescope.slides.tiling import TileOptions, TilePlan, plan_with
from caescope.storage import called, find_place, is_remote

TILES_AT_A_TIME = 32  # that a thread reads before it reports


class PlannedSlide(NamedTuple):
    """A slide, the name of which tiles bear, its tiles, and what normalises their stain, if anything does."""

    name: str
    slide: Slide
    plan: TilePlan
    stain: Normaliser | None = None


@dataclass(frozen=True, eq=False, repr=False)
class SlideSource:
    """Tiles that stay in their slides until they are asked for; `find_slides` makes it.

    Parameters
    ----------
    slides : sequence of PlannedSlide
        All tiles of one size.
    labels : array_like, shape (n,), optional
    columns : mapping of str to array_like, shape (n,), optional
        What else is known about each tile, as in `ArraySource`. The tiles' own are always there: ``slide``;
        ``x``, ``y`` and ``size`` in pixels of level 0; and ``mpp``, microns per pixel of the tile, masked
        where they are not known and left out where no slide tells them.
    name : str
    skipped : tuple of (str, str)
        Slides that give no tile, and why.

    Raises
    ------
    DataError
        If there is no tile, or labels or columns do not fit.
    """

    slides: tuple[PlannedSlide, ...]
    labels: Any = None
    columns: Mapping[str, Any] = field(default_factory=dict)
    name: str = "slides"
    skipped: tuple[tuple[str, str], ...] = ()
    split: Any = None

    def __post_init__(self):
        if not len(self):
            raise _no_tiles(self.name, self.skipped)
        if self.labels is not None:
            object.__setattr__(self, "labels", parse_labels(self.labels, len(self)))
        columns = {**self.columns, **self._own_columns()}
        object.__setattr__(self, "columns", parse_columns(columns, len(self)))

    def __len__(self) -> int:
        return int(self._ends[-1]) if self.slides else 0

    def __repr__(self) -> str:
        labelled = "" if self.labels is None else ", labelled"
        slides = f"{len(self.slides)} slide" + "s" * (len(self.slides) != 1)
        return f"SlideSource({self.name!r}, {len(self)} tiles of {slides}{labelled})"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of every tile."""
        size = self.slides[0].plan.size
        return size, size, 3

    @cached_property
    def ids(self) -> np.ndarray:
        """Name of every tile, such as ``"slide.svs/1024_512"``, shape (n,)."""
        columns = (self.columns[name].tolist() for name in ("slide", "x", "y"))
        return np.array([f"{slide}/{x}_{y}" for slide, x, y in zip(*columns, strict=True)])

    def read(self, indices) -> np.ndarray:
        """Return the tiles at ``indices`` (integers, a slice or a mask), uint8, channels last.

        They are read in the calling thread, so that several threads can each read their own.

        Raises
        ------
        FileFormatError
            If a tile cannot be read.
        """
        rows = numbers_of(indices, len(self))
        tiles = np.empty((len(rows), *self.shape), np.uint8)
        owners = np.searchsorted(self._ends, rows, side="right")
        for tile, row, owner in zip(tiles, rows, owners, strict=True):
            tile[...] = _read(self.slides[owner], int(row - self._ends[owner]))  # counted from the plan's end
        return tiles

    def load(self) -> ArraySource:
        """Return the same tiles in memory, read on all cores.

        Raises
        ------
        FileFormatError
            If a tile cannot be read.
        """
        tiles = np.empty((len(self), *self.shape), np.uint8)
        blocks = list(blocks_of(len(self), TILES_AT_A_TIME))
        for rows, block in zip(blocks, map_in_order(self.read, blocks), strict=True):
            tiles[rows] = block
        return ArraySource(tiles, self.labels, self.ids, name=self.name, columns=self.columns)

    def thumbnails(self, most: int, largest_side: int) -> Iterator[tuple[str, np.ndarray, float]]:
        """Yield the first slides: name, thumbnail, and pixels of level 0 for each pixel of that."""
        for planned in self.slides[:most]:
            thumbnail = read_thumbnail(planned.slide, largest_side)
            yield planned.name, thumbnail, planned.slide.width / thumbnail.shape[1]

    def stamp(self) -> str:
        """Return each slide's file size and age, where its tiles are cut from and how stained, as text."""
        return repr([_stamp_of(planned) for planned in self.slides])

    @cached_property
    def _ends(self) -> np.ndarray:
        return np.cumsum([len(planned.plan) for planned in self.slides])

    def _own_columns(self) -> dict[str, np.ndarray]:
        plans = [planned.plan for planned in self.slides]
        counts = [len(plan) for plan in plans]
        columns = {
            "slide": np.repeat([planned.name for planned in self.slides], counts),
            "x": np.concatenate([plan.x for plan in plans]),
            "y": np.concatenate([plan.y for plan in plans]),
            "size": np.repeat([plan.size0 for plan in plans], counts),
        }
        mpp = np.repeat([np.nan if plan.mpp is None else plan.mpp for plan in plans], counts)
        return columns if np.isnan(mpp).all() else columns | {"mpp": mpp}


def find_slides(
    path: str | os.PathLike, *, skip_unreadable: bool = False, stain: str | None = None, **options: Any
) -> SlideSource:
    """Plan the tiles of a slide, or of all slides of a folder, on all cores, without reading more than a few.

    Parameters
    ----------
    path : path-like
        A slide, or a folder of them and of sub-folders with them; hidden files are left out. Slides on
        storage are copied into the cache when they are opened.
    skip_unreadable : bool
        Leave out slides that cannot be opened or planned, and list them in ``skipped``.
    stain : {"macenko", "reinhard"}, optional
        Normalise every tile while it is read, as `Macenko` or `Reinhard` does. What that needs is estimated
        once for each slide, now, from at most 128 of its tiles; without it no tile is read.
    **options
        As in `plan_tiles`: size, mpp, magnification, overlap, min_tissue, rule, edges, slide_mpp.

    Returns
    -------
    SlideSource
        Its ``skipped`` also lists the slides on which no tile has enough tissue.

    Raises
    ------
    OptionError
        If an option has a value that cannot be used.
    DataError, FileFormatError
        If there is no slide or no tile, or a slide cannot be opened or planned.
    MissingDependencyError
        If openslide-python is not installed.
    """
    checked, normalisation = TileOptions(**options), parse_stain(stain)
    files = slide_files(path)

    def plan_one(item: tuple[str, str | Path]) -> PlannedSlide | tuple[str, str]:
        name, file = item
        try:
            slide = open_slide(file)
            with called(slide.path, slide.origin):
                planned = _plan(name, slide, checked, normalisation)
        except (DataError, FileFormatError) as error:
            if not skip_unreadable:
                raise
            return name, str(error)
        return planned if len(planned.plan) else (name, _no_tissue(checked))

    plan_all: Callable = map if len(files) == 1 else map_in_order
    results = list(plan_all(plan_one, files.items()))
    return SlideSource(
        tuple(result for result in results if isinstance(result, PlannedSlide)),
        name=find_place(path).name if is_remote(path) else Path(path).resolve().name,
        skipped=tuple(result for result in results if not isinstance(result, PlannedSlide)),
    )


def _plan(
    name: str, slide: Slide, options: TileOptions, normalisation: type[Normaliser] | None
) -> PlannedSlide:
    plan = plan_with(slide, options)
    if normalisation is None or not len(plan):
        return PlannedSlide(name, slide, plan)
    return PlannedSlide(name, slide, plan, normalisation.estimate(read_sample(slide, plan)))


def _read(planned: PlannedSlide, i: int) -> np.ndarray:
    tile = read_tile(planned.slide, planned.plan, i)
    return tile if planned.stain is None else planned.stain(tile)


def _stamp_of(planned: PlannedSlide) -> tuple:
    name, slide, plan, stain = planned
    corners = zlib.crc32(np.stack([plan.x, plan.y]).tobytes())
    facts = name, *slide.version, plan.size, plan.downsample, plan.level, corners
    return facts if stain is None else (*facts, type(stain).__name__, zlib.crc32(repr(stain).encode()))


def _no_tissue(options: TileOptions) -> str:
    return f"no tile with at least {options.min_tissue or 0:.0%} tissue"


def _no_tiles(name: str, skipped: tuple[tuple[str, str], ...]) -> InputError:
    slide, reason = skipped[0] if skipped else (name, "no slides")
    return DataError(
        f"{name} must give at least one tile",
        f"none, for example from {slide}: {reason.rstrip('.')}",
        "Ask for less tissue (min_tissue), another rule, smaller tiles or another resolution.",
    )
