"""Tables of latents, whose rows are tiles of slides, in the formats of other programs."""

from caescope.exporting.anndata import write_h5ad
from caescope.exporting.features import write_features
from caescope.exporting.geojson import write_geojson

__all__ = ["write_features", "write_geojson", "write_h5ad"]
