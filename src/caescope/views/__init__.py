"""Random distortions of images, drawn anew for each image and each time.

What an image shows does not change when it is turned a little, paler, or partly hidden; two views of one
image are how a network is told so. All is done for a whole batch at once, where its tensor lies.
"""

from caescope.views.distortions import Views
from caescope.views.presets import PRESETS, name_of, parse_views

__all__ = ["PRESETS", "Views", "name_of", "parse_views"]
