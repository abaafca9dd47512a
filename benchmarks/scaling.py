"""Cost as work grows: training on ten thousand, a hundred thousand and a million images.

    python benchmarks/scaling.py

One epoch of the tutorial's model on uint8 images of 28 × 28, each size in a process of its own; the images
are MNIST's, moved by a few pixels. Prints

- microseconds for each image of the whole fit, and beside those of the smallest size;
- the same for the median stretch of about 2,500 images, which a moment's noise does not reach;
- the last fifth of the stretches beside the first fifth: whether training itself slows down;
- the most memory that training held beyond the images (VmHWM - their bytes) and beyond what the process held
  before it.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from itertools import pairwise
from pathlib import Path

import machine
import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from caescope import CAE
from caescope.callbacks import Callback
from caescope.data import load_mnist_pickle

DEFAULT = Path(__file__).resolve().parents[2] / "shared" / "data" / "mnist" / "mnist.pkl.gz"
SHAPE = (28, 28, 1)
SIZES = (10_000, 100_000, 1_000_000)
MAX_IMAGES = 300_000  # in the repeats of one size
STRETCH = 2_500  # images, about, between two looks at the clock


def write_images(source: Path, path: Path, n_images: int) -> None:
    """Write ``n_images`` of MNIST as raw uint8, each copy of the training set moved by other pixels."""
    (train, _), _, _ = load_mnist_pickle(source)
    train = np.rint(train * 256).clip(0, 255).astype(np.uint8).reshape(-1, *SHAPE)
    with path.open("wb") as file:
        for copy in range(-(-n_images // len(train))):
            shifted = np.roll(train, divmod(copy, 5), axis=(1, 2))
            file.write(shifted[: n_images - copy * len(train)].tobytes())


def forget_peak() -> None:
    """Let Linux count this process's peak memory anew; see proc(5)."""
    Path("/proc/self/clear_refs").write_text("5")


class Clock(Callback):
    """Notes the time after every stretch of steps."""

    def __init__(self, batch: int):
        self.steps, self.images = STRETCH // batch, STRETCH // batch * batch
        self.times: list[float] = []

    def on_train_batch_begin(self, batch, logs=None):  # noqa: ARG002 - the hook takes what it is given
        if batch % self.steps == 0:
            self.times.append(time.perf_counter())

    def costs(self) -> list[float]:
        """Return the seconds for each image, stretch by stretch."""
        return [(after - before) / self.images for before, after in pairwise(self.times)]


def measure(path: Path, n_images: int, batch: int) -> dict[str, float]:
    """Train in this process and return seconds and MiB."""
    images = np.fromfile(path, np.uint8, n_images * np.prod(SHAPE)).reshape(-1, *SHAPE)
    cae = CAE(SHAPE, 20, (8, 16), seed=0, device="cpu")
    cae.model.fit(images[: 10 * batch], batch_size=batch, verbose=0)
    before, seconds, costs, peak = machine.status_mib("VmRSS"), [], [], 0.0
    for _ in range(max(1, min(5, MAX_IMAGES // n_images))):
        clock = Clock(batch)
        forget_peak()
        fit = partial(cae.model.fit, images, None, batch, verbose=0, callbacks=[clock])
        seconds.append(machine.seconds_of(fit, torch.device("cpu")))
        peak = max(peak, machine.status_mib("VmHWM"))
        costs += clock.costs()
    return {
        "images": n_images,
        "whole": statistics.median(seconds) / n_images,
        "stretch": statistics.median(costs),
        "drift": drift(clock.costs()),
        "mib_beyond_data": peak - images.nbytes / machine.MIB,
        "mib_beyond_start": peak - before,
    }


def drift(costs: list[float]) -> float:
    """Return the median of the last fifth beside that of the first."""
    fifth = -(-len(costs) // 5)
    return statistics.median(costs[-fifth:]) / statistics.median(costs[:fifth])


def ask(path: Path, n_images: int, batch: int) -> dict[str, float]:
    """Measure one size in a process of its own."""
    command = [
        sys.executable,
        __file__,
        "--only",
        str(n_images),
        "--images",
        str(path),
        "--batch",
        str(batch),
    ]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def show(results: list[dict[str, float]]) -> None:
    names = ("images", "images/s", "µs/image", "ratio", "stretch, µs/image", "ratio", "drift")
    table = Table(*names, "MiB beyond data", "MiB beyond start")
    for result in results:
        table.add_row(
            f"{result['images']:,}",
            f"{1 / result['whole']:,.0f}",
            f"{result['whole'] * 1e6:.2f}",
            f"{result['whole'] / results[0]['whole']:.3f}",
            f"{result['stretch'] * 1e6:.2f}",
            f"{result['stretch'] / results[0]['stretch']:.3f}",
            f"{result['drift']:.3f}",
            f"{result['mib_beyond_data']:,.0f}",
            f"{result['mib_beyond_start']:,.1f}",
        )
    Console(width=140).print(table)


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("source", nargs="?", type=Path, default=DEFAULT, help="the MNIST pickle")
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="numbers of images, with commas")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--only", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--images", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only:
        print(json.dumps(measure(arguments.images, arguments.only, arguments.batch)))
        return
    sizes = sorted(int(size) for size in arguments.sizes.split(","))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "images"
        write_images(arguments.source, path, sizes[-1])
        results = [ask(path, size, arguments.batch) for size in sizes]
    show(results)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
