"""The steps of a run, each from what the one before returned."""

import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from caescope.analysis.judging import judge
from caescope.analysis.latents import flatten_latents
from caescope.analysis.reconstruction import image_errors, image_quality
from caescope.cae import CAE
from caescope.callbacks import History, Progress, TensorBoard
from caescope.data import SPLITS, ArraySource
from caescope.data.opening import Source
from caescope.figures import draw_images, draw_judgement
from caescope.model.memory import images_at_a_time
from caescope.parallel import blocks_of, count_cores, map_in_order, one_thread_each, share_of
from caescope.progress import Stages
from caescope.protocol import describe_protocol
from caescope.report import write_report
from caescope.run_folder import write_record
from caescope.run_options import RunOptions
from caescope.table import LatentTable


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
) -> tuple[LatentTable, dict[str, Any]]:
    """Return the latents and errors of all images and, when ``judged``, the quality in each split.

    Each core reads, encodes and reconstructs small blocks of its own: what a block needs stays in the core's
    cache, and no more than a few blocks are in memory.
    """
    measure = image_quality if judged else _errors_only
    size = "×".join(map(str, images.shape))  # a folder compares all headers here, before it encodes
    with stages.stage("encode", f"{len(images):,} images of {size}"), one_thread_each():
        encode = partial(_encode_rows, cae, images, measure, _turns(cae))
        parts = list(map_in_order(encode, blocks_of(len(images), block_size(cae, images))))
    latents = flatten_latents(np.concatenate([latents for latents, _ in parts]))
    figures = {name: np.concatenate([part[name] for _, part in parts]) for name in parts[0][1]}
    errors = figures["mse"].astype(np.float32)
    table = LatentTable(images.ids, latents, images.split, images.labels, errors=errors)
    return table, _means(figures, images.split) if judged else {}


def _encode_rows(cae: CAE, images: Source, measure, turns: AbstractContextManager, rows: slice):
    """Return the latents of ``rows`` and what ``measure`` says of each reconstruction."""
    originals = images.read(rows)
    with turns:
        latents = cae.encoder.predict(originals)
        reconstructions = cae.decoder.predict(latents)
    return latents, measure(originals, reconstructions)


def _errors_only(images: np.ndarray, reconstructions: np.ndarray) -> dict[str, np.ndarray]:
    return {"mse": image_errors(images, reconstructions)}


def _means(figures: dict[str, np.ndarray], split: np.ndarray | None) -> dict[str, dict[str, float]]:
    """Return the mean of every figure over each split that has images."""
    rows = {} if split is None else {name: split == name for name in SPLITS if name in split}
    return {
        name: {figure: float(values[chosen].mean()) for figure, values in figures.items()}
        for name, chosen in rows.items()
    }


def block_size(cae: CAE, images: Source) -> int:
    """Return how many images a core works on at a time; with few images, every core still gets some."""
    return share_of(len(images), images_at_a_time(cae.options, cae.encoder.device), count_cores())


def _turns(cae: CAE) -> AbstractContextManager:
    """Return what threads hold while they use the network: on a GPU one block at a time has its memory."""
    return nullcontext() if cae.encoder.device.type == "cpu" else Lock()


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
