"""What is judged and how: latents with what is known about their images, and the options."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from caescope.analysis.clustering import CLUSTER_METHODS
from caescope.analysis.projection import make_projection
from caescope.errors import OptionError
from caescope.parsing import parse_integer, parse_seed

MAX_CLASSES = 200


@dataclass(frozen=True)
class JudgingOptions:
    """How latents are judged.

    Attributes
    ----------
    map : {"tsne", "pca", "umap", "pacmap"}
        The projection to two dimensions; PCA is always made beside it.
    perplexity : float, at least 1
        Of t-SNE.
    clusters : int or None
        K; None takes the K with the best silhouette.
    cluster_method : {"kmeans", "mixture", "hdbscan"}
        What the map is clustered by; the others are shown beside it. HDBSCAN finds a K of its own.
    stability : int, at least 0
        Seeds with which the clustering is done again; 0 leaves stability out.
    seed : int, 0 to 2**32 - 1
    """

    map: str = "tsne"
    perplexity: float = 40
    clusters: int | None = 20
    cluster_method: str = "kmeans"
    stability: int = 5
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Subject:
    """Latents, and what is known about their images.

    Attributes
    ----------
    latents : numpy.ndarray, shape (n_images, features), float
    split : numpy.ndarray, shape (n_images,), of "train", "validation" and "test"
        What is fitted is fitted on the train images.
    labels : numpy.ndarray, shape (n_images,), or None
        Masked where nobody knows.
    groups : numpy.ndarray, shape (n_images,), or None
        The slide or patient of each image.
    columns : mapping of str to numpy.ndarray, shape (n_images,)
        What else the latents may follow.
    baselines : mapping of str to numpy.ndarray, shape (n_images, features)
        Other variables of the same images that the probes are also asked about.
    probe_split : numpy.ndarray, shape (n_images,), or None
        Another split for the probes, where ``split`` divides groups between train and test.
    """

    latents: np.ndarray
    split: np.ndarray
    labels: np.ndarray | None = None
    groups: np.ndarray | None = None
    columns: Mapping[str, np.ndarray] = field(default_factory=dict)
    baselines: Mapping[str, np.ndarray] = field(default_factory=dict)
    probe_split: np.ndarray | None = None

    @property
    def train(self) -> np.ndarray:
        """Which images things are fitted on, shape (n_images,), bool."""
        return self.split == "train"

    @property
    def known(self) -> np.ndarray:
        """Which images have a label, shape (n_images,), bool."""
        if self.labels is None:
            return np.zeros(len(self.split), bool)
        return ~np.ma.getmaskarray(self.labels)

    def labelled(self, split: str) -> np.ndarray:
        """Return which images of a part of the probes' split have a label, shape (n_images,), bool."""
        return ((self.split if self.probe_split is None else self.probe_split) == split) & self.known


def can_judge(subject: Subject) -> bool:
    """Say whether labels can be judged against: 2 to 200 different ones to train on, and one to test."""
    if subject.labels is None or not subject.labelled("test").any():
        return False
    return 2 <= len(np.unique(np.asarray(subject.labels)[subject.labelled("train")])) <= MAX_CLASSES


def demand_clusters_fit(k: int | None, n_images: int) -> None:
    """Raise `OptionError` unless ``k`` clusters can be made of ``n_images`` images."""
    if k is not None and not 1 <= k <= n_images:
        raise OptionError(
            "The number of clusters must be at least 1 and at most the number of train images",
            f"clusters={k} for {n_images} train images",
            "Give fewer clusters, or more images.",
        )


def parse_judging_options(options: JudgingOptions) -> JudgingOptions:
    """Return options that can be used, or raise `OptionError`."""
    if options.clusters is not None:
        parse_integer(options.clusters, "clusters")
    if options.cluster_method not in CLUSTER_METHODS:
        raise OptionError(
            f"cluster_method must be one of {', '.join(CLUSTER_METHODS)}",
            f"cluster_method={options.cluster_method!r}",
            "kmeans is the default.",
        )
    parse_integer(options.stability, "stability", 0, 100)
    if options.stability == 1:
        raise OptionError("stability must be 0 or at least 2 seeds", "stability=1", "Use 5, the default.")
    make_projection(options.map, options.perplexity, parse_seed(options.seed))
    return options
