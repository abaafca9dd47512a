"""Peak memory of training and encoding, for a collection and for one ten times as large.

    python benchmarks/memory.py ../shared/data/lc25000

Crops of 64×64 of the given images, taken at random, are written as a folder of PNG files and as one HDF5
file. Each measurement runs in a process of its own. `fit` trains for one epoch, `encode` writes latents as
Parquet; images stay on disk in both collections, though the smaller would be read into memory otherwise.
"""

import argparse
import json
import tempfile
from pathlib import Path

import h5py
import numpy as np
from machine import alone, status_mib
from PIL import Image
from rich.console import Console
from rich.table import Table

from caescope import pipeline, source_options
from caescope.parallel import blocks_of

DEFAULT = Path(__file__).resolve().parents[2] / "shared" / "data" / "lc25000"
SIDE = 64
BLOCK = 1000


def crops(images: list[np.ndarray], n: int, seed: int) -> np.ndarray:
    """Return random crops, shape (n, 64, 64, 3), uint8."""
    rng = np.random.default_rng(seed)
    found = np.empty((n, SIDE, SIDE, 3), np.uint8)
    for crop in found:
        image = images[rng.integers(len(images))]
        y, x = (rng.integers(size - SIDE + 1) for size in image.shape[:2])
        crop[...] = image[y : y + SIDE, x : x + SIDE]
    return found


def write_collections(images: list[np.ndarray], n: int, folder: Path) -> dict[str, Path]:
    """Write ``n`` crops as files and as HDF5, a block at a time, and return both places."""
    files, stack = folder / f"files-{n}", folder / f"stack-{n}.h5"
    with h5py.File(stack, "w") as file:
        data = file.create_dataset("images", (n, SIDE, SIDE, 3), np.uint8, chunks=(16, SIDE, SIDE, 3))
        for rows in blocks_of(n, BLOCK):
            block = crops(images, rows.stop - rows.start, rows.start)
            data[rows] = block
            place = files / f"{rows.start // BLOCK:04d}"
            place.mkdir(parents=True)
            paths = (place / f"{i:04d}.png" for i in range(len(block)))
            for path, image in zip(paths, block, strict=False):
                Image.fromarray(image).save(path)
    return {"files": files, "HDF5": stack}


def measure(verb: str, source: Path, folder: Path) -> float:
    """Train or encode once, and return the most MiB that were held."""
    source_options.IN_MEMORY = 0
    if verb == "fit":
        pipeline.fit(source, folder / "model", overwrite=True, verbose=0, latent_features=20, epochs=1)
    else:
        pipeline.encode(folder / "model", source, folder / "latents.parquet", overwrite=True, verbose=0)
    return status_mib("VmHWM")


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("images", type=Path, nargs="?", default=DEFAULT)
    parser.add_argument("--small", type=int, default=20_000)
    parser.add_argument("--large", type=int, default=200_000)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    images = [
        np.asarray(Image.open(path).convert("RGB")) for path in sorted(arguments.images.rglob("*.jp*g"))
    ]
    found = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        small, large = (write_collections(images, n, folder) for n in (arguments.small, arguments.large))
        del images
        for kind in small:
            for verb in ("fit", "encode"):
                pair = [alone(measure, verb, sources[kind], folder) for sources in (small, large)]
                found[f"{verb}, {kind}"] = {
                    "small": pair[0],
                    "large": pair[1],
                    "growth": pair[1] / pair[0] - 1,
                }
    if arguments.json:
        print(json.dumps(found, indent=2))
        return
    table = Table("peak memory, MiB", f"{arguments.small:,} images", f"{arguments.large:,} images", "growth")
    for what, row in found.items():
        table.add_row(what, f"{row['small']:,.0f}", f"{row['large']:,.0f}", f"{row['growth']:+.1%}")
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
