"""Several workers against one: encoding through Ray, on this machine.

    python benchmarks/scale.py --only encoding
    python benchmarks/scale.py --only slides

throughput  images a second that one worker and two workers with one thread each encode of JPEG tiles, brought
            to 64×64 pixels: the median over the repeats, which take turns. The cluster is there already, and
            what counts is the time from when every worker has given its first answer to the last answer until
            one of them is idle: starting workers and loading the model is not in it.
slides      the same of tiles of 64×64 pixels, cut from copies of a slide at 0.5 and at 1 micron per pixel
overhead    seconds of `caescope encode` with two workers, cluster and all, beyond those without
memory      the most that the process which starts the job holds, for a hundred thousand tiny images and for a
            million: as Linux counts it (VmHWM), and without what it shares with others, such as Ray's store
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from machine import alone, status_mib
from rich.console import Console
from rich.table import Table

from caescope.cae import CAE
from caescope.data import find_source
from caescope.data.fitting import Fit
from caescope.data.opening import Source
from caescope.encoding_parts import encode_to_parts
from caescope.pipeline import encode
from caescope.progress import Stages
from caescope.scale import encoding
from caescope.scale.connecting import connected
from caescope.scale.workers import Workers
from caescope.slides import find_slides

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
SLIDE = DATA / "slides" / "CMU-1-Small-Region.svs"
RESOLUTIONS = (0.5, 1.0)  # microns per pixel
SIDE = 64
TINY = (8, 8, 1)
Answer = tuple[float, str, int]  # when it came, which worker gave it, how many images it is for


@contextmanager
def timed_answers(answers: list[Answer]) -> Iterator[None]:
    """Note every answer of a worker when it comes."""
    plain = encoding.stream

    def stream(*arguments: Any) -> Iterator[dict[str, Any]]:
        for answer in plain(*arguments):
            answers.append((time.perf_counter(), answer["worker"], answer["images"]))
            yield answer

    encoding.stream = stream
    try:
        yield
    finally:
        encoding.stream = plain


def steady_rate(answers: list[Answer]) -> float:
    """Return images a second while all workers are at work.

    >>> steady_rate([(0, "a", 9), (1, "b", 9), (2, "a", 10), (3, "b", 10), (4, "a", 10), (9, "b", 10)])
    10.0
    """
    first = {worker: when for when, worker, _ in reversed(answers)}
    last = {worker: when for when, worker, _ in answers}
    start, end = max(first.values()), min(last.values())
    return sum(count for when, _, count in answers if start < when <= end) / (end - start)


def collect(images: Path, copies: int, folder: Path) -> Path:
    """Return a folder with every tile several times."""
    for copy in range(copies):
        for path in sorted(images.rglob("*.jp*g")):
            target = folder / path.parent.name / f"{copy}-{path.name}"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    return folder


def measure_throughput(images: Source, repeats: int, folder: Path) -> dict[str, float]:
    """Return the rates of one and of two workers, and how many times the one the other is."""
    rates: dict[int, list[float]] = {1: [], 2: []}
    cae = CAE((SIDE, SIDE, 3), 64, (8, 16, 32), seed=0, device="cpu")
    with connected(Workers(2, cpus_each=1)):
        for _ in range(repeats):
            for number in rates:
                out, answers = folder / "rates.parquet", []
                with timed_answers(answers):
                    share = encoding.encode_with(Workers(number, cpus_each=1), "cpu")
                    encode_to_parts(cae, images, out, Stages(0), share)
                rates[number].append(steady_rate(answers))
                shutil.rmtree(out)
    one, two = median(rates[1]), median(rates[2])
    return {"images": len(images), "one, images/s": one, "two, images/s": two, "ratio": two / one}


def seconds_of_command(*options: str) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "caescope", "encode", *options], check=True, capture_output=True)
    return time.perf_counter() - started


def measure_overhead(tiles: Path, repeats: int, folder: Path) -> dict[str, float]:
    """Return seconds of the command for all tiles, without and with workers."""
    CAE((SIDE, SIDE, 3), 64, (8, 16, 32), seed=0, device="cpu").save(folder / "model")
    common = [str(folder / "model"), str(tiles), "--resize", str(SIDE), "--overwrite", "--quiet"]
    alone_, shared = [], []
    for _ in range(repeats):
        alone_.append(seconds_of_command(*common, "--out", str(folder / "alone.parquet")))
        two = ["--workers", "2", "--cpus-per-worker", "1"]
        shared.append(seconds_of_command(*common, "--out", str(folder / "shared.parquet"), *two))
    found = {"alone, s": median(alone_), "two workers, s": median(shared)}
    return found | {"overhead, s": found["two workers, s"] - found["alone, s"]}


def memory_of(n_images: int, folder: Path) -> dict[str, float]:
    """Encode tiny images with two workers, and return the most MiB that this process held."""
    stop, own = threading.Event(), [0.0]

    def watch() -> None:
        while not stop.wait(0.05):
            own[0] = max(own[0], status_mib("RssAnon"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    options = {"workers": 2, "cpus_per_worker": 1, "overwrite": True, "verbose": 0}
    encode(folder / "tiny", folder / f"{n_images}.npy", folder / "tiny.parquet", **options)
    stop.set()
    watcher.join()
    return {"VmHWM, MiB": status_mib("VmHWM"), "own, MiB": own[0]}


def measure_memory(sizes: list[int], folder: Path) -> dict[str, dict[str, float]]:
    """Return what the driver holds for so many images, each in a process of its own."""
    CAE(TINY, 3, (4,), seed=0, device="cpu").save(folder / "tiny")
    found = {}
    for n in sizes:
        images = np.lib.format.open_memmap(folder / f"{n}.npy", "w+", np.uint8, (n, *TINY))
        images[:] = np.random.default_rng(0).integers(0, 256, TINY, np.uint8)
        images.flush()
        found[f"{n:,} images"] = alone(memory_of, n, folder)
    return found


def measure_encoding(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return all figures of encoding."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tiles = collect(arguments.images, arguments.copies, folder / "tiles")
        return {
            "throughput": measure_throughput(
                find_source(tiles, fit=Fit(resize=SIDE)), arguments.repeats, folder
            ),
            "overhead": measure_overhead(arguments.images, arguments.repeats, folder),
            "memory": measure_memory(arguments.sizes, folder),
        }


def measure_slides(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the rates for tiles of slides, by microns per pixel."""
    with tempfile.TemporaryDirectory() as name:
        slides = Path(name) / "slides"
        slides.mkdir()
        for copy in range(arguments.copies):
            shutil.copyfile(SLIDE, slides / f"{copy}{SLIDE.suffix}")
        return {
            f"{mpp:g} µm": measure_throughput(
                find_slides(slides, size=SIDE, mpp=mpp, rule="none"), arguments.repeats, Path(name)
            )
            for mpp in RESOLUTIONS
        }


MEASURES = {"encoding": measure_encoding, "slides": measure_slides}


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("images", type=Path, nargs="?", default=DATA / "lc25000")
    parser.add_argument("--only", choices=MEASURES, action="append")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--copies", type=int, default=4, help="of each tile or slide, for the throughput")
    parser.add_argument("--sizes", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = {kind: MEASURES[kind](arguments) for kind in arguments.only or MEASURES}
    if arguments.json:
        print(json.dumps(found, indent=2))
        return
    for kind, figures in found.items():
        table = Table(kind, "figure", "value")
        for what, row in flat(figures):
            table.add_row(*what, f"{row:,.2f}")
        Console(width=110).print(table)


def flat(figures: dict[str, Any], *above: str) -> Iterator[tuple[tuple[str, str], float]]:
    """Yield every figure with the names above it and its own."""
    for name, value in figures.items():
        if isinstance(value, dict):
            yield from flat(value, *above, name)
        else:
            yield (", ".join(above), name), value


if __name__ == "__main__":
    main()
