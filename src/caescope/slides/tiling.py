"""Which tiles to cut out of a slide: where they lie, and from which level they are read."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from caescope.errors import DataError
from caescope.parallel import blocks_of
from caescope.slides.opening import Slide
from caescope.slides.options import TileOptions
from caescope.slides.resolution import downsample_for, mpp_of
from caescope.slides.thumbnail import read_thumbnail
from caescope.slides.tissue import share_within, summed, tissue_mask, white_mask

SAME = 0.01  # a level that is within 1 % of the resolution asked for is taken as it is
MOST_TILES = 20_000_000  # of a slide, before those without tissue are left out
MOST_PIXELS = 8192  # of a level, along the side of one tile
TILES_AT_A_TIME = 1 << 18  # whose tissue is summed up: bounds memory


class Thumbnailed(Protocol):
    """Reads a thumbnail, uint8 (height, width, 3), of a slide; `read_thumbnail` does."""

    def __call__(self, slide: Slide, /) -> np.ndarray: ...


@dataclass(frozen=True, eq=False, repr=False)
class TilePlan:
    """Tiles of one slide; `plan_tiles` makes it.

    Attributes
    ----------
    x, y : numpy.ndarray of int64, shape (n,), pixels of level 0
        Top left corners, row by row: multiples of (size − overlap) · downsample, rounded to whole pixels.
    tissue : numpy.ndarray of float32, shape (n,)
        Share of each tile that is tissue (by the rule white: that is not white), in [0, 1].
    size, overlap : int, pixels of a tile
    downsample : float
        Pixels of level 0, along one side, that one pixel of a tile stands for.
    level : int
        From which tiles are read: the coarsest that is as fine as was asked for.
    level_downsample : float
        The same as ``downsample`` for one pixel of that level.
    mpp : float or None
        Microns per pixel of a tile, where they are known.
    grid : tuple of (int, int)
        Columns and rows of the whole grid, with the tiles that were left out.
    """

    x: np.ndarray
    y: np.ndarray
    tissue: np.ndarray
    size: int
    overlap: int
    downsample: float
    level: int
    level_downsample: float
    mpp: float | None
    grid: tuple[int, int]

    def __len__(self) -> int:
        return len(self.x)

    def __repr__(self) -> str:
        columns, rows = self.grid
        resolution = f"level {self.level}" + (
            "" if self.mpp is None else f", {self.mpp:.4g} microns per pixel"
        )
        return f"TilePlan({len(self)} of {columns}×{rows} tiles of {self.size} pixels, {resolution})"

    @property
    def size0(self) -> float:
        """Side of a tile in pixels of level 0; not a whole number in general."""
        return self.size * self.downsample

    @property
    def scale(self) -> float:
        """Pixels of the level, along one side, that make up one pixel of a tile; 1: the level as it is."""
        return self.downsample / self.level_downsample


def plan_tiles(
    slide: Slide,
    size: int = 128,
    mpp: float | None = None,
    magnification: float | None = None,
    overlap: int = 0,
    min_tissue: float | None = None,
    rule: str = "otsu",
    edges: str = "drop",
    slide_mpp: float | None = None,
    thumbnail: Thumbnailed = read_thumbnail,
) -> TilePlan:
    """Lay a grid of tiles over a slide and keep those with enough tissue.

    Parameters
    ----------
    slide : Slide
    size : int, pixels
        Side of a tile, 1 to 4096.
    mpp : float, optional, microns per pixel
        Resolution of the tiles; by default that of level 0. A level within 1 % of it is taken as it is.
    magnification : float, optional
        In place of mpp: a share of the objective's, else 10 / magnification microns per pixel.
    overlap : int, pixels
        Of neighbouring tiles, below ``size``.
    min_tissue : float, optional
        Share of a tile, in [0, 1], that must be tissue: 0.5 by default, 0.8 with the rule white.
    rule : {"otsu", "white", "none"}
        What tissue is, judged on a thumbnail: colour by Otsu's threshold (`tissue_mask`), whatever is not
        white (`white_mask`), or everything.
    edges : {"drop", "pad"}
        Leave out tiles that reach over the right or lower edge of the slide, or fill them up with white.
    slide_mpp : float, optional
        Microns per pixel of level 0, where the slide does not tell them.
    thumbnail : callable
        Given the slide, returns a thumbnail of it.

    Returns
    -------
    TilePlan
        It may hold no tile, as for a blank slide.

    Raises
    ------
    OptionError
        If an option has a value that cannot be used.
    DataError
        If the resolution cannot be had from this slide, or it is smaller than a tile.
    FileFormatError
        If the slide cannot be read.
    """
    options = TileOptions(size, mpp, magnification, overlap, min_tissue, rule, edges, slide_mpp)
    return plan_with(slide, options, thumbnail)


def plan_with(slide: Slide, options: TileOptions, thumbnail: Thumbnailed = read_thumbnail) -> TilePlan:
    """Return what `plan_tiles` does, for options that were checked before."""
    asked = downsample_for(slide, options.mpp, options.magnification, options.slide_mpp)
    level, downsample = choose_level(slide, asked)
    grid = _grid(slide, options, level, downsample)
    _demand_fine_levels(slide, options, level, downsample)
    columns, rows = (_corners(count, options, downsample) for count in grid)
    mask = None if options.rule == "none" else _mask(options.rule, thumbnail(slide))
    kept = list(_kept(mask, slide, columns, rows, options.size * downsample, options.min_tissue or 0.0))
    x, y, tissue = (np.concatenate(parts) for parts in zip(*kept, strict=True))
    own_mpp = mpp_of(slide, options.slide_mpp)
    return TilePlan(
        x=x,
        y=y,
        tissue=tissue,
        size=options.size,
        overlap=options.overlap,
        downsample=downsample,
        level=level,
        level_downsample=slide.downsamples[level],
        mpp=None if own_mpp is None else own_mpp * downsample,
        grid=grid,
    )


def choose_level(slide: Slide, downsample: float) -> tuple[int, float]:
    """Return the coarsest level as fine as ``downsample``, and the level's own where that is within 1 %."""
    fine_enough = [i for i, own in enumerate(slide.downsamples) if own <= downsample * (1 + SAME)]
    level = fine_enough[-1] if fine_enough else 0
    own = slide.downsamples[level]
    return level, own if abs(downsample / own - 1) <= SAME else downsample


