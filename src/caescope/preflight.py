"""How much memory and disk a long job will need, and a warning before it starts where that is not there.

The estimates add up what is held at the same time. What cannot be worked out was measured;
``python benchmarks/preflight.py`` sets the estimates beside what processes really hold and write.
"""

import warnings
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import prod, sqrt
from pathlib import Path
from typing import Any

import numpy as np
import torch

from caescope.analysis.baselines import MOST_FITTED
from caescope.analysis.choosing import MOST_JUDGED
from caescope.analysis.maps import MOST_IMAGES
from caescope.auditing import BLOCK_VALUES
from caescope.cae import CAE, parse_device
from caescope.data import ArraySource
from caescope.data.opening import Source
from caescope.encoding import PART_IMAGES
from caescope.model.architecture import Autoencoder
from caescope.model.memory import images_at_a_time
from caescope.model.objectives import KINDS
from caescope.model.options import Options, parse_options
from caescope.parallel import AHEAD, count_cores, share_of
from caescope.room import available_disk, available_memory
from caescope.run_options import RunOptions

MIB, GIB = 2**20, 2**30
FLOAT, DOUBLE = 4, 8  # bytes

# Measured, for what cannot be worked out
PROCESS = 465 * MIB  # Python with PyTorch and all else that the pipeline imports
JUDGING = 250 * MIB  # what figures, maps and TensorBoard import, and what earlier stages leave behind
LIBRARY = 65 * MIB  # kernels and buffers of PyTorch, once a network has learned
PER_WEIGHT = 11 * FLOAT  # what a checkpoint holds and its content as it is written, and the gradient
# Pictures as large as the network's largest that are held at a time, for each image that is learned from
LEARNING, VALIDATING = {"plain": 5, "residual": 10}, 2
VIEW = 0.5  # of that for the view that some objectives encode beside the image, and do not decode
UNRETURNED = 60  # blocks of images, at most, that the C library's allocator keeps for itself
PER_NEIGHBOUR = 66  # bytes for each image and neighbour of t-SNE's graph while it is made
MAPPING = {"tsne": 90 * MIB, "pca": 0, "umap": 240 * MIB, "pacmap": 130 * MIB}  # what a map imports
DRAWN = 1000  # images that are in memory as floats while figures are drawn
PARQUET = 1.4  # bytes in latents.parquet for each byte of a float: no two are the same, yet all are indexed
MODEL = 50 * 2**10  # bytes on the disk beside the weights, most of them HDF5's
GRAPH, HISTOGRAM, KERNEL = 200 * 2**10, 2 * 2**10, 7.4  # bytes in TensorBoard's files; KERNEL for each weight
FIGURES, PER_SIDE, LARGEST_SIDE = 1.2e6, 85e3, 300  # bytes; photographs grow with an image's side, to there

# From where they are asked for
IN_CHECKPOINT = 4  # of each weight: itself, two moments, the epoch's first
HISTOGRAMS, PREVIEW = 10, 6  # times that TensorBoard gets histograms, and images that it gets each epoch


@dataclass(frozen=True)
class Need:
    """What a job will need at its peak.

    Attributes
    ----------
    memory : int, bytes
        Of the whole process, with what it holds already. What a GPU holds is no part of it.
    disk : int, bytes
        On the disk of the output, beyond an earlier output that is to be replaced.
    """

    memory: int
    disk: int


def estimate_run(images: Source, options: RunOptions) -> Need:
    """Return what `caescope.pipeline.run` will need.

    Parameters
    ----------
    images : source
        With their split; in memory, if that is where they will be.
    options : RunOptions
        As `RunOptions.resolve` returns them.

    Returns
    -------
    Need
        Estimates of memory were 0.7 to 1.5 times what was measured.

    Examples
    --------
    >>> images = ArraySource(np.zeros((9, 28, 28)), split=["train", "validation", "test"] * 3)
    >>> need = estimate_run(images, RunOptions().resolve(images.shape, 3))
    >>> need.memory > 500 * 2**20, need.disk > 2**20
    (True, True)
    """
    job = _Job.of_training(images, options)
    peak = max(
        job.learning(options.batch_size),
        job.encoding(len(images)),
        job.baselines(),
        job.judging(options),
        DRAWN * FLOAT * job.values,
    )
    results = job.table(map_and_cluster=True) + job.figures()
    disk = job.logs(options) + job.model_and_checkpoint(results)
    return Need(int(PROCESS + JUDGING + job.kept() + peak), int(disk))


