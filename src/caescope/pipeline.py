"""From images to a run folder: train, encode, judge, draw, report."""

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from caescope.analysis.judging import demand_clusters_fit
from caescope.cae import CAE
from caescope.data import ArraySource, assign_splits, find_source, load_labels, open_source, split_source
from caescope.errors import InputError, OptionError
from caescope.figures import draw_reconstruction
from caescope.progress import Stages
from caescope.run_folder import Run, describe, fingerprint_array, read_run
from caescope.run_options import parse_run_options
from caescope.staging import demand_free, staged_folder
from caescope.steps import encode_images, figures_of, judge_into, train
from caescope.table import LatentTable, read_latents

JUDGING = ("map", "perplexity", "clusters", "seed")
KEPT_FIGURES = ("samples.png", "pairs.png", "loss.png")


def run(
    source: Any,
    out: str | os.PathLike,
    *,
    labels: Any = None,
    overwrite: bool = False,
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
        Labels in place of the source's own.
    overwrite : bool
        Whether an earlier run in ``out`` may be replaced.
    verbose : {"auto", 0}
        Whether to report progress on standard error.
    **options
        As in `caescope.run_options.RunOptions`, for example ``latent_features=20, epochs=5, seed=0``.

    Returns
    -------
    Run

    Raises
    ------
    DataError, FileFormatError, OptionError
        If the images, labels or an option cannot be used; nothing is written then.

    Examples
    --------
    >>> run("digits", "runs/digits").metrics["latents"]["dead"]  # doctest: +SKIP
    0
    """
    parsed, folder = parse_run_options(options), demand_free(out, overwrite)
    images = split_source(open_source(source, labels), parsed.seed)
    n_training = int((images.split == "train").sum())
    demand_clusters_fit(parsed.clusters, n_training)
    parsed = parsed.resolve(images.shape, n_training)
    cae, stages = parsed.new_cae(images.shape), Stages(verbose)
    facts = describe(images.name, images.split, parsed.as_dict(), fingerprint_array(images.images))
    facts |= {"source_path": _name_of(source), "image_shape": list(images.shape)}
    with staged_folder(folder) as partial:
        history = train(cae, images, parsed, stages, verbose, partial / "logs")
        cae.save(partial / "model")
        table, reconstruction = encode_images(cae, images, stages, judged=True)
        draw_reconstruction(figures_of(partial), cae, images, history)
        metrics = {"reconstruction": reconstruction, "seconds": {}}
        judge_into(partial, table, images, parsed, stages, facts, metrics)
    return read_run(folder)


def fit(
    source: Any,
    out: str | os.PathLike,
    *,
    overwrite: bool = False,
    verbose: int | str = "auto",
    log_dir: str | os.PathLike | None = None,
    **options: Any,
) -> CAE:
    """Train an autoencoder on a source's train images and write its model folder.

    Parameters
    ----------
    source, overwrite, verbose, **options
        As in `run`.
    out : path-like
        The model folder.
    log_dir : path-like, optional
        Where TensorBoard's event files go; none are written by default.

    Returns
    -------
    CAE
    """
    parsed, folder = parse_run_options(options), demand_free(out, overwrite, mark="params.yaml")
    images = split_source(open_source(source), parsed.seed)
    parsed = parsed.resolve(images.shape, int((images.split == "train").sum()))
    cae = parsed.new_cae(images.shape)
    with staged_folder(folder) as partial:
        train(cae, images, parsed, Stages(verbose), verbose, log_dir)
        cae.save(partial)
    cae.path = folder
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
) -> LatentTable:
    """Write the latents and the reconstruction error of every image as Parquet.

    The images of a folder are read while others are being encoded, and never all in memory.

    Parameters
    ----------
    model : path-like
        A model folder.
    source, labels, verbose
        As in `run`.
    out : path-like
        The Parquet file.
    overwrite : bool
        Whether a file that is there may be replaced.

    Returns
    -------
    LatentTable

    Raises
    ------
    DataError
        If the images have another shape than the model was made for.
    """
    if Path(out).exists() and not overwrite:
        raise OptionError(
            "The output must be new", f"{out}, which exists", "Give another name, or --overwrite."
        )
    cae = CAE(path=model, load=True, device=device)
    table, _ = encode_images(cae, find_source(source, labels), Stages(verbose))
    table.write(out)
    return table


def analyze(
    latents: str | os.PathLike,
    out: str | os.PathLike | None = None,
    *,
    labels: str | os.PathLike | None = None,
    overwrite: bool = False,
    verbose: int | str = "auto",
    **options: Any,
) -> Run:
    """Judge latents that were written before, with other options or labels.

    Parameters
    ----------
    latents : path-like
        A Parquet file with latents, or a run folder.
    out : path-like, optional
        A new run folder. By default a run folder is judged anew where it is, and a file ``name.parquet`` into
        the folder ``name-analysis``.
    labels : path-like, optional
        Labels in place of those in the table.
    overwrite, verbose
        As in `run`.
    **options
        ``map``, ``perplexity``, ``clusters`` and ``seed``, as in `run`; by default those of the run folder.

    Returns
    -------
    Run
    """
    path = Path(latents)
    old = read_run(path) if path.is_dir() else None
    parsed = parse_run_options((_judging_options(old.facts) if old else {}) | options)
    table = read_latents(path / "latents.parquet" if old else path)
    if labels is not None:
        table = replace(table, labels=load_labels(labels, table.ids))
    split = assign_splits(len(table), table.split, parsed.seed)
    table = replace(table, split=split)
    demand_clusters_fit(parsed.clusters, int((split == "train").sum()))
    target = path if old and out is None else Path(out or f"{path.with_suffix('')}-analysis")
    folder = demand_free(target, overwrite or target == path)
    facts = describe(path.name, split, parsed.as_dict(), fingerprint_array(table.latents))
    metrics: dict[str, Any] = {"seconds": {}}
    if old:
        facts = old.facts | {"options": old.facts["options"] | _judging_options(facts), "seed": parsed.seed}
        metrics = {name: old.metrics[name] for name in ("reconstruction", "seconds") if name in old.metrics}
    with staged_folder(folder) as partial:
        if old:
            shutil.copytree(path, partial, dirs_exist_ok=True)
            for figure in (partial / "figures").glob("*.png"):
                if figure.name not in KEPT_FIGURES:
                    figure.unlink()
        judge_into(partial, table, _reopen(old), parsed, Stages(verbose), facts, metrics)
    return read_run(folder)


def _judging_options(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: facts["options"][name] for name in JUDGING if name in facts["options"]}


def _reopen(old: Run | None) -> ArraySource | None:
    """Return the images of an earlier run, or None where they are gone or have changed."""
    if old is None or not old.facts.get("source_path"):
        return None
    try:
        images = open_source(old.facts["source_path"])
    except InputError:
        return None
    return images if fingerprint_array(images.images) == old.facts["fingerprint"] else None


def _name_of(source: Any) -> str | None:
    """Return what `open_source` would find the source by again: a name or an absolute path."""
    if not isinstance(source, (str, os.PathLike)):
        return None
    return str(source) if source in ("digits", "mnist") else str(Path(source).absolute())
