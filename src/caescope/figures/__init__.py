"""The figures of a run: which ones there are, and from what each is drawn."""

from caescope.figures.decoded import draw_decoded
from caescope.figures.images import draw_images, draw_reconstruction
from caescope.figures.judgement import draw_judgement
from caescope.figures.overlays import draw_overlays

__all__ = ["draw_decoded", "draw_images", "draw_judgement", "draw_overlays", "draw_reconstruction"]
