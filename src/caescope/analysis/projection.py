"""Maps: latents projected to two dimensions by PCA, t-SNE, UMAP or PaCMAP."""

from typing import Protocol, Self

import numpy as np

from caescope.analysis.maps import MOST_IMAGES
from caescope.analysis.optional_maps import PaCMAPMap, UMAPMap
from caescope.analysis.pca import PCAMap, explained_variance_ratio
from caescope.analysis.tsne import TSNEMap
from caescope.errors import OptionError

__all__ = [
    "PROJECTIONS",
    "PCAMap",
    "PaCMAPMap",
    "Projection",
    "TSNEMap",
    "UMAPMap",
    "explained_variance_ratio",
    "make_projection",
]

PROJECTIONS = ("tsne", "pca", "umap", "pacmap")


class Projection(Protocol):
    """Anything that draws a map of latents and can place new ones on it.

    Attributes
    ----------
    fitted_ : int
        How many images the map was fitted on.
    """

    fitted_: int

    def fit(self, latents) -> Self:
        """Draw the map of these latents, shape (n_images, ...), and return itself."""
        ...

    def fit_transform(self, latents) -> np.ndarray:
        """Return the map of these latents, shape (n_images, 2), float32."""
        ...

    def transform(self, latents) -> np.ndarray:
        """Return where other latents lie on that map, shape (n_images, 2), float32."""
        ...

    def use_threads(self, threads: int) -> None:
        """Place images in so many threads, where the method can."""
        ...


def make_projection(
    method: str = "tsne", perplexity: float = 40, seed: int = 0, most: int = MOST_IMAGES
) -> Projection:
    """Return a projection by name.

    Parameters
    ----------
    method : {"tsne", "pca", "umap", "pacmap"}
    perplexity : float, at least 1
        For t-SNE only.
    seed : int, 0 to 2**32 - 1
    most : int, at least 4
        Of more images than that, the map is fitted on a random sample of ``most``, and the rest is placed.

    Raises
    ------
    OptionError
        If an option cannot be used.
    MissingDependencyError
        If UMAP or PaCMAP is asked for and not installed.

    Examples
    --------
    >>> make_projection("pca").fit_transform([[0, 1], [0, 2], [0, 3], [0, 4]])[:, 1]
    array([0., 0., 0., 0.], dtype=float32)
    """
    if method == "tsne":
        return TSNEMap(perplexity, seed, most=most)
    others = {"pca": PCAMap, "umap": UMAPMap, "pacmap": PaCMAPMap}
    if method in others:
        return others[method](seed, most)
    raise OptionError(
        f"The map must be one of {', '.join(PROJECTIONS)}", f"{method!r}", "tsne is the default."
    )
