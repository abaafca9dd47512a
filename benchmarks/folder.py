"""Encoding a folder of image files: how close it comes to decoding alone, which is the limit.

    python benchmarks/folder.py ../shared/data/lc25000 --filters 8 --filters 8,16,32

measures on all cores, taking turns within each round, and prints the medians as one table:

decode   Pillow alone in a pool of threads, np.asarray(Image.open(file))
read     this library's reader in its pool: orientation, transparency, limits, any mode
blocks   the same into arrays (n, height, width, channels), as a network takes them
find     walking the folder and reading every header, before the first image is decoded
then for each choice of filters, on the network of `CAE(shape, latent_features, filters)`:
encoder  encoder.predict on images in memory
bound    the best that decode and encoder can do on the same cores: 1 / (1 / decode + 1 / encoder)
stream   folder to latents: each core reads a block of files and encodes it
encode   the whole of `caescope encode MODEL FOLDER`: headers, latents, errors of reconstruction, Parquet
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from caescope import CAE
from caescope.data.folder import FolderSource, find_folder
from caescope.data.image_file import read_pixels
from caescope.encoding import block_size
from caescope.parallel import blocks_of, count_cores, map_in_order, one_thread_each
from caescope.pipeline import encode

DEFAULT = Path(__file__).resolve().parents[2] / "shared" / "data" / "lc25000"
FILES_AT_A_TIME = 8


def decode(files: list[Path]) -> None:
    def decode_block(rows: slice) -> None:
        for file in files[rows]:
            np.asarray(Image.open(file))

    with ThreadPoolExecutor(count_cores()) as pool:
        list(pool.map(decode_block, blocks_of(len(files), FILES_AT_A_TIME)))


def read(files: list[Path]) -> None:
    def read_block(rows: slice) -> None:
        for file in files[rows]:
            read_pixels(file)

    exhaust(map_in_order(read_block, blocks_of(len(files), FILES_AT_A_TIME)))


def read_blocks(source: FolderSource) -> None:
    exhaust(map_in_order(source.read, blocks_of(len(source), FILES_AT_A_TIME)))


def exhaust(results: Iterator) -> None:
    for _ in results:
        pass


def stream(cae: CAE, source: FolderSource) -> None:
    def encode_block(rows: slice) -> np.ndarray:
        return cae.encoder.predict(source.read(rows))

    with one_thread_each():
        blocks = blocks_of(len(source), block_size(cae, source))
        np.concatenate(list(map_in_order(encode_block, blocks)))


def jobs_for(filters: tuple[int, ...], arguments, source: FolderSource, images: np.ndarray, folder: Path):
    """Return what is measured for one network, by name."""
    cae = CAE(source.shape, arguments.latent_features, filters, device=arguments.device, seed=0)
    cae.save(model := folder / "-".join(map(str, filters)))
    options = {"overwrite": True, "verbose": 0, "device": arguments.device}
    name = ",".join(map(str, filters))
    return {
        f"encoder {name}": lambda: cae.encoder.predict(images),
        f"stream {name}": lambda: stream(cae, source),
        f"encode {name}": lambda: encode(model, arguments.folder, folder / "z.parquet", **options),
    }


def measure(jobs: dict[str, Callable], n_images: int, rounds: int) -> dict[str, float]:
    """Return the median of images per second of every job; each round runs all of them in turn."""
    seconds = {name: [] for name in jobs}
    for job in jobs.values():
        job()  # the first time finds caches cold
    for _ in range(rounds):
        for name, job in jobs.items():
            started = time.perf_counter()
            job()
            seconds[name].append(time.perf_counter() - started)
    return {name: n_images / median(values) for name, values in seconds.items()}


def with_bounds(rates: dict[str, float]) -> dict[str, float]:
    """Add, behind each encoder, what decoding and it can reach together on the same cores."""
    result = {}
    for name, rate in rates.items():
        result[name] = rate
        if name.startswith("encoder "):
            result[name.replace("encoder", "bound")] = 1 / (1 / rates["decode"] + 1 / rate)
    return result


def show(rates: dict[str, float], title: str) -> None:
    table = Table("job", "images/s", "of decode")
    for name, rate in rates.items():
        table.add_row(name, f"{rate:,.0f}", f"{rate / rates['decode']:.0%}")
    Console(width=100).print(title, table, sep="\n")


def parse_filters(text: str) -> tuple[int, ...]:
    return tuple(int(count) for count in text.split(","))


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("folder", nargs="?", type=Path, default=DEFAULT, help="image files of one size")
    parser.add_argument("--filters", type=parse_filters, action="append", help="again for each network")
    parser.add_argument("--latent-features", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", type=Path, help="file for the figures")
    arguments = parser.parse_args()
    source = find_folder(arguments.folder)
    files = [arguments.folder / name for name in source.ids]
    images = source.load().images
    jobs: dict[str, Callable] = {
        "decode": lambda: decode(files),
        "read": lambda: read(files),
        "blocks": lambda: read_blocks(source),
        "find": lambda: find_folder(arguments.folder).shape,
    }
    with tempfile.TemporaryDirectory() as folder:
        for filters in arguments.filters or [(8,), (8, 16), (8, 16, 32)]:
            jobs |= jobs_for(filters, arguments, source, images, Path(folder))
        rates = with_bounds(measure(jobs, len(source), arguments.rounds))
    size = "×".join(map(str, source.shape))
    show(rates, f"{len(source):,} images of {size}, {count_cores()} cores, median of {arguments.rounds}")
    if arguments.json:
        arguments.json.write_text(json.dumps(rates, indent=2))


if __name__ == "__main__":
    main()
