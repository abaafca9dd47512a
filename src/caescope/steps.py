"""The steps of a run, each from what the one before returned."""

import sys
from dataclasses import replace

import numpy as np

from caescope.analysis.judging import map_and_cluster
from caescope.analysis.latents import flatten_latents
from caescope.cae import CAE
from caescope.callbacks import History, Progress, TensorBoard
from caescope.data import ArraySource
from caescope.progress import Stages
from caescope.run_options import RunOptions


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
