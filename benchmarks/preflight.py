"""How near the estimates before a job come to the memory and the disk space that it takes.

    python benchmarks/preflight.py

Each job runs in a process of its own. Memory is the most that the process held; disk is the most that lay in
its folder, hidden files included. Jobs train for one epoch unless the row says more; images are random
squares, or digits and MNIST. MNIST, of ../shared/data/mnist, is left out where it is not there.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
from machine import MIB, alone, status_mib
from rich.console import Console
from rich.table import Table

from caescope import CAE, pipeline, source_options
from caescope.data import find_source, split_source
from caescope.preflight import Need, estimate_encode, estimate_fit, estimate_run
from caescope.run_options import parse_run_options
from caescope.source_options import keep_small

MNIST = Path(__file__).resolve().parents[2] / "shared" / "data" / "mnist"
SECONDS = 0.01  # between two looks at the disk


@dataclass(frozen=True)
class Job:
    """One row: a verb, a name or (number of images, side) of random ones, options, and where images stay."""

    verb: str
    source: Any
    options: dict[str, Any] = field(default_factory=dict)
    streamed: bool = False

    def __str__(self) -> str:
        name = (
            f"{self.source[0]:,} of {self.source[1]}×{self.source[1]}×3"
            if isinstance(self.source, tuple)
            else str(self.source)
        )
        chosen = ", ".join(f"{option}={value}" for option, value in self.options.items())
        return ", ".join(filter(None, (self.verb, name, chosen, "streamed" if self.streamed else "")))


SMALL, MANY, LARGE = (2000, 64), (20_000, 64), (1000, 256)
JOBS = (
    Job("fit", "digits"),
    Job("fit", "mnist"),
    Job("fit", SMALL),
    Job("fit", MANY),
    Job("fit", MANY, streamed=True),
    Job("fit", MANY, {"latent_features": 2000}),
    Job("fit", LARGE),
    Job("fit", LARGE, {"batch_size": 512}),
    Job("fit", SMALL, {"architecture": "residual"}),
    Job("fit", SMALL, {"objective": "invariant"}),
    Job("fit", SMALL, {"architecture": "residual", "objective": "invariant"}),
    Job("fit", LARGE, {"architecture": "residual"}),
    Job("encode", "mnist"),
    Job("encode", SMALL),
    Job("encode", MANY),
    Job("encode", MANY, {"latent_features": 2000}),
    Job("encode", (2000, 128)),
    Job("encode", LARGE),
    Job("encode", (200, 512)),
    Job("run", "digits", {"epochs": 50}),
    Job("run", "mnist"),
    Job("run", SMALL),
    Job("run", SMALL, {"latent_features": 500}),
    Job("run", MANY),
    Job("run", MANY, streamed=True),
    Job("run", LARGE),
)


def measure(job: Job, source: Any, folder: Path) -> tuple[float, float]:
    """Do a job, and return the most MiB of memory and of disk that it took."""
    model, output = folder / "model", folder / "output"
    if job.streamed:
        source_options.IN_MEMORY = 0
    options = {"epochs": 1, "verbose": 0} | job.options
    before = used(folder)
    with watched(folder) as seen:
        if job.verb == "encode":
            pipeline.encode(model, source, output / "latents.parquet", verbose=0)
        else:
            getattr(pipeline, job.verb)(source, output, **options)
    return status_mib("VmHWM"), max(seen) - before


def estimate(job: Job, source: Any, folder: Path) -> Need:
    """Return what is estimated before the same job."""
    if job.streamed:
        source_options.IN_MEMORY = 0
    if job.verb == "encode":
        return estimate_encode(CAE(path=folder / "model", load=True), find_source(source))
    images = keep_small(split_source(find_source(source)))
    options = parse_run_options({"epochs": 1} | job.options)
    options = options.resolve(images.shape, int((images.split == "train").sum()))
    return (estimate_run if job.verb == "run" else estimate_fit)(images, options)


@contextmanager
def watched(folder: Path) -> Iterator[list[float]]:
    """Yield a list that fills with the MiB that lie in a folder."""
    seen, done = [used(folder)], Event()

    def watch() -> None:
        while not done.wait(SECONDS):
            seen.append(used(folder))

    thread = Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()
        seen.append(used(folder))


def used(folder: Path) -> float:
    """Return the MiB of all files in a folder; some may vanish meanwhile."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:
            continue
    return total / MIB


def stack(n: int, side: int, folder: Path) -> Path:
    """Write images of random squares as an NPY file, once."""
    path = folder / f"{n}-{side}.npy"
    if not path.exists():
        squares = np.random.default_rng(0).integers(0, 256, (n, side // 4, side // 4, 3), np.uint8)
        np.save(path, squares.repeat(4, 1).repeat(4, 2))
    return path


def row(job: Job, folder: Path) -> dict[str, Any]:
    """Return what was estimated and what was measured, in MiB."""
    source = stack(*job.source, folder) if isinstance(job.source, tuple) else job.source
    source = MNIST if source == "mnist" else source
    with tempfile.TemporaryDirectory(dir=folder) as name:
        place = Path(name)
        if job.verb == "encode":
            images = find_source(source)
            latents = job.options.get("latent_features", 20)
            filters = (8, 16, 32) if min(images.shape[:2]) >= 64 else (8, 16)
            CAE(images.shape, latents, filters, seed=0).save(place / "model")
        need = alone(estimate, job, source, place)
        memory, disk = alone(measure, job, source, place)
    return {
        "job": str(job),
        "memory": {"estimated": need.memory / MIB, "measured": memory},
        "disk": {"estimated": need.disk / MIB, "measured": disk},
    }


def print_table(rows: Sequence[dict[str, Any]]) -> None:
    """Print one line for each job."""
    table = Table("MiB", "memory estimated", "measured", "ratio", "disk estimated", "measured", "ratio")
    for found in rows:
        cells = [found["job"]]
        for part, form in (("memory", ",.0f"), ("disk", ",.1f")):
            estimated, measured = found[part]["estimated"], found[part]["measured"]
            cells += [format(estimated, form), format(measured, form), f"{estimated / measured:.2f}"]
        table.add_row(*cells)
    Console(width=140).print(table)


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--only", help="only the jobs whose row begins so, for example 'encode, 2,000'")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    jobs = [job for job in JOBS if MNIST.is_dir() or job.source != "mnist"]
    jobs = [job for job in jobs if str(job).startswith(arguments.only or "")]
    with tempfile.TemporaryDirectory() as name:
        rows = [row(job, Path(name)) for job in jobs]
    if arguments.json:
        print(json.dumps(rows, indent=2))
    else:
        print_table(rows)


if __name__ == "__main__":
    main()
