"""Whole-slide images: opening them, planning tiles on them, and reading those."""

from caescope.slides.opening import Slide, open_slide
from caescope.slides.options import TileOptions
from caescope.slides.reading import read_tile
from caescope.slides.source import SlideSource, find_slides
from caescope.slides.stain import Macenko, Reinhard
from caescope.slides.thumbnail import read_thumbnail
from caescope.slides.tiling import TilePlan, plan_tiles
from caescope.slides.tissue import tissue_mask, tissue_share, white_fraction

__all__ = [
    "Macenko",
    "Reinhard",
    "Slide",
    "SlideSource",
    "TileOptions",
    "TilePlan",
    "find_slides",
    "open_slide",
    "plan_tiles",
    "read_thumbnail",
    "read_tile",
    "tissue_mask",
    "tissue_share",
    "white_fraction",
]
