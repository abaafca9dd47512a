"""How much faster two workers of one processor each train than one: ``python benchmarks/scale_training.py``.

Both train through Ray on one cluster of this machine, in turns. What is compared is the images per second of
epochs, which leaves out how long Ray takes to start; that is said apart. The ratio is the median over turns.

In the same turns two processes each train on half of every batch and never talk. They have no cluster in
between, so they are what the machine allows: two virtual processors may be one core.
"""

import argparse
import tempfile
import time
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
APART = "2 processes apart"


def main() -> None:
    options = parse_arguments()
    images = open_images(options.source, options.resize)
    two = Workers(2, cpus_each=1)
    speeds: dict[str, list[float]] = {"1 worker": [], "2 workers": [], APART: []}
    started = time.perf_counter()
    with connected(two), tempfile.TemporaryDirectory() as folder:
        print(f"cluster started in {time.perf_counter() - started:.1f} s")
        for turn in range(options.turns):
            for name in list(speeds)[:: 1 if turn % 2 else -1]:
                started = time.perf_counter()
                if name == APART:
                    speed = train_apart(images, options)
                else:
                    workers = Workers(int(name[0]), cpus_each=1)
                    speed = train(workers, images, options, Path(folder) / f"{turn}-{name[0]}" / "checkpoint")
                speeds[name].append(speed)
                seconds = time.perf_counter() - started
                print(f"turn {turn + 1}, {name}: {speed:,.0f} images/s, {seconds:.1f} s in all", flush=True)
    print(f"{images.shape}, filters {options.filters}, batch {options.batch_size}, {options.epochs} epochs")
    for name, found in speeds.items():
        ratios = [b / a for a, b in zip(speeds["1 worker"], found, strict=True)]
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


def train(workers: Workers, images: np.ndarray, options: argparse.Namespace, checkpoint: Path) -> float:
    """Return the median images per second of all epochs but the first."""
    how = {"batch_size": options.batch_size, "epochs": options.epochs, "checkpoint": checkpoint}
    return speed_of(fit_with(workers, new_cae(images, options), images, **how))


def train_apart(images: np.ndarray, options: argparse.Namespace) -> float:
    """Return the images per second of two processes together, of which each has half of the images."""
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        return sum(pool.map(train_alone, (images[::2], images[1::2]), (options, options)))


def train_alone(images: np.ndarray, options: argparse.Namespace) -> float:
    torch.set_num_threads(1)
    cae = new_cae(images, options)
    return speed_of(
        cae.model.fit(images, batch_size=options.batch_size // 2, epochs=options.epochs, verbose=0)
    )


def new_cae(images: np.ndarray, options: argparse.Namespace) -> CAE:
    return CAE(images.shape[1:], 20, options.filters, seed=0, device="cpu", precision=options.precision)


def speed_of(history) -> float:
    return median(history.history["images_per_second"][1:])


if __name__ == "__main__":
    main()