def estimate_fit(images: Source, options: RunOptions, log_dir: Any = None) -> Need:
    """Return what `caescope.pipeline.fit` will need.

    Parameters
    ----------
    images, options
        As in `estimate_run`.
    log_dir : path-like, optional
        Where TensorBoard's files go, if any; they are counted as if they were on the output's disk.

    Returns
    -------
    Need

    Examples
    --------
    >>> images = ArraySource(np.zeros((9, 28, 28)), split=["train", "validation", "test"] * 3)
    >>> options = RunOptions().resolve(images.shape, 3)
    >>> estimate_fit(images, options).memory < estimate_run(images, options).memory
    True
    """
    job = _Job.of_training(images, options)
    logs = 0 if log_dir is None else job.logs(options)
    memory = PROCESS + job.kept() + job.learning(options.batch_size)
    return Need(int(memory), int(logs + job.model_and_checkpoint()))


def estimate_encode(cae: CAE, images: Source) -> Need:
    """Return what `caescope.pipeline.encode` will need.

    Parameters
    ----------
    cae : CAE
        What encodes.
    images : source
        What is encoded.

    Returns
    -------
    Need
        On the disk all latents lie twice while their parts are joined.

    Examples
    --------
    >>> cae, images = CAE((28, 28, 1), 20, [8, 16]), ArraySource(np.zeros((9, 28, 28)))
    >>> estimate_encode(cae, images).disk
    2307
    """
    job = _Job(images, cae.options, cae.model.count_params(), cae.encoder.device)
    memory = PROCESS + job.kept() + 3 * FLOAT * job.weights + job.encoding(min(len(images), PART_IMAGES))
    return Need(int(memory), int(2 * job.table(map_and_cluster=False)))


def warn_if_too_large(need: Need, folder: Path, what: str = "This run") -> None:
    """Warn, with both numbers, where there is less memory or disk space than a job needs.

    Parameters
    ----------
    need : Need
    folder : pathlib.Path
        Where the output will lie; it need not exist yet.
    what : str
        What sentences call the job.

    Warns
    -----
    UserWarning
        Once for memory and once for disk space; an estimate is no reason to refuse.

    Examples
    --------
    >>> warn_if_too_large(Need(memory=2**20, disk=2**10), Path("runs"))
    """
    memory, disk = available_memory(), available_disk(folder)
    if memory is not None and need.memory > memory:
        _warn(
            f"{what} needs about {_size(need.memory)} of memory, and this process can have {_size(memory)}: "
            "use fewer or smaller images (--resize), a smaller batch size, or a machine with more memory"
        )
    if need.disk > disk:
        _warn(
            f"{what} needs about {_size(need.disk)} of disk space, and {_size(disk)} are free for {folder}: "
            "free some, or write to another disk"
        )


def _warn(sentence: str) -> None:
    warnings.warn(sentence, UserWarning, stacklevel=4)


def _size(n_bytes: float) -> str:
    """Return a number of bytes as people read it.

    >>> _size(7.94 * GIB), _size(300 * MIB)
    ('7.9 GiB', '300 MiB')
    """
    return f"{n_bytes / GIB:,.1f} GiB" if n_bytes >= GIB else f"{n_bytes / MIB:,.0f} MiB"


