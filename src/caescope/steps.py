"""The steps of a run, each from what the one before returned."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from caescope.analysis.judging import judge
from caescope.analysis.latents import flatten_latents
from caescope.analysis.reconstruction import image_errors, reconstruction_quality
from caescope.cae import CAE
from caescope.callbacks import History, Progress, TensorBoard
from caescope.data import SPLITS, ArraySource
from caescope.figures import draw_images, draw_judgement
from caescope.progress import Stages
from caescope.protocol import describe_protocol
from caescope.report import write_report
from caescope.run_folder import write_record
from caescope.run_options import RunOptions
from caescope.table import LatentTable

CHUNK = 4096  # images whose reconstructions are in memory at a time


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


def encode_images(cae: CAE, images: ArraySource, stages: Stages) -> tuple[LatentTable, dict[str, Any]]:
    """Return the latents and errors of all images, and the reconstruction's quality in each split."""
    with stages.stage("encode", f"{len(images):,} images"):
        latents = cae.encoder.predict(images.images)
    with stages.stage("reconstruct", f"{len(images):,} images"):
        errors = np.empty(len(images), np.float32)
        quality = {}
        for name in SPLITS if images.split is not None else ():
            rows = np.flatnonzero(images.split == name)
            quality[name], errors[rows] = _reconstruct(cae, images, latents, rows)
        if images.split is None:
            _, errors = _reconstruct(cae, images, latents, np.arange(len(images)))
    table = LatentTable(images.ids, flatten_latents(latents), images.split, images.labels, errors=errors)
    return table, quality


def _reconstruct(cae: CAE, images: ArraySource, latents: np.ndarray, rows: np.ndarray):
    """Return the mean quality over ``rows`` and the error of each, a chunk in memory at a time."""
    errors, sums = [], {}
    for start in range(0, len(rows), CHUNK):
        chunk = rows[start : start + CHUNK]
        originals, reconstructions = images.read(chunk), cae.decoder.predict(latents[chunk])
        errors.append(image_errors(originals, reconstructions))
        for name, value in reconstruction_quality(originals, reconstructions).items():
            sums[name] = sums.get(name, 0.0) + value * len(chunk) / len(rows)
    return sums, np.concatenate(errors)


def judge_into(
    partial: Path,
    table: LatentTable,
    images: ArraySource | None,
    options: RunOptions,
    stages: Stages,
    facts: dict[str, Any],
    metrics: dict[str, Any],
) -> None:
    """Judge the latents and write the table, figures, records and report into a run folder."""
    assert table.split is not None
    judgement = judge(
        table.latents,
        table.split,
        table.labels,
        stages.stage,
        options.map,
        options.perplexity,
        options.clusters,
        options.seed,
    )
    if table.labels is not None and judgement.probe is None:
        stages.say("labels: left out of the judgement, which needs 2 to 200 different ones")
    table = replace(table, map=judgement.map, clusters=judgement.assigned)
    table.write(partial / "latents.parquet")
    with stages.stage("figures", "drawing"):
        draw_judgement(figures_of(partial), table, judgement)
        if images is not None:
            draw_images(figures_of(partial), images, table, judgement)
    protocol = describe_protocol(facts["n_images"], options, metrics | judgement.metrics)
    seconds = {"seconds": metrics["seconds"] | stages.total()}
    write_record(partial, facts, metrics | judgement.metrics | seconds | {"protocol": protocol})
    write_report(partial)


def figures_of(folder: Path) -> Path:
    figures = folder / "figures"
    figures.mkdir(exist_ok=True)
    return figures
