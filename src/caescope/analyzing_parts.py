"""From latents in parts, more than fit into memory, to a judged run folder: a sample, then everything."""

import os
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from caescope.analysis.subject import demand_clusters_fit
from caescope.auditing import Material, audit_into, demand_overlay, figures_of, slides_among
from caescope.errors import OptionError
from caescope.figures.everything import draw_everything
from caescope.parsing import parse_integer
from caescope.parts import open_parts, write_success
from caescope.partwise.assigning import Assigner, Fitted
from caescope.partwise.describing import describe_everything
from caescope.partwise.fitting import Split, fit_sample, split_sample
from caescope.partwise.judging import judge_totals
from caescope.partwise.reading import PartReader
from caescope.partwise.resuming import describe_job, load_standing, save_standing
from caescope.partwise.sampling import Sample, draw_sample
from caescope.partwise.totals import Totals
from caescope.progress import Progress, Stages
from caescope.report import write_report
from caescope.run_folder import Run, describe, fingerprint_array, read_run, write_record
from caescope.run_options import RunOptions, parse_run_options
from caescope.scale.assigning import assign_with
from caescope.scale.connecting import connected
from caescope.scale.workers import Workers
from caescope.staging import CHECKPOINT, OutputFolder
from caescope.storage import find_place, is_remote
from caescope.table import LatentTable

SAMPLE = 100_000  # images
EVERYTHING = "everything.parquet"


def analyze_parts(
    latents: str | os.PathLike,
    out: str | os.PathLike | None = None,
    *,
    labels: str | None = None,
    sample: int = SAMPLE,
    workers: Workers | None = None,
    overwrite: bool = False,
    resume: bool = False,
    verbose: int | str = "auto",
    **options: Any,
) -> Run:
    """Judge a random sample of latents in parts, and assign all images to its map and clusters.

    No more than a few parts and the sample are in memory.

    Parameters
    ----------
    latents : path-like
        A folder of parts, as `caescope.parts` describes it.
    out : path-like, optional
        A new run folder; by default ``name-analysis`` beside ``name.parquet``. It holds what an analysis of
        the sample holds, and ``everything.parquet``, a folder of parts with ``id``, ``split``, ``label``,
        ``map_x``, ``map_y``, ``cluster``, ``error`` and the group of every image; ``metrics.json`` has the
        figures of all images under ``everything``.
    labels : str, optional
        Another column as labels.
    sample : int, at least 1
        How many images are judged; all, where there are no more.
    workers : Workers, optional
        Processes that share the assignment; they read the parts and write into ``out``.
    resume : bool
        Whether to go on after the last part that an interrupted job finished.
    overwrite, verbose, **options
        As in `caescope.analyzing.analyze`.

    Raises
    ------
    DataError, FileFormatError, OptionError
        If parts, labels or an option cannot be used.
    """
    parsed = parse_run_options(options)
    wanted = parse_integer(sample, "sample")
    reader = PartReader(open_parts(latents), labels)
    folder = _place_for(latents, out, overwrite, resume)
    if folder.is_done:
        return read_run(folder.path)
    # From the beginning, so that a cluster that cannot be had is known before the sample is judged
    with nullcontext() if workers is None else connected(workers):
        _analyze(reader, folder, wanted, workers, parsed, Stages(verbose))
    return read_run(folder.path)


def _analyze(
    reader: PartReader,
    folder: OutputFolder,
    wanted: int,
    workers: Workers | None,
    options: RunOptions,
    stages: Stages,
) -> None:
    drawn = _draw(reader, wanted, options.seed, stages)
    options = replace(options, group=options.group or slides_among(drawn.table.columns))
    table, split = split_sample(drawn, options.group, options.seed)
    demand_overlay(options.overlay, table.columns, table.latents.shape[1])
    _demand_clusters_fit(options.clusters, table, wanted)
    with folder.staged() as partial:
        fitted = _judge_sample(partial, reader, drawn, table, split, options, stages)
        if fitted is not None:
            totals = _assign(partial, reader, drawn, fitted, options, workers, stages)
            _record(partial, totals, fitted, options, stages)