def _grid(slide: Slide, options: TileOptions, level: int, downsample: float) -> tuple[int, int]:
    """Return how many columns and rows of tiles there are, by the pixels of the level."""
    own = slide.downsamples[level]
    extents = (pixels * own / downsample for pixels in slide.level_dimensions[level])
    columns, rows = (_count(extent, options, 0.5 / downsample) for extent in extents)
    _demand_tiles(slide, options, columns * rows, downsample)
    return columns, rows


def _count(extent: float, options: TileOptions, half: float) -> int:
    """Return how many tiles lie along ``extent`` pixels, of which ``half`` are half a pixel of level 0."""
    step = options.size - options.overlap
    steps = (extent - options.size) / step
    if options.edges == "pad":  # less than half a pixel more is rounded away, and with it a tile for it alone
        return max(0, math.ceil(steps - 1e-6 - half / step)) + 1
    return max(-1, math.floor(steps + 1e-6)) + 1


def _corners(count: int, options: TileOptions, downsample: float) -> np.ndarray:
    """Return where tiles start along one side, in pixels of level 0."""
    return np.rint(np.arange(count) * (options.size - options.overlap) * downsample).astype(np.int64)


def _mask(rule: str, thumbnail: np.ndarray) -> np.ndarray:
    return tissue_mask(thumbnail) if rule == "otsu" else ~white_mask(thumbnail)


def _kept(
    mask: np.ndarray | None, slide: Slide, columns: np.ndarray, rows: np.ndarray, side: float, least: float
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield x, y and share of tissue of the tiles to keep, a few rows of the grid at a time."""
    table = None if mask is None else summed(mask)
    for block in blocks_of(len(rows), max(1, TILES_AT_A_TIME // len(columns))):
        upper = rows[block]
        share = np.ones((len(upper), len(columns)), np.float32)
        if table is not None:
            share = _grid_share(table, slide, columns, upper, side)
        row, column = np.nonzero(share >= least)
        yield columns[column], upper[row], share[row, column]


def _grid_share(
    table: np.ndarray, slide: Slide, columns: np.ndarray, rows: np.ndarray, side: float
) -> np.ndarray:
    """Return what `tissue_share` does, for all tiles of a grid at once."""
    down, along = (table.shape[0] - 1) / slide.height, (table.shape[1] - 1) / slide.width
    upper, left = rows[:, None] * down, columns[None] * along
    lower, right = (rows + side)[:, None] * down, (columns + side)[None] * along
    return share_within(table, left, upper, right, lower).astype(np.float32)


def _demand_tiles(slide: Slide, options: TileOptions, count: int, downsample: float) -> None:
    if count == 0:
        width, height = (int(pixels / downsample) for pixels in (slide.width, slide.height))
        raise DataError(
            f"{slide.path} must be at least as large as a tile, {options.size}×{options.size} pixels",
            f"{width}×{height} pixels (width × height) at that resolution",
            'Ask for smaller tiles or a finer resolution, or pad them with edges="pad".',
        )
    if count > MOST_TILES:
        raise DataError(
            f"{slide.path} must give at most {MOST_TILES:,} tiles",
            f"{count:,} tiles of {options.size} pixels",
            "Ask for larger tiles, less overlap or a coarser resolution.",
        )


def _demand_fine_levels(slide: Slide, options: TileOptions, level: int, downsample: float) -> None:
    """Refuse tiles for each of which a gigantic region would have to be read."""
    side = options.size * downsample / slide.downsamples[level]
    if side > MOST_PIXELS:
        raise DataError(
            f"{slide.path} must have a level close to the resolution asked for",
            f"{side:.0f} pixels along the side of each tile at its coarsest level that is fine enough",
            "Ask for smaller tiles or a finer resolution.",
        )
