"""Reading a folder of many small files: by threads of this process, and by other processes.

    python benchmarks/small_files.py

writes the first 20,000 of MNIST's digits as PNG files and measures, taking turns within each round:

shape    reading every header
load     all images into memory
read     batches of 128 at random, as training and encoding ask for them
fit      training the tutorial's model while the images are read

and prints the medians in images per second. Processes have started before they are measured.
"""

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from caescope import CAE, data
from caescope.data import folder
from caescope.data.folder import FolderSource, find_folder
from caescope.parallel import blocks_of, map_in_order

DEFAULT = Path(__file__).resolve().parents[2] / "shared" / "data" / "mnist" / "mnist.pkl.gz"
WAYS = {"threads": 10**9, "processes": 0}  # and how many files are many enough for other processes
BATCH = 128


def write(images: np.ndarray, path: Path) -> None:
    """Write grey images with floats in [0, 1]."""
    for i, image in enumerate((images * 255).round().astype(np.uint8)):
        Image.fromarray(image).save(path / f"{i:06d}.png")


def shape(source: FolderSource) -> None:
    assert replace(source).shape  # which a source reads once


def load(source: FolderSource) -> None:
    source.load()


def read(source: FolderSource) -> None:
    order = np.random.default_rng(0).permutation(len(source))
    for _ in map_in_order(source.read, (order[rows] for rows in blocks_of(len(order), BATCH))):
        pass


def fit(source: FolderSource) -> None:
    CAE(source.shape, 20, [8, 16], seed=0, device="cpu").model.fit(source, batch_size=BATCH, verbose=0)


def images_per_second(job: Callable[[FolderSource], object], source: FolderSource) -> float:
    started = time.perf_counter()
    job(source)
    return len(source) / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    digits = data.open_source(DEFAULT).images[: arguments.images, ..., 0]
    found = defaultdict(lambda: defaultdict(list))
    with tempfile.TemporaryDirectory() as path:
        write(digits, Path(path))
        source = find_folder(path)
        for turn in range(arguments.rounds + 1):
            for way, folder.MANY in WAYS.items():
                for job in (shape, load, read, fit):
                    speed = images_per_second(job, source)
                    if turn:  # the first starts the processes
                        found[job.__name__][way].append(speed)
    table = Table("images per second", *WAYS, "ratio")
    for name, speeds in found.items():
        here, there = (median(speeds[way]) for way in WAYS)
        table.add_row(name, f"{here:,.0f}", f"{there:,.0f}", f"{there / here:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