@dataclass(frozen=True)
class _Job:
    """What the parts of an estimate are worked out from; each part is in bytes."""

    images: Source
    network: Options
    weights: int
    device: torch.device

    @classmethod
    def of_training(cls, images: Source, options: RunOptions) -> "_Job":
        network = parse_options(images.shape, **options.network)
        with torch.device("meta"):  # weights without memory
            weights = sum(weight.numel() for weight in Autoencoder(network).parameters())
        return cls(images, network, weights, parse_device(options.device))

    @property
    def values(self) -> int:
        """Pixels and channels of an image."""
        return prod(self.images.shape)

    @cached_property
    def image(self) -> int:
        """An image as it is stored, one byte or four for each value; the first one tells."""
        return self.images.read(slice(0, 1)).nbytes

    @property
    def features(self) -> int:
        """Latents of an image."""
        return prod(self.network.latent_shape)

    def split(self, *names: str) -> int:
        """How many images are in these splits."""
        return int(np.isin(np.asarray(self.images.split), names).sum())

    def kept(self) -> int:
        """What the source holds, twice where texts are handed on."""
        pixels = len(self.images) * self.image if isinstance(self.images, ArraySource) else 0
        known = (self.images.ids, self.images.split, self.images.labels, *self.images.columns.values())
        return pixels + 2 * sum(getattr(column, "nbytes", 0) for column in known)

    def largest(self) -> int:
        """The largest picture that a layer makes of one image; a GPU has it in its own memory."""
        return FLOAT * self.network.largest_activation if self.device.type == "cpu" else 0

    def learning(self, batch_size: int) -> float:
        """Training beside the images of a source, of which splits in memory are copies."""
        batch = min(batch_size, self.split("train"))
        seen = KINDS[self.network.objective]
        part = batch if seen.couples_images else min(batch, images_at_a_time(self.network, self.device))
        validated = min(batch_size, self.split("validation"))  # all of a batch at a time
        if isinstance(self.images, ArraySource):
            read = self.split("train", "validation") * self.image
        else:
            read = min(AHEAD * count_cores() * batch, self.split("train")) * self.image
        held = LEARNING[self.network.architecture] * (1 + VIEW * seen.couples_images)
        pictures = (held * part + VALIDATING * validated) * self.largest()
        return LIBRARY + PER_WEIGHT * self.weights + pictures + batch * FLOAT * self.values + read

    def encoding(self, n_kept: int) -> float:
        """Encoding and measuring, where the latents of ``n_kept`` images are held until they are written."""
        n, cores = len(self.images), count_cores()
        block = share_of(n, images_at_a_time(self.network, self.device), cores)
        pixels = block * FLOAT * self.values
        working = cores * (2 * block * self.largest() + 2 * pixels)
        left = min(-(-n // block), UNRETURNED) * pixels
        return 20 * MIB + working + left + 4 * n_kept * FLOAT * self.features

    def baselines(self) -> float:
        """PCA of the pixels, as they are stored, as floats, and centred; then its errors, on all cores."""
        fitted = min(self.split("train") * self.values, max(MOST_FITTED, 2 * self.values))
        at_once = min(len(self.images) * self.values, count_cores() * max(BLOCK_VALUES, self.values))
        stored = self.image / self.values
        return max(fitted * (stored + 2 * FLOAT), at_once * (stored + 4 * FLOAT))

    def judging(self, options: RunOptions) -> float:
        """Latents in several forms, and the most that a map, a mixture or silhouettes need beside them."""
        n_train = self.split("train")
        fitted = min(n_train, MOST_IMAGES)
        neighbours = min(3 * options.perplexity, n_train) if options.map == "tsne" else 0
        mapping = MAPPING[options.map] + fitted * neighbours * PER_NEIGHBOUR
        mixture = 4 * (options.clusters or 20) * self.features**2 * DOUBLE
        silhouettes = min(n_train, MOST_JUDGED) ** 2 * DOUBLE
        return 4 * len(self.images) * self.features * DOUBLE + max(mapping, mixture, silhouettes)

    def model_and_checkpoint(self, results: float = 0) -> float:
        """A checkpoint takes the place of the one before; the last lies beside model and results."""
        model = FLOAT * self.weights + MODEL
        checkpoint = IN_CHECKPOINT * FLOAT * self.weights
        return max(2 * checkpoint, checkpoint + model + results)

    def logs(self, options: RunOptions) -> float:
        """TensorBoard's files: kernels and a few images each epoch, histograms now and then."""
        assert options.epochs is not None  # filled in by resolve
        channels = (self.images.shape[2], *self.network.filters)
        kernels = 2 * prod(self.network.kernel) * sum(a * b for a, b in pairwise(channels))
        tensors = 4 * (len(self.network.filters) + 1)
        each = KERNEL * kernels + PREVIEW * self.values
        often = min(HISTOGRAMS, options.epochs) * 2 * tensors * HISTOGRAM
        return GRAPH + options.epochs * each + often

    def table(self, map_and_cluster: bool) -> float:
        """latents.parquet: latents, error, mean colours, map and cluster as floats, and what is known."""
        floats = self.features + 1 + self.images.shape[2] + 3 * map_and_cluster
        some = np.asarray(self.images.ids[:: max(1, len(self.images) // 1000)])
        ids = float(np.char.str_len(some.astype(str)).mean()) + 4
        others = 8 * (len(self.images.columns) + (self.images.labels is not None))
        return len(self.images) * (PARQUET * FLOAT * floats + ids + others)

    def figures(self) -> float:
        """Figures, and the report that holds some of them."""
        return FIGURES + PER_SIDE * min(sqrt(self.values), LARGEST_SIDE)
