"""Deep clustering on top of a trained autoencoder: latents gather in clusters, still without labels."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from caescope.analysis.choosing import ChosenK, choose_k
from caescope.analysis.clustering import kmeans
from caescope.analysis.latents import flatten_latents
from caescope.analysis.projection import make_projection
from caescope.cae import CAE
from caescope.callbacks import Checkpoint, History
from caescope.model.network import BATCH_SIZE
from caescope.model.objectives.clustered import Clustered
from caescope.model.optimizers import default_rate
from caescope.model.options import Options, parse_options

MOST_MAPPED = 10_000  # images whose map the clusters are found on
SLOWER = 2  # times lower is the learning rate than that of training
PERPLEXITY = 40


@dataclass(frozen=True, eq=False)
class Start:
    """Where clusters are before latents gather in them.

    Attributes
    ----------
    centers : numpy.ndarray, shape (k, latent_features), float32
        The median latents of each cluster.
    chosen : ChosenK or None
        How many clusters, and the curve it was read from; None where the number was given.
    """

    centers: np.ndarray
    chosen: ChosenK | None = None

    @property
    def k(self) -> int:
        """How many clusters there are."""
        return len(self.centers)

    def as_dict(self) -> dict[str, Any]:
        """Return what metrics.json says of it."""
        return {"k": self.k, "chosen": False} | (self.chosen.as_dict() if self.chosen else {})


def find_start(latents, k: int | None = None, seed: int = 0) -> Start:
    """Return the clusters of a t-SNE map of latents: a map shows groups that KMeans on latents cuts across.

    Parameters
    ----------
    latents : array_like, shape (n_images, ...)
        Of more than 10,000 images a random 10,000 are mapped.
    k : int, optional
        How many clusters; by default the number with the best silhouette on the map, from 2 to 30.
    seed : int, 0 to 2**32 - 1

    References
    ----------
    McConville et al., "N2D: (not too) deep clustering via clustering the local manifold of an autoencoded
    embedding", ICPR 2020.
    """
    table = flatten_latents(latents)
    rows = np.random.default_rng(seed).permutation(len(table))[:MOST_MAPPED]
    points = make_projection("tsne", PERPLEXITY, seed).fit_transform(table[rows])
    chosen = choose_k(points, seed=seed) if k is None else None
    labels = kmeans(points, chosen.k if chosen else k, seed).labels  # pyright: ignore[reportArgumentType]
    centers = [np.median(table[rows[labels == i]], axis=0) for i in range(labels.max() + 1)]
    return Start(np.array(centers, np.float32), chosen)


def refine(
    cae: CAE,
    images: Any,
    start: Start,
    epochs: int = 2,
    *,
    batch_size: int = BATCH_SIZE,
    callbacks: Sequence = (),
    checkpoint: str | os.PathLike | Checkpoint | None = None,
) -> History:
    """Train on, so that latents gather around centres, while images are still rebuilt and views agree.

    Parameters
    ----------
    cae : CAE
        A trained one; its weights change, and nothing else.
    images : array_like, shape (n_images, height, width, channels), or source
        As in ``cae.model.fit``.
    start : Start
        From `find_start` of the latents of the same images.
    epochs, batch_size, callbacks, checkpoint
        As in ``cae.model.fit``; the learning rate is half of that of training.

    Returns
    -------
    History
        ``.history["cluster_loss"]`` holds how far images are from belonging to one cluster each.

    References
    ----------
    Guo, Gao, Liu and Yin, "Improved deep embedded clustering with local structure preservation", IJCAI 2017.
    Guo, Zhu, Liu and Yin, "Deep embedded clustering with data augmentation", ACML 2018.
    """
    with _gathering(cae, start.centers):
        return cae.model.fit(
            images,
            batch_size=batch_size,
            epochs=epochs,
            verbose=0,
            callbacks=callbacks,
            checkpoint=checkpoint,
        )


@contextmanager
def _gathering(cae: CAE, centers: np.ndarray) -> Iterator[None]:
    """Let the model have the objective and the learning rate of gathering for a while."""
    model = cae.model
    before = model.objective, model.learning_rate
    model.objective = Clustered(model.module, _with_views(cae), before[0].numbers, centers).to(model.device)
    model.learning_rate = (
        before[1] or default_rate(cae.options.optimizer, cae.options.architecture)
    ) / SLOWER
    try:
        yield
    finally:
        model.objective, model.learning_rate = before


def _with_views(cae: CAE) -> Options:
    """Return the options with views and a weight of their agreement, where the objective has none."""
    options = cae.options
    if options.objective == "invariant":
        return options
    shape = options.input_shape
    invariant = parse_options(shape, objective="invariant")
    return replace(options, views=invariant.views, objective_weight=invariant.objective_weight)
