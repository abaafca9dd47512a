"""The steps of a run, each from what the one before returned."""

import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from threading import Lock

import numpy as np

from caescope.analysis.baselines import mean_colour
from caescope.analysis.judging import map_and_cluster
from caescope.analysis.latents import flatten_latents
from caescope.analysis.reconstruction import image_errors, image_quality
from caescope.cae import CAE
from caescope.callbacks import History, Progress, TensorBoard
from caescope.data import ArraySource
from caescope.data.opening import Source
from caescope.model.memory import images_at_a_time
from caescope.parallel import blocks_of, count_cores, map_in_order, one_thread_each, share_of
from caescope.progress import Stages
from caescope.run_options import RunOptions
from caescope.table import LatentTable

COLOURS = {1: ("brightness",), 3: ("red", "green", "blue")}  # columns for the mean of each channel


def train(cae: CAE, images: ArraySource, options: RunOptions, stages: Stages, verbose, log_dir) -> History:
    """Train on the train images, show progress, and write TensorBoard's files into ``log_dir``, if any."""
    training, validation = (images.read(images.split == name) for name in ("train", "validation"))
    assert options.epochs is not None  # filled in by resolve
    callbacks = [] if verbose == 0 else [Progress("auto" if verbose is True else verbose, sys.stderr)]
    if log_dir is not None:
        often = max(1, options.epochs // 10)
        callbacks += [TensorBoard(log_dir, histogram_freq=often, write_images=True, write_grads=True)]
    with stages.stage("train", f"{options.epochs} epochs of {len(training):,} images", spin=False):
        return cae.model.fit(
            training,
            batch_size=options.batch_size,
            epochs=options.epochs,
            verbose=0,
            callbacks=callbacks,
            validation_data=validation,
        )


def encode_images(
    cae: CAE, images: Source, stages: Stages, judged: bool = False
) -> tuple[LatentTable, dict[str, np.ndarray]]:
    """Return latents, errors and mean colours of all images and, when ``judged``, their whole quality.

    The quality is what `caescope.analysis.reconstruction.image_quality` says of each image.

    Each core reads, encodes and reconstructs small blocks of its own: what a block needs stays in the core's
    cache, and no more than a few blocks are in memory.
    """
    measure = image_quality if judged else _errors_only
    size = "×".join(map(str, images.shape))  # a folder compares all headers here, before it encodes
    with stages.stage("encode", f"{len(images):,} images of {size}"), one_thread_each():
        encode = partial(_encode_rows, cae, images, measure, _turns(cae))
        parts = list(map_in_order(encode, blocks_of(len(images), block_size(cae, images))))
    latents = flatten_latents(np.concatenate([latents for latents, *_ in parts]))
    quality = {name: np.concatenate([part[name] for _, part, _ in parts]) for name in parts[0][1]}
    colours = np.concatenate([colours for *_, colours in parts])
    table = LatentTable(
        images.ids,
        latents,
        images.split,
        images.labels,
        errors=quality["mse"].astype(np.float32),
        columns={**images.columns, **dict(zip(COLOURS[colours.shape[1]], colours.T, strict=True))},
    )
    return table, quality


def _encode_rows(cae: CAE, images: Source, measure, turns: AbstractContextManager, rows: slice):
    """Return the latents of ``rows``, what ``measure`` says of each reconstruction, and mean colours."""
    originals = images.read(rows)
    with turns:
        latents = cae.encoder.predict(originals)
        reconstructions = cae.decoder.predict(latents)
    return latents, measure(originals, reconstructions), mean_colour(originals)


def _errors_only(images: np.ndarray, reconstructions: np.ndarray) -> dict[str, np.ndarray]:
    return {"mse": image_errors(images, reconstructions)}


def block_size(cae: CAE, images: Source) -> int:
    """Return how many images a core works on at a time; with few images, every core still gets some."""
    return share_of(len(images), images_at_a_time(cae.options, cae.encoder.device), count_cores())


def _turns(cae: CAE) -> AbstractContextManager:
    """Return what threads hold while they use the network: on a GPU one block at a time has its memory."""
    return nullcontext() if cae.encoder.device.type == "cpu" else Lock()


def other_models(images: ArraySource, options: RunOptions, stages: Stages) -> list[np.ndarray]:
    """Return the clusters that the same procedure with other seeds finds in the train images.

    Each is of shape (n_train,), int32; there is one for each model that the options ask for beyond the first.
    """
    training, found = images.read(images.split == "train"), []
    for i in range(1, options.models):
        again = replace(options, seed=options.seed + i)
        with stages.stage(f"model {i + 1}", f"trained, mapped and clustered with seed {again.seed}"):
            cae = again.new_cae(images.shape)
            assert again.epochs is not None  # filled in by resolve
            cae.model.fit(training, batch_size=again.batch_size, epochs=again.epochs, verbose=0)
            latents = flatten_latents(cae.encoder.predict(training))
            found.append(map_and_cluster(latents, again.judging))
    return found
