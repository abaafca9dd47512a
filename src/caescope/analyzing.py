"""From latents, whoever made them, to a judged run folder."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from caescope.analysis.latents import parse_latents
from caescope.analysis.subject import JudgingOptions, demand_clusters_fit
from caescope.analyzing_parts import EVERYTHING, SAMPLE, analyze_parts, demand_column
from caescope.auditing import Material, audit_into, demand_overlay, group_column, slides_among
from caescope.cae import CAE
from caescope.data import assign_splits, load_annotations
from caescope.data.opening import Source
from caescope.data.sources import parse_columns, parse_labels
from caescope.errors import CaescopeError, InputError, OptionError
from caescope.parsing import is_path
from caescope.parts import is_parts
from caescope.progress import Stages
from caescope.run_folder import Run, describe, fingerprint_array, fingerprint_source, read_run
from caescope.run_options import parse_run_options
from caescope.scale.workers import parse_workers
from caescope.source_options import keep_small, reopen_source
from caescope.staging import OutputFolder
from caescope.table import LatentTable, read_latents

JUDGING = (*(field.name for field in fields(JudgingOptions)), "group", "confounders", "overlay")
KEPT_FIGURES = ("pairs.png", "loss.png", "errors.png", "extremes.png")


def analyze(
    latents: Any,
    out: str | os.PathLike | None = None,
    *,
    labels: Any = None,
    columns: Mapping[str, Any] | None = None,
    sample: int | None = None,
    workers: int | None = None,
    address: str | None = None,
    gpus_per_worker: float = 0,
    cpus_per_worker: int | None = None,
    overwrite: bool = False,
    resume: bool = False,
    verbose: int | str = "auto",
    **options: Any,
) -> Run:
    """Judge latents, whoever made them; or those of an earlier run, with other options or labels.

    Parameters
    ----------
    latents : array_like, shape (n_images, latent_features), or path-like
        Latents, a Parquet or NPY file as in `caescope.table.read_latents`, a run folder, or a folder of
        parts, of which a sample is judged; see `caescope.analyzing_parts.analyze_parts`.
    out : path-like, optional
        A new run folder. By default a run folder is judged anew where it is, and a file ``name.parquet`` into
        the folder ``name-analysis``; an array needs one.
    labels : array_like, str or path-like, optional
        Labels in place of those in the table: one for each image, the name of a column of the table, or a
        file.
    sample, resume
        For a folder of parts: as in `caescope.analyzing_parts.analyze_parts`.
    workers, address, gpus_per_worker, cpus_per_worker
        For a folder of parts: processes that share the work, as in `caescope.scale.workers.parse_workers`.
    columns, overwrite, verbose
        As in `run`.
    **options
        ``group``, ``confounders``, and those of `caescope.analysis.subject.JudgingOptions`; by default those
        of the run folder.

    Returns
    -------
    Run

    Raises
    ------
    DataError, FileFormatError, OptionError
        If latents, labels or an option cannot be used; nothing is written then.
    """
    together = parse_workers(workers, address, gpus_per_worker, cpus_per_worker)
    if is_path(latents) and is_parts(latents):
        demand_column(labels, columns)
        shared = {"workers": together, "overwrite": overwrite, "resume": resume, "verbose": verbose}
        return analyze_parts(
            latents, out, labels=labels, sample=SAMPLE if sample is None else sample, **shared, **options
        )
    old = read_run(latents) if is_path(latents) and Path(latents).is_dir() else None
    parsed = parse_run_options((_judging_options(old.facts) if old else {}) | options)
    table, name = _open_latents(latents, old), "array" if not is_path(latents) else Path(latents).name
    _demand_alone(sample=sample, workers=workers, resume=resume or None)
    table = _annotated(table, labels, columns)
    parsed = replace(parsed, group=parsed.group or slides_among(table.columns))
    groups = group_column(table.columns, parsed.group)
    kind = _split_kind(old, table, groups)
    split = assign_splits(len(table), table.split, parsed.seed, groups=groups)
    table = replace(table, split=split)
    demand_overlay(parsed.overlay, table.columns, table.latents.shape[1])
    demand_clusters_fit(parsed.clusters, int((split == "train").sum()))
    folder = _place_for(latents, out, old, overwrite)
    facts = describe(name, split, parsed.as_dict(), fingerprint_array(table.latents))
    facts |= {"split": kind, "latents_from": table.read_from}
    metrics: dict[str, Any] = {}
    if old:
        facts = old.facts | {"options": old.facts["options"] | _judging_options(facts), "seed": parsed.seed}
        metrics = {name: old.metrics[name] for name in ("reconstruction", "seconds") if name in old.metrics}
    stages = Stages(verbose)
    stages.say(f"latents: {table.latents.shape[1]:,} of {len(table):,} images, from {table.read_from}")
    with folder.staged() as partial:
        if old:
            _copy_run(old, partial)
        audit_into(partial, table, _material(old, kind), parsed, stages, facts, metrics)
    return read_run(folder.path)


def _demand_alone(**asked: Any) -> None:
    """Refuse what is asked for only where latents come in parts."""
    if names := [name for name, value in asked.items() if value is not None]:
        raise OptionError(
            f"{', '.join(names)} must come with a folder of parts",
            "latents that are judged at once",
            f"Leave {' and '.join(names)} out, or write parts with caescope encode --workers.",
        )


def _open_latents(latents: Any, old: Run | None) -> LatentTable:
    if old:
        return read_latents(old.path / "latents.parquet")
    if is_path(latents):
        return read_latents(latents)
    table = parse_latents(latents)
    return LatentTable(np.arange(len(table)).astype(str), table, read_from="the array")


def _annotated(table: LatentTable, labels: Any, columns: Mapping[str, Any] | None) -> LatentTable:
    """Return the table with labels from an array, a column or a file, and with further columns."""
    known = {**table.columns, **parse_columns(columns or {}, len(table))}
    table = replace(table, columns=known)
    if labels is None:
        return table
    if not is_path(labels):
        return replace(table, labels=parse_labels(labels, len(table)))
    if labels in ("label", *known) or not Path(labels).exists():
        return table.with_labels(str(labels))
    found = load_annotations(labels, table.ids, known.get("slide"))
    given = table.labels if found.labels is None else found.labels
    return replace(table, labels=given, columns={**known, **found.columns})


def _split_kind(old: Run | None, table: LatentTable, groups: np.ndarray | None) -> str:
    if old and "split" in old.facts:
        return old.facts["split"]
    return "given" if table.split is not None else "random" if groups is None else "grouped"


def _place_for(latents: Any, out, old: Run | None, overwrite: bool) -> OutputFolder:
    if out is not None:
        return OutputFolder(out, overwrite or (old is not None and Path(out) == old.path))
    if old:
        return OutputFolder(old.path, overwrite=True)
    if not is_path(latents):
        raise OptionError("out must be given for latents in an array", "out=None", "Name a new folder.")
    return OutputFolder(f"{Path(latents).with_suffix('')}-analysis", overwrite)


def _copy_run(old: Run, partial: Path) -> None:
    """Copy a run folder, without the figures that are drawn anew."""
    # Large, and what other clusters make of everything is another analysis of its parts
    ignored = shutil.ignore_patterns(EVERYTHING)
    shutil.copytree(old.path, partial, ignore=ignored, dirs_exist_ok=True)
    for figure in (partial / "figures").glob("*.png"):
        if figure.name not in KEPT_FIGURES:
            figure.unlink()


def _material(old: Run | None, kind: str) -> Material:
    """Return what is at hand of an earlier run: its images and its model."""
    if old is None:
        return Material(split_kind=kind)
    try:
        cae = CAE(path=old.path / "model", load=True, device="cpu")
    except CaescopeError:
        cae = None
    try:
        found = reopen_source(old.facts)
    except CaescopeError:
        found = None
    images = None if found is None else _unchanged(found, old)
    return Material(images, cae, split_kind=kind, slides=None if images is None else found)


def _judging_options(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: facts["options"][name] for name in JUDGING if name in facts["options"]}


def _unchanged(found: Source, old: Run) -> Source | None:
    """Return the images of an earlier run, or None where they have changed."""
    try:
        images = keep_small(found)
        return images if fingerprint_source(images) == old.facts["fingerprint"] else None
    except InputError:
        return None
