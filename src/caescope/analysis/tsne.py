"""t-SNE, faster where images are many."""

from typing import Any

import numpy as np

from caescope.analysis.maps import MOST_IMAGES, Map
from caescope.analysis.pca import pca_start
from caescope.errors import OptionError
from caescope.parsing import parse_integer

THREADS_FROM = 2000  # images; below, threads gain a second, and lose many where the processor is busy

# t-SNE's options for large maps: a third of the time of openTSNE's own, at the same trustworthiness and
# purity of clusters; its loss is a tenth higher. Exact neighbours are faster than Annoy's guesses while few.
MANY, TOO_MANY_FOR_EXACT = 10_000, 100_000
FOR_MANY = {
    "early_exaggeration_iter": 200,
    "initial_momentum": 0.8,
    "n_iter": 250,
    "ints_in_interval": 2,
}


class TSNEMap(Map):
    """t-SNE by openTSNE, started from PCA.

    New latents are placed one by one between their neighbours on the finished map. The same latents, seed and
    number of threads give the same map; below 2,000 images one thread is used, whatever ``n_jobs`` says. From
    10,000 images on the schedule is shorter and the grid of the repulsive forces coarser.

    Parameters
    ----------
    perplexity : float, at least 1
        About how many neighbours an image has.
    seed : int, 0 to 2**32 - 1
    n_jobs : int
        Threads for 2,000 images or more; -1 for all.
    most : int, at least 4
        Of more images than that, a random sample of ``most`` is fitted on.

    Attributes
    ----------
    perplexity_ : float
        What was used: at most a third of the other images.
    fitted_ : int
        How many images the map was fitted on.

    References
    ----------
    van der Maaten and Hinton, "Visualizing data using t-SNE", Journal of Machine Learning Research 9, 2008.
    Poličar, Stražar and Zupan, "openTSNE: a modular Python library for t-SNE dimensionality reduction and
    embedding", Journal of Statistical Software 109, 2024.
    Kobak and Berens, "The art of using t-SNE for single-cell transcriptomics", Nature Communications 10,
    2019.

    Examples
    --------
    >>> tsne = TSNEMap()
    >>> tsne.fit_transform(np.eye(10)).shape, tsne.perplexity_
    ((10, 2), 3.0)
    """

    perplexity_: float

    def __init__(self, perplexity: float = 40, seed: int = 0, n_jobs: int = -1, most: int = MOST_IMAGES):
        super().__init__(seed, most)
        self.perplexity = _parse_perplexity(perplexity)
        self.n_jobs = _parse_threads(n_jobs)

    def use_threads(self, threads: int) -> None:
        """Place images in so many threads."""
        self._embedding.gradient_descent_params["n_jobs"] = threads
        self._embedding.affinities.knn_index.n_jobs = threads

    def _fit(self, latents: np.ndarray) -> np.ndarray:
        from openTSNE import TSNE

        self.perplexity_ = min(self.perplexity, (len(latents) - 1) / 3)
        start = pca_start(latents, spread=1e-4, seed=self.seed)
        options: Any = {"perplexity": self.perplexity_, "initialization": start, "random_state": self.seed}
        options["n_jobs"] = self.n_jobs if len(latents) >= THREADS_FROM else 1
        options["neighbors"] = "exact" if len(latents) <= TOO_MANY_FOR_EXACT else "annoy"
        model = TSNE(**options | (FOR_MANY if len(latents) >= MANY else {}))
        self._embedding: Any = model.fit(latents)
        # openTSNE's transform moves the map to this place; placed images would be off by as much.
        self._embedding -= (self._embedding.max(axis=0) + self._embedding.min(axis=0)) / 2
        return np.asarray(self._embedding)

    def _place(self, latents: np.ndarray) -> np.ndarray:
        # openTSNE's own defaults, as far as the images on the map allow.
        n_images = len(self._embedding)
        perplexity, k = min(5, (n_images - 1) / 3), min(25, n_images)
        return np.asarray(self._embedding.transform(latents, perplexity=perplexity, k=k))


def _parse_perplexity(perplexity) -> float:
    try:
        parsed = float(perplexity)
    except (TypeError, ValueError):
        parsed = 0.0
    if not 1 <= parsed < float("inf"):
        advice = "Use for example perplexity=40."
        raise OptionError("perplexity must be a number of at least 1", f"perplexity={perplexity!r}", advice)
    return parsed


def _parse_threads(n_jobs) -> int:
    return -1 if n_jobs == -1 else parse_integer(n_jobs, "n_jobs", 1)
