"""The steps of a run, each from what the one before returned."""

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from caescope.analysis.gathering import compare_gathering
from caescope.analysis.judging import map_and_cluster
from caescope.analysis.latents import flatten_latents
from caescope.cae import CAE
from caescope.callbacks import Callback, Checkpoint, EarlyStopping, History, Progress, TensorBoard
from caescope.data import ArraySource
from caescope.data.opening import Source
from caescope.data.subset import Subset
from caescope.parallel import blocks_of, map_in_order
from caescope.progress import Stages
from caescope.recipes import choose
from caescope.refining import Start, find_start, refine
from caescope.run_options import RunOptions
from caescope.scale.training import fit_with
from caescope.scale.workers import Workers

BLOCK_IMAGES = 256  # that are encoded at a time


def choose_options(
    options: RunOptions, images: Source, n_training: int, given: Mapping[str, Any], stages: Stages
) -> tuple[RunOptions, dict[str, str]]:
    """Return the options with what their recipe chooses for these images and nobody gave, and the reasons."""
    if options.recipe is None:
        return options, {}
    recipe = choose(options.recipe, images, n_training).without(given)
    stages.say(f"recipe {options.recipe}:{recipe}")
    return replace(options, **recipe.options), recipe.reasons


def train(
    cae: CAE,
    images: Source,
    options: RunOptions,
    stages: Stages,
    verbose,
    log_dir,
    checkpoint: Path,
    workers: Workers | None = None,
) -> History:
    """Train on the train images, show progress, and write TensorBoard's files into ``log_dir``, if any.

    What an earlier process left in ``checkpoint`` is gone on with. Workers, if any, share every batch.
    """
    training, validation = (part_of(images, name) for name in ("train", "validation"))
    assert options.epochs is not None  # filled in by resolve
    shown, callbacks = _shown(verbose), _stopping(options)
    if log_dir is not None:
        often = max(1, options.epochs // 10)
        callbacks += [TensorBoard(log_dir, histogram_freq=often, write_images=True, write_grads=True)]
    if Checkpoint(checkpoint).path.exists():
        stages.say("train: goes on where it was interrupted")
    how = {"batch_size": options.batch_size, "epochs": options.epochs, "checkpoint": checkpoint}
    how["validation_data"] = validation
    by = f" by {workers.number} workers" if workers else ""
    with stages.stage("train", f"{options.epochs} epochs of {len(training):,} images{by}", spin=False):
        if workers:
            history = fit_with(workers, cae, training, shown=shown, callbacks=callbacks, **how)
        else:
            history = cae.model.fit(training, verbose=0, callbacks=[*shown, *callbacks], **how)
    if kept := kept_epoch(history, options):
        stages.say(
            f"train: ended after {len(history.epoch)} epochs, with the weights of epoch {kept}, the best"
        )
    return history


def kept_epoch(history: History, options: RunOptions) -> int | None:
    """Return the epoch, counted from 1, that a training ended with the weights of, unless it is the last."""
    errors = history.history["val_loss"]
    best = 1 + int(np.argmin(errors))
    return None if options.patience is None or best == len(errors) else best


def _stopping(options: RunOptions) -> list[Callback]:
    """Return what ends a training that learns its images by heart, where the options allow for it."""
    if options.patience is None:
        return []
    return [EarlyStopping(patience=options.patience, restore_best_weights=True)]


def gather(
    cae: CAE, images: Source, options: RunOptions, stages: Stages, verbose, checkpoint: Path
) -> dict[str, Any]:
    """Let latents gather in clusters, and return what metrics.json says of it."""
    training = part_of(images, "train")
    before, start = gather_only(cae, training, options, stages, verbose, checkpoint)
    with stages.stage("compare", f"{start.k} clusters of the latents, before and after"):
        after = flatten_latents(_predict(cae, training))
        labels = None if images.labels is None else images.labels[images.split == "train"]
        found = compare_gathering(before, after, start.k, labels, options.seed)
    return start.as_dict() | {"epochs": epochs_of_gathering(options)} | found


def gather_only(
    cae: CAE, training: Any, options: RunOptions, stages: Stages, verbose, checkpoint: Path
) -> tuple[np.ndarray, Start]:
    """Let latents of a part of the images gather; return them as they were, and where the clusters were."""
    epochs = epochs_of_gathering(options)
    with stages.stage("refine", f"{epochs} epochs around the clusters of a map of the latents", spin=False):
        return _gathered(cae, training, options, checkpoint, _shown(verbose))


def epochs_of_gathering(options: RunOptions) -> int:
    """Return for how many epochs latents gather: half of those of training."""
    assert options.epochs is not None  # filled in by resolve
    return max(1, round(options.epochs / 2))


def _gathered(
    cae: CAE, training: Any, options: RunOptions, checkpoint: Path, callbacks=()
) -> tuple[np.ndarray, Start]:
    before = flatten_latents(_predict(cae, training))
    k = None if options.refine == "auto" else options.refine
    start = find_start(before, k, options.seed)  # pyright: ignore[reportArgumentType] - "auto" is gone
    refine(
        cae,
        training,
        start,
        epochs_of_gathering(options),
        batch_size=options.batch_size,
        callbacks=callbacks,
        checkpoint=checkpoint,
    )
    return before, start


def _shown(verbose) -> list[Progress]:
    return [] if verbose == 0 else [Progress("auto" if verbose is True else verbose, sys.stderr)]


def part_of(images: Source, split: str) -> Any:
    """Return the images of one split: an array where they are in memory, else what reads them."""
    rows = np.flatnonzero(images.split == split)
    return images.read(rows) if isinstance(images, ArraySource) else Subset(images, rows)


def _predict(cae: CAE, images: Any) -> np.ndarray:
    """Return the latents of what `part_of` returned."""
    if not isinstance(images, Subset):
        return cae.encoder.predict(images)
    blocks = blocks_of(len(images), BLOCK_IMAGES)
    return np.concatenate([cae.encoder.predict(part) for part in map_in_order(images.read, blocks)])


def other_models(images: Source, options: RunOptions, stages: Stages, checkpoint: Path) -> list[np.ndarray]:
    """Return the clusters that the same procedure with other seeds finds in the train images.

    Each is of shape (n_train,), int32; there is one for each model that the options ask for beyond the first.
    """
    if options.models == 1:  # no other will read the images
        return []
    training, validation = (part_of(images, name) for name in ("train", "validation"))
    found = []
    for i in range(1, options.models):
        again = replace(options, seed=options.seed + i)
        with stages.stage(f"model {i + 1}", f"trained, mapped and clustered with seed {again.seed}"):
            cae = again.new_cae(images.shape)
            assert again.epochs is not None  # filled in by resolve
            stopping = _stopping(again)
            cae.model.fit(
                training,
                batch_size=again.batch_size,
                epochs=again.epochs,
                verbose=0,
                callbacks=stopping,
                validation_data=validation if stopping else None,
                checkpoint=checkpoint / f"model-{i + 1}",
            )
            if again.refine:
                _gathered(cae, training, again, checkpoint / f"refined-{i + 1}")
            latents = flatten_latents(_predict(cae, training))
            found.append(map_and_cluster(latents, again.judging))
    return found
