"""How much faster two workers of one processor each train than one: ``python benchmarks/scale_training.py``.

Both train through Ray on one cluster of this machine, in turns. What is compared is the images per second of
epochs, which leaves out how long Ray takes to start; that is said apart. The ratio is the median over turns.
"""

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np

from caescope import CAE, data
from caescope.scale.connecting import connected
from caescope.scale.training import fit_with
from caescope.scale.workers import Workers

GOAL = 1.5


def main() -> None:
    options = parse_arguments()
    images = open_images(options.source, options.resize)
    two = Workers(2, cpus_each=1)
    speeds: dict[int, list[float]] = {1: [], 2: []}
    started = time.perf_counter()
    with connected(two), tempfile.TemporaryDirectory() as folder:
        print(f"cluster started in {time.perf_counter() - started:.1f} s")
        for turn in range(options.turns):
            for number in (1, 2) if turn % 2 else (2, 1):
                place = Path(folder) / f"{turn}-{number}" / "checkpoint"
                seconds, speed = train(Workers(number, cpus_each=1), images, options, place)
                speeds[number].append(speed)
                print(
                    f"turn {turn + 1}, {number} workers: {speed:,.0f} images/s, {seconds:.1f} s in all",
                    flush=True,
                )
    ratios = [b / a for a, b in zip(speeds[1], speeds[2], strict=True)]
    print(f"{images.shape}, filters {options.filters}, batch {options.batch_size}, {options.epochs} epochs")
    print(f"1 worker {median(speeds[1]):,.0f}, 2 workers {median(speeds[2]):,.0f} images/s")
    print(f"ratio {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}), goal {GOAL}")


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


def train(workers: Workers, images: np.ndarray, options, checkpoint: Path) -> tuple[float, float]:
    """Return the seconds of the whole job, and the median images per second of all epochs but the first."""
    cae = CAE(images.shape[1:], 20, options.filters, seed=0, device="cpu", precision=options.precision)
    started = time.perf_counter()
    how = {"batch_size": options.batch_size, "epochs": options.epochs, "checkpoint": checkpoint}
    history = fit_with(workers, cae, images, **how)
    return time.perf_counter() - started, median(history.history["images_per_second"][1:])


if __name__ == "__main__":
    main()
