"""How much faster two workers of one processor each train than one: ``python benchmarks/scale_training.py``.

Both train through Ray on one cluster of this machine, in turns. What is compared is the images per second of
epochs, which leaves out how long Ray takes to start; that is said apart. The ratio is the median over turns.

In the same turns two processes each train on half of every batch and never talk. They have no cluster in
between, so they are what the machine allows: two virtual processors may be one core.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import median

import numpy as np
import torch

from caescope import CAE, data
from caescope.scale.connecting import connected
from caescope.scale.training import fit_with
from caescope.scale.workers import Workers

GOAL = 1.5
ONE = "1 worker"


def main() -> None:
    options = parse_arguments()
    images = open_images(options.source, options.resize)
    ways: dict[str, Callable[[Path], float]] = {
        ONE: lambda folder: train(Workers(1, cpus_each=1), images, options, folder),
        "2 workers": lambda folder: train(Workers(2, cpus_each=1), images, options, folder),
        "2 processes apart": lambda _: train_apart(images, options),
    }
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    started = time.perf_counter()
    with connected(Workers(2, cpus_each=1)), tempfile.TemporaryDirectory() as folder:
        print(f"cluster started in {time.perf_counter() - started:.1f} s")
        for turn in range(options.turns):
            for name in list(ways)[:: 1 if turn % 2 else -1]:
                started = time.perf_counter()
                speed = ways[name](Path(folder) / f"{turn}-{name}")
                speeds[name].append(speed)
                seconds = time.perf_counter() - started
                print(f"turn {turn + 1}, {name}: {speed:,.0f} images/s, {seconds:.1f} s in all", flush=True)
    print(f"{images.shape}, filters {options.filters}, batch {options.batch_size}, {options.epochs} epochs")
    for name, found in speeds.items():
        ratios = [b / a for a, b in zip(speeds[ONE], found, strict=True)]
        print(
            f"{name}: {median(found):,.0f} images/s, "
            f"ratio {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        )
    print(f"goal of 2 workers: {GOAL}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("source", nargs="?", default="../shared/data/mnist/mnist.pkl.gz")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument(
        "--filters", type=lambda text: [int(part) for part in text.split(",")], default=[8, 16]
    )
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--resize", type=int)
    return parser.parse_args()


def open_images(source: str, resize: int | None) -> np.ndarray:
    found = data.open_source(source, fit=None if resize is None else data.Fit(resize=resize))
    return found.images if found.split is None else found.images[found.split == "train"]


def train(workers: Workers, images: np.ndarray, options: argparse.Namespace, folder: Path) -> float:
    """Return the median images per second of all epochs but the first."""
    how = {"batch_size": options.batch_size, "epochs": options.epochs, "checkpoint": folder / "checkpoint"}
    history = fit_with(workers, new_cae(images, options), images, **how)
    return median(history.history["images_per_second"][1:])


def train_apart(images: np.ndarray, options: argparse.Namespace) -> float:
    """Return the images per second of two processes together, of which each has half of the images."""
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        return sum(pool.map(train_alone, (images[::2], images[1::2]), (options, options)))


def train_alone(images: np.ndarray, options: argparse.Namespace) -> float:
    """Return what one of the two reaches; its last epoch does not count, when the other may have ended."""
    torch.set_num_threads(1)
    how = {"batch_size": options.batch_size // 2, "epochs": options.epochs + 1, "verbose": 0}
    history = new_cae(images, options).model.fit(images, **how)
    return median(history.history["images_per_second"][1:-1])


def new_cae(images: np.ndarray, options: argparse.Namespace) -> CAE:
    return CAE(images.shape[1:], 20, options.filters, seed=0, device="cpu", precision=options.precision)


if __name__ == "__main__":
    main()
