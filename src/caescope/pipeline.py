"""From images to a run folder: train, encode, judge, draw, report."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

from caescope.analysis.subject import demand_clusters_fit
from caescope.analyzing import analyze
from caescope.auditing import (
    Material,
    audit_into,
    demand_overlay,
    figures_of,
    group_column,
    slides_among,
    summarise_quality,
)
from caescope.cae import CAE
from caescope.data import split_source
from caescope.encoding import COLOURS, encode_images, encode_to_file
from caescope.encoding_parts import encode_to_parts
from caescope.figures import draw_reconstruction
from caescope.parsing import is_path
from caescope.parts_job import demand_free
from caescope.preflight import Need, estimate_encode, estimate_fit, estimate_run, warn_if_too_large
from caescope.progress import Stages
from caescope.remote_output import output_folder
from caescope.run_folder import Run, describe, fingerprint_source, is_same_run, keep_notes, read_run
from caescope.run_options import parse_run_options
from caescope.scale.encoding import encode_with
from caescope.scale.workers import parse_workers
from caescope.source_options import keep_small, parse_source_options, split_options
from caescope.staging import CHECKPOINT, OutputFolder, demand_new
from caescope.steps import choose_options, gather, gather_only, kept_epoch, other_models, part_of, train
from caescope.storage import is_remote, path_or_url

__all__ = ["analyze", "encode", "fit", "run"]


def run(
    source: Any,
    out: str | os.PathLike,
    *,
    labels: Any = None,
    columns: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    resume: bool = False,
    verbose: int | str = "auto",
    **options: Any,
) -> Run:
    """Train an autoencoder on images, judge its latents, and write all of it into one folder.

    Parameters
    ----------
    source : array_like, path-like or name
        As in `caescope.data.open_source`.
    out : path-like
        The run folder; it appears when everything has succeeded.
    labels : array_like or path-like, optional
        Labels in place of the source's own; a table's other columns become the source's.
    columns : mapping of str to array_like, shape (n_images,), optional
        What else is known about each image by name, such as its slide.
    overwrite : bool
        Whether an earlier run in ``out`` may be replaced.
    resume : bool
        Whether a run that was interrupted goes on where its training was, a minute ago at most; where none
        was, it begins, and one that is whole already is returned.
    verbose : {"auto", 0}
        Whether to report progress on standard error.
    **options
        As in `caescope.run_options.RunOptions`, for example ``latent_features=20, epochs=5, seed=0``, and in
        `caescope.source_options.SourceOptions`, for example ``resize=64``.

    Returns
    -------
    Run

    Raises
    ------
    DataError, FileFormatError, OptionError
        If the images, labels or an option cannot be used; nothing is written then.
    OutputError
        If the folder cannot be written; an earlier run in it is still there then.
    TrainingStopped
        At Ctrl-C or SIGTERM while training; ``resume`` goes on with it.

    Examples
    --------
    >>> run("digits", "runs/digits").metrics["latents"]["dead"]  # doctest: +SKIP
    0
    """
    where, how = split_options(options)
    parsed, folder = parse_run_options(how), OutputFolder(out, overwrite, resume)
    opened = where.find(source, labels)
    opened = replace(opened, columns={**opened.columns, **(columns or {})})
    parsed = replace(parsed, group=parsed.group or slides_among(opened.columns))
    groups = group_column(opened.columns, parsed.group)
    images = keep_small(split_source(opened, parsed.seed, groups=groups))
    n_training = int((images.split == "train").sum())
    demand_clusters_fit(parsed.clusters, n_training)
    stages = Stages(verbose)
    parsed, reasons = choose_options(parsed, images, n_training, how, stages)
    parsed = parsed.resolve(images.shape, n_training)
    warn_if_too_large(estimate_run(images, parsed), folder.path)
    cae = parsed.new_cae(images.shape)
    known = (*opened.columns, *COLOURS[images.shape[2]])
    demand_overlay(parsed.overlay, known, prod(cae.encoder.output_shape))
    facts = describe(images.name, images.split, parsed.as_dict(), fingerprint_source(images))
    facts |= {"source_path": _name_of(source), "image_shape": list(images.shape)}
    facts |= {"source_options": where.given(), "skipped": [list(pair) for pair in _skipped(opened)]}
    facts |= {"chosen": reasons} if reasons else {}
    facts["split"] = "given" if opened.split is not None else "random" if groups is None else "grouped"
    if folder.is_done and is_same_run(folder.path, facts, overwrite):
        stages.say(f"{folder.path} is whole already")
        return read_run(folder.path)
    with folder.staged() as partial:
        checkpoint = partial / CHECKPOINT
        history = train(cae, images, parsed, stages, verbose, partial / "logs", checkpoint)
        metrics: dict[str, Any] = {}
        if parsed.refine:
            metrics["refinement"] = gather(cae, images, parsed, stages, verbose, checkpoint / "refined")
        cae.save(partial / "model")
        table, quality = encode_images(cae, images, stages)
        metrics["reconstruction"] = summarise_quality(quality, images.split, groups, parsed.seed)
        kept = kept_epoch(history, parsed)
        draw_reconstruction(figures_of(partial), cae, images, history, kept, table)
        others = other_models(images, parsed, stages, checkpoint)
        material = Material(images, cae, others, facts["split"], opened)
        keep_notes(folder.path, partial)
        audit_into(partial, table, material, parsed, stages, facts, metrics)
    return read_run(folder.path)


def fit(
    source: Any,
    out: str | os.PathLike,
    *,
    overwrite: bool = False,
    resume: bool = False,
    verbose: int | str = "auto",
    log_dir: str | os.PathLike | None = None,
    workers: int | None = None,
    address: str | None = None,
    gpus_per_worker: float = 0,
    cpus_per_worker: int | None = None,
    **options: Any,
) -> CAE:
    """Train an autoencoder on a source's train images and write its model folder.

    Parameters
    ----------
    source, overwrite, resume, verbose, **options
        As in `run`.
    out : path-like
        The model folder; it may be on storage: ``s3://bucket/model``.
    log_dir : path-like, optional
        Where TensorBoard's event files go; none are written by default.
    workers, address, gpus_per_worker, cpus_per_worker
        Processes that share every batch, as in `caescope.scale.workers.Workers`; this one alone by default.
        With the same options and seed they learn what it does.

    Returns
    -------
    CAE
    """
    team = parse_workers(workers, address, gpus_per_worker, cpus_per_worker)
    where, how = split_options(options)
    parsed, folder = parse_run_options(how), output_folder(out, overwrite, resume, mark="params.yaml")
    images = keep_small(split_source(where.find(source), parsed.seed))
    n_training, stages = int((images.split == "train").sum()), Stages(verbose)
    parsed, _ = choose_options(parsed, images, n_training, {"map": parsed.map} | how, stages)
    parsed = parsed.resolve(images.shape, n_training)
    warn_if_too_large(estimate_fit(images, parsed, log_dir), folder.path, "This training")
    cae = parsed.new_cae(images.shape)
    if folder.is_done and (done := CAE(path=folder.target, load=True)).options == cae.options:
        stages.say(f"{folder.target} is whole already")
        return done
    with folder.staged() as partial:
        checkpoint = partial / CHECKPOINT
        train(cae, images, parsed, stages, verbose, log_dir, checkpoint, team)
        if parsed.refine:
            gather_only(cae, part_of(images, "train"), parsed, stages, verbose, checkpoint / "refined")
        cae.save(partial)
    cae.path = folder.target
    return cae


def encode(
    model: str | os.PathLike,
    source: Any,
    out: str | os.PathLike,
    *,
    labels: Any = None,
    overwrite: bool = False,
    verbose: int | str = "auto",
    device: str = "auto",
    precision: str = "float32",
    workers: int | None = None,
    address: str | None = None,
    gpus_per_worker: float = 0,
    cpus_per_worker: int | None = None,
    **options: Any,
) -> Path | str:
    """Write the latents and the reconstruction error of every image as Parquet.

    The images of a folder are read while others are being encoded, and never all in memory. What is done is
    kept beside ``out``: an encoding that was interrupted goes on where it stopped when it is asked for again.

    Parameters
    ----------
    model : path-like
        A model folder.
    source, labels, verbose
        As in `run`.
    out : path-like
        The Parquet file; with workers, or on object storage, a folder of parts.
    overwrite : bool
        Whether a file or a folder of parts that is there may be replaced.
    precision : {"float32", "auto", "bfloat16"}
        In which numbers networks compute, as `CAE`'s ``predict_precision``; what is written is float32. With
        workers, "auto" is what the machine that starts them is fast in.
    workers, address, gpus_per_worker, cpus_per_worker
        Processes that share the work, as in `caescope.scale.workers.parse_workers`. However many there are,
        the result is the same.
    **options
        As in `caescope.source_options.SourceOptions`.

    Returns
    -------
    pathlib.Path or str
        The file or folder; `caescope.table.read_latents` reads it, which needs memory for all of its rows,
        and `caescope.parts.open_parts` reads a folder part by part.

    Raises
    ------
    DataError
        If the images have another shape than the model was made for.
    MissingDependencyError, OptionError
        If workers are asked for and Ray is not installed, or they cannot be had.
    """
    together = parse_workers(workers, address, gpus_per_worker, cpus_per_worker)
    is_file = together is None and not is_remote(out)
    if is_file:
        demand_new(out, Path(out).exists(), overwrite)
    else:
        demand_free(out, overwrite)
    here = device if together is None else "cpu"
    cae = CAE(path=model, load=True, device=here, predict_precision=precision)
    images = parse_source_options(options).find(source, labels)
    if not is_remote(out):
        need = estimate_encode(cae, images)
        parts = Need(memory=0, disk=need.disk // 2)  # which are not joined
        warn_if_too_large(need if is_file else parts, Path(out).parent, "This encoding")
    if is_file:
        encode_to_file(cae, images, Path(out), Stages(verbose))
        return Path(out)
    share = None if together is None else encode_with(together, device)
    encode_to_parts(cae, images, path_or_url(out), Stages(verbose), share)
    return path_or_url(out)


def _skipped(source: Any) -> Sequence[tuple[str, str]]:
    """Return what was left out of a source, and why."""
    return getattr(source, "skipped", ())


def _name_of(source: Any) -> str | None:
    """Return what `open_source` would find the source by again: a name, a URL or an absolute path."""
    if not is_path(source):
        return None
    if is_remote(source):
        return str(path_or_url(source))
    return str(source) if source in ("digits", "tissue", "mnist") else str(Path(source).absolute())
