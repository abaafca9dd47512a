"""From a table of latents to a run folder: judge them, draw, write it all down, report."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from caescope.analysis.baselines import PixelPCA, intensity_histogram, rows_to_fit
from caescope.analysis.judging import Judgement, judge
from caescope.analysis.judging_clusters import by_name
from caescope.analysis.latents import flatten_latents
from caescope.analysis.reconstruction import quality_intervals
from caescope.analysis.stability import compare_runs
from caescope.analysis.subject import Subject
from caescope.cae import CAE
from caescope.data import SPLITS, assign_splits, leaking_groups
from caescope.data.opening import Source
from caescope.errors import DataError, OptionError
from caescope.figures import draw_decoded, draw_images, draw_judgement, draw_overlays
from caescope.parallel import blocks_of, map_in_order
from caescope.progress import Stages
from caescope.protocol import describe_protocol
from caescope.report import write_report
from caescope.run_folder import write_record
from caescope.run_options import OVERLAY, RunOptions
from caescope.table import LatentTable

PLACE = ("x", "y", "size", "mpp")  # where a tile lies, which is no property of its image
BLOCK_VALUES = 2**23  # pixels and channels that a core measures at a time

Split = dict[str, Any]  # how images came to train and test, as metrics.json says under probe.split


@dataclass(frozen=True, eq=False)
class Material:
    """What there is to judge besides the table of latents.

    Attributes
    ----------
    images : source or None
        The images, where they are at hand.
    cae : CAE or None
        What made the latents, where that is at hand.
    others : list of numpy.ndarray, shape (n_train,), int32
        Clusters of the train images by the same procedure with other models.
    split_kind : {"given", "random", "grouped"}
        Where the table's split comes from.
    slides : source or None
        The images before they were read into memory: a source of slides still knows where its tiles lie.
    """

    images: Source | None = None
    cae: CAE | None = None
    others: Sequence[np.ndarray] = field(default_factory=list)
    split_kind: str = "given"
    slides: Source | None = None


def audit_into(
    partial: Path,
    table: LatentTable,
    material: Material,
    options: RunOptions,
    stages: Stages,
    facts: dict[str, Any],
    metrics: dict[str, Any],
) -> Judgement:
    """Judge the latents; write the table, figures, records and report into a run folder."""
    subject, split = subject_of(table, material, options)
    if material.images is not None:
        with stages.stage("baselines", "PCA and histogram of the pixels"):
            subject, metrics["pca_floor"] = _with_baselines(subject, material.images, options.seed)
    judgement = judge(subject, options.judging, stages.stage)
    metrics = metrics | judgement.metrics
    _say_what_is_left_out(table, judgement, stages)
    _name_rows(metrics, table, split, judgement, material.others)
    table = replace(table, map=judgement.map, clusters=judgement.assigned)
    table.write(partial / "latents.parquet")
    with stages.stage("figures", "drawing"):
        _draw(figures_of(partial), table, judgement, material, options)
    protocol = describe_protocol(subject, options, metrics, facts.get("sample"))
    seconds = metrics.get("seconds", {}) | stages.total()
    write_record(partial, facts, metrics | {"seconds": seconds, "protocol": protocol})
    write_report(partial)
    return judgement


def subject_of(table: LatentTable, material: Material, options: RunOptions) -> tuple[Subject, Split]:
    """Return what is to be judged, and how its images came to train and test."""
    assert table.split is not None
    groups = group_column(table.columns, options.group)
    kind, probe_split, leaking = material.split_kind, None, 0
    if groups is not None and (leaking := len(leaking_groups(table.split, groups))):
        kind, probe_split = "grouped", assign_splits(len(table), None, options.seed, groups=groups)
    subject = Subject(
        flatten_latents(table.latents),
        table.split,
        table.labels,
        groups,
        _confounders(table, options),
        probe_split=probe_split,
    )
    split: Split = {"kind": kind}
    if groups is not None:
        parts = table.split if probe_split is None else probe_split
        counts = {name: len(np.unique(groups[parts == name])) for name in SPLITS}
        split |= {"group": options.group, "groups": counts, "leaking": leaking}
    return subject, split


def group_column(columns, name: str | None) -> np.ndarray | None:
    """Return the column whose values are never divided between train and test, or None."""
    if name is None:
        return None
    if name not in columns:
        raise OptionError(
            "group must be a column that is known for the images",
            f"group={name!r}, and the columns {', '.join(columns) or '(none)'}",
            "Give a table with that column by --labels FILE.csv.",
        )
    if np.ma.is_masked(columns[name]):
        raise DataError(
            f"The column {name} must be known for every image, to keep its values together",
            f"{np.ma.count_masked(columns[name])} missing",
            "Fill it in, or leave those images out.",
        )
    return np.asarray(columns[name])


def slides_among(columns: Mapping[str, np.ndarray]) -> str | None:
    """Return "slide" where images are known to come from enough slides to divide them, else None."""
    slides = columns.get("slide")
    return "slide" if slides is not None and len(np.unique(slides)) >= len(SPLITS) else None


def demand_overlay(names: Sequence[str] | None, columns: Iterable[str], features: int) -> None:
    """Raise `OptionError` unless tiles can be coloured by these columns of latents.parquet."""
    latents = [f"z{i:03d}" for i in range(features)]
    for name in names or ():
        if name not in (*OVERLAY, "label", "split", *columns, *latents):
            known = ", ".join(("cluster, error, label", f"{latents[0]} to {latents[-1]}", *columns))
            raise OptionError(
                f"overlay must be among {known}",
                f"{name!r}",
                "Check the spelling.",
            )


def _confounders(table: LatentTable, options: RunOptions) -> dict[str, np.ndarray]:
    if options.confounders is None:
        return {name: values for name, values in table.columns.items() if name not in PLACE}
    for name in options.confounders:
        if name not in table.columns:
            raise OptionError(
                f"confounders must be among {', '.join(table.columns) or '(no columns are known)'}",
                f"{name!r}",
                "Check the spelling, or give a table with that column by --labels FILE.csv.",
            )
    return {name: table.columns[name] for name in options.confounders}


def _with_baselines(subject: Subject, images: Source, seed: int) -> tuple[Subject, dict[str, Any]]:
    """Add what PCA and a histogram of the pixels know, and return PCA's reconstruction errors, too."""
    train = np.flatnonzero(subject.train)
    fitted = images.read(train[rows_to_fit(len(train), prod(images.shape), seed)])
    pca = PixelPCA(subject.latents.shape[1], seed).fit(fitted)

    def measure(rows: slice) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        pixels = images.read(rows)
        return pca.transform(pixels), pca.errors(pixels), intensity_histogram(pixels)

    blocks = blocks_of(len(images), max(1, BLOCK_VALUES // prod(images.shape)))
    parts = zip(*map_in_order(measure, blocks), strict=True)
    scores, errors, histograms = (np.concatenate(part) for part in parts)
    floor: dict[str, Any] = {"components": pca.n_components_, "fitted": pca.fitted_on}
    for name in SPLITS:
        if (rows := subject.split == name).any():
            floor[name] = {"mse": float(errors[rows].mean())}
    return replace(subject, baselines={"pca": scores, "histogram": histograms}), floor


def summarise_quality(
    quality: dict[str, np.ndarray], split: np.ndarray, groups: np.ndarray | None, seed: int
) -> dict[str, dict[str, Any]]:
    """Return the mean of every figure over each split that has images, with its 95 % interval."""
    summary: dict[str, dict[str, Any]] = {}
    for name in SPLITS:
        rows = split == name
        if rows.any():
            parts = {figure: values[rows] for figure, values in quality.items()}
            own = None if groups is None else groups[rows]
            intervals = {figure: list(ends) for figure, ends in quality_intervals(parts, own, seed).items()}
            means = {figure: float(values.mean()) for figure, values in parts.items()}
            summary[name] = {**means, "interval": intervals}
    return summary


def _say_what_is_left_out(table: LatentTable, judgement: Judgement, stages: Stages) -> None:
    if judgement.map is None:
        stages.say("latents: every one is constant, so there is nothing to judge")
    elif table.labels is not None and judgement.probes is None:
        stages.say("labels: left out of the judgement, which needs 2 to 200 different ones")
    elif missing := int(np.ma.count_masked(table.labels)):
        stages.say(f"labels: missing for {missing:,} images, which are left out of what needs labels")
    if judgement.groups is not None and judgement.groups.skipped:
        stages.say(f"slides: not judged as wholes, since {judgement.groups.skipped}")


def _name_rows(metrics, table: LatentTable, split: Split, judgement: Judgement, others) -> None:
    """Add to the metrics what follows from names, splits and other models."""
    if "probe" in metrics:
        metrics["probe"]["split"] = split
    if "slides" in metrics:
        metrics["slides"]["group"] = split["group"]
    if judgement.clusters is None:
        return
    metrics["clusters"]["medoids"] = {
        str(cluster): str(table.ids[row]) for cluster, row in judgement.medoids.items()
    }
    if others:
        stability = metrics.setdefault("stability", {})
        stability["models"] = compare_runs([judgement.clusters.labels, *others])
        stability["models"]["jaccard"] = by_name(stability["models"]["jaccard"])


def _draw(
    folder: Path, table: LatentTable, judgement: Judgement, material: Material, options: RunOptions
) -> None:
    draw_judgement(folder, table, judgement)
    if material.cae is not None and judgement.clusters is not None:
        draw_decoded(folder, material.cae, table, judgement.variables)
    if material.images is not None and judgement.clusters is not None:
        draw_images(folder, material.images, table, judgement, material.cae)
    if material.slides is not None:
        draw_overlays(folder, material.slides, table, options.overlay or ())


def figures_of(folder: Path) -> Path:
    """Return the folder for figures in a run folder, made where it is missing."""
    figures = folder / "figures"
    figures.mkdir(exist_ok=True)
    return figures