def demand_column(labels: Any, columns: Any) -> None:
    """Refuse labels or columns that are not in the parts: they would have to be held for all images."""
    if columns or not (labels is None or isinstance(labels, str)):
        kinds = ["columns"] if columns else []
        raise OptionError(
            f"{'columns' if kinds else 'labels'} of latents in parts must be in the parts",
            f"{type(columns if kinds else labels).__name__}",
            "Join a file of labels to them by caescope encode --labels, and name its column here.",
        )


def _draw(reader: PartReader, wanted: int, seed: int, stages: Stages) -> Sample:
    total, n_parts = len(reader.parts), len(reader.parts.files)
    with stages.stage("sample", f"{min(wanted, total):,} of {total:,} images in {n_parts:,} parts"):
        if wanted >= total:
            stages.say(f"sample: there are no more than {total:,} images, so all of them are judged")
        return draw_sample(reader, wanted, seed)


def _place_for(
    latents: str | os.PathLike, out: str | os.PathLike | None, overwrite: bool, resume: bool
) -> OutputFolder:
    if out is None and is_remote(latents):
        raise OptionError("out must be given for latents on storage", "out=None", "Name a new folder.")
    path = f"{Path(latents).with_suffix('')}-analysis" if out is None else out
    return OutputFolder(path, overwrite, resume)


def _demand_clusters_fit(k: int | None, table: LatentTable, wanted: int) -> None:
    n_train = int((table.split == "train").sum())
    try:
        demand_clusters_fit(k, n_train)
    except OptionError as error:
        received = f"{error.received} in a sample of {wanted:,}"
        raise OptionError(error.must, received, "Give a larger --sample, or fewer clusters.") from error


def _judge_sample(
    partial: Path,
    reader: PartReader,
    drawn: Sample,
    table: LatentTable,
    split: Split,
    options: RunOptions,
    stages: Stages,
) -> Fitted | None:
    """Write the run folder of the sample, and return what it teaches."""
    kind = "given" if drawn.table.split is not None else "random" if options.group is None else "grouped"
    assert table.split is not None
    facts = describe(reader.parts.name, table.split, options.as_dict(), fingerprint_array(table.latents))
    facts |= {"split": kind, "latents_from": table.read_from}
    facts["sample"] = {"images": len(drawn), "of": len(reader.parts), "parts": len(reader.parts.files)}
    judgement = audit_into(partial, table, Material(split_kind=kind), options, stages, facts, {})
    with stages.stage("fit", "what is applied to all images, on the sample"):
        return fit_sample(drawn, table, judgement, split, options)


def _assign(
    partial: Path,
    reader: PartReader,
    drawn: Sample,
    fitted: Fitted,
    options: RunOptions,
    workers: Workers | None,
    stages: Stages,
) -> Totals:
    """Assign all parts that are not done yet, and return what all of them add up to."""
    checkpoint = partial / CHECKPOINT
    checkpoint.mkdir(exist_ok=True)
    target = find_place(checkpoint.resolve() / EVERYTHING)
    job = describe_job(drawn, fitted, options.as_dict() | {"labels": reader.labels})
    standing = load_standing(checkpoint, job)
    assigner, n_parts = Assigner(reader, drawn.digests, target, fitted), len(reader.parts.files)
    todo = range(standing.done, n_parts)
    by = "" if workers is None else f" by {workers.number} workers"
    with stages.stage("assign", f"{len(reader.parts):,} images in {n_parts:,} parts{by}"):
        progress = Progress(stages, "assign", n_parts, "parts", standing.done)
        for totals in map(assigner, todo) if workers is None else assign_with(workers, assigner, todo):
            standing = standing.plus(totals)
            save_standing(checkpoint, job, standing)
            progress.add(1)
    assert standing.totals is not None
    write_success(target, reader.parts.counts)
    (checkpoint / EVERYTHING).rename(partial / EVERYTHING)
    return standing.totals


def _record(partial: Path, totals: Totals, fitted: Fitted, options: RunOptions, stages: Stages) -> None:
    """Add the figures of everything to the run folder of the sample, draw them, and write the report anew."""
    run = read_run(partial)
    found = judge_totals(totals, fitted)
    protocol = describe_everything(found, run.facts["n_images"]["train"], options)
    metrics = run.metrics | {"everything": found | {"protocol": protocol}}
    with stages.stage("everything", "figures of all images"):
        draw_everything(figures_of(partial), metrics, totals, fitted)
    write_record(partial, run.facts, metrics | {"seconds": metrics["seconds"] | stages.total()})
    write_report(partial)
