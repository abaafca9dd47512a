"""The run folder: what it says about itself, and its metrics."""

import hashlib
import importlib.metadata
import json
import os
import platform
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from caescope.data.opening import Source
from caescope.data.sources import SPLITS, ArraySource
from caescope.differences import as_plain, describe_differences
from caescope.errors import FileFormatError, OptionError
from caescope.files import decoding, read_bytes
from caescope.parallel import blocks_of, map_in_order
from caescope.writing import write_atomically

FORMAT_VERSION = 1
NOTES = "notes.json"  # names of clusters, tags and remarks, which the explorer writes
MAX_BYTES = 64 * 2**20
BLOCK_VALUES = 2**23  # pixels and channels that a thread reads at a time
PACKAGES = ("caescope", "torch", "numpy", "scikit-learn", "openTSNE")


@dataclass(frozen=True)
class Run:
    """A run folder, what run.yaml says of it, and its metrics.

    Attributes
    ----------
    path : pathlib.Path
    facts : dict
        Source, number of images, options, seed, versions, fingerprint of the data.
    metrics : dict
        As in metrics.json.
    """

    path: Path
    facts: dict[str, Any]
    metrics: dict[str, Any]

    @property
    def report(self) -> Path:
        """The page to read."""
        return self.path / "report.html"

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"


def read_run(folder: str | os.PathLike) -> Run:
    """Read run.yaml and metrics.json of a run folder.

    Raises
    ------
    FileFormatError
        If either is missing or cannot be read.
    """
    folder = Path(folder)
    if not (folder / "run.yaml").is_file() or not (folder / "metrics.json").is_file():
        raise FileFormatError(
            f"{folder} must be a run folder, with run.yaml and metrics.json",
            "a folder without them" if folder.is_dir() else "no such folder",
            "Make one with caescope run.",
        )
    with decoding(folder / "run.yaml", "a YAML mapping"):
        facts = yaml.safe_load(read_bytes(folder / "run.yaml", MAX_BYTES))
        _demand_mapping(facts)
    with decoding(folder / "metrics.json", "a JSON object"):
        metrics = json.loads(read_bytes(folder / "metrics.json", MAX_BYTES))
        _demand_mapping(metrics)
    return Run(folder, facts, metrics)


def _demand_mapping(content: Any) -> None:
    if not isinstance(content, dict):
        raise ValueError(f"a {type(content).__name__} where names and values are expected")


def write_record(folder: Path, facts: Mapping[str, Any], metrics: Mapping[str, Any]) -> None:
    """Write run.yaml and metrics.json."""
    text = yaml.safe_dump(dict(facts), sort_keys=False, allow_unicode=True)
    write_atomically(folder / "run.yaml", text.encode())
    text = json.dumps(metrics, indent=2, allow_nan=False)
    write_atomically(folder / "metrics.json", f"{text}\n".encode())


def keep_notes(old: Path, new: Path) -> None:
    """Copy what people said of a run into the one that takes its place: nobody can compute it again."""
    if (old / NOTES).is_file():
        shutil.copyfile(old / NOTES, new / NOTES)


def describe(name: str, split: np.ndarray, options: Mapping[str, Any], fingerprint: str) -> dict[str, Any]:
    """Return what run.yaml says of any run."""
    return {
        "format_version": FORMAT_VERSION,
        "source": name,
        "n_images": {part: int((split == part).sum()) for part in SPLITS},
        "options": dict(options),
        "seed": options["seed"],
        "versions": {
            "python": platform.python_version(),
            **{package: importlib.metadata.version(package) for package in PACKAGES},
        },
        "fingerprint": fingerprint,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def is_same_run(folder: Path, facts: Mapping[str, Any], overwrite: bool) -> bool:
    """Tell whether the run in ``folder`` is what ``facts`` ask for.

    Raises
    ------
    OptionError
        Naming what differs, where it may not be overwritten.
    """
    old, new = (_asked_for(each) for each in (read_run(folder).facts, facts))
    differences = describe_differences(old, new, ["images"])
    if not differences or overwrite:
        return not differences
    raise OptionError(
        "A run that is whole must have been asked for by the same options and images",
        f"{folder} with {differences}",
        "Give another folder, or --overwrite to replace it.",
    )


def _asked_for(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a run's result depends on, as run.yaml holds it."""
    return as_plain({**facts["options"], **facts["source_options"], "images": facts["fingerprint"]})


def fingerprint_array(values: np.ndarray) -> str:
    """Return the SHA-256 of an array's shape, type and content, in hexadecimal."""
    digest = hashlib.sha256(f"{values.shape} {values.dtype}".encode())
    digest.update(np.ascontiguousarray(values).data)
    return digest.hexdigest()


def fingerprint_source(source: Source) -> str:
    """Return the fingerprint of a source's images in memory, which need not be there."""
    if isinstance(source, ArraySource):
        return fingerprint_array(source.images)
    blocks = blocks_of(len(source), max(1, BLOCK_VALUES // prod(source.shape)))
    digest = None
    for images in map_in_order(source.read, blocks):
        if digest is None:
            digest = hashlib.sha256(f"{(len(source), *source.shape)} {images.dtype}".encode())
        digest.update(np.ascontiguousarray(images).data)
    assert digest is not None  # a source has at least one image
    return digest.hexdigest()
