"""The explorer: a page on which a run folder is looked at, image by image, served from this machine."""

from caescope.explorer.as_files import export
from caescope.explorer.collection import Collection, open_collection
from caescope.explorer.server import serve

__all__ = ["Collection", "export", "open_collection", "serve"]
