"""Whole slides: planning tiles on a gigantic one, and reading the tiles of a real one.

    python benchmarks/slides.py ../shared/data/slides/CMU-1-Small-Region.svs

plan      tiles of 128 pixels on 100,000×100,000 at level 0, in a process of its own: seconds, and the most
          memory that it held, before and after. The slide is a real file, a tiled pyramid TIFF of plain
          colours, so it is opened, its thumbnail read and its tissue found as for any other slide.
read      tiles of 128 pixels at level 0 from the given slide, on all cores and on one: tiles per second
resample  the same at 10×, a quarter of the pixels
encode    how many tiles of 128 pixels with 64 latents are read and encoded, as a share of those that are only
          read, at several magnifications: latents alone, and with reconstruction errors as `caescope encode`
"""

import argparse
import json
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import tifffile
from machine import alone, status_mib
from rich.console import Console
from rich.table import Table

from caescope.cae import CAE
from caescope.encoding import block_size, encode_to_file
from caescope.parallel import blocks_of, count_cores, map_in_order, one_thread_each
from caescope.progress import Stages
from caescope.slides import SlideSource, find_slides, open_slide, plan_tiles

DEFAULT = Path(__file__).resolve().parents[2] / "shared" / "data" / "slides" / "CMU-1-Small-Region.svs"
PIECE = 256  # pixels; a piece of glass or of tissue
FACTORS = (1, 4, 16, 64)
AT_A_TIME = 32
MAGNIFICATIONS = {20: 64, 10: 64, 5: 96, 2.5: 112}  # and overlaps, so that a small slide has enough tiles


def write_pyramid(path: Path, side: int) -> None:
    """Write a slide of ``side``×``side`` pixels whose middle is tissue, packing each kind of piece once."""
    colours = (244, 243, 245), (205, 130, 180)  # glass and tissue
    images = [np.full((PIECE, PIECE, 3), colour, np.uint8) for colour in colours]
    packed = [packed_as_tile(image, path.with_suffix(".piece.tiff")) for image in images]
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        for factor in FACTORS:
            size = side // factor
            file.write(
                pieces(size, packed),
                shape=(size, size, 3),
                dtype=np.uint8,
                tile=(PIECE, PIECE),
                photometric="rgb",
                compression="zlib",
                metadata=None,
                subfiletype=int(factor > 1),
                resolution=(40000, 40000),
                resolutionunit="CENTIMETER",
            )


def packed_as_tile(image: np.ndarray, path: Path) -> bytes:
    tifffile.imwrite(path, image, tile=(PIECE, PIECE), photometric="rgb", compression="zlib", metadata=None)
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        return path.read_bytes()[page.dataoffsets[0] :][: page.databytecounts[0]]  # pyright: ignore


def pieces(size: int, packed: list[bytes]) -> Iterator[bytes]:
    n = -(-size // PIECE)
    for i in range(n * n):
        distance = np.hypot(*(np.array(divmod(i, n)) + 0.5 - n / 2)) / n
        yield packed[int(distance < 0.4)]


def plan_once(path: str) -> dict[str, float]:
    """Return seconds, numbers of tiles and the most MiB held, before and after."""
    before = status_mib("VmHWM")
    started = time.perf_counter()
    plan = plan_tiles(open_slide(path))
    seconds = time.perf_counter() - started
    columns, rows = plan.grid
    facts = {"seconds": seconds, "tiles": columns * rows, "kept": len(plan)}
    return facts | {"MiB": status_mib("VmHWM"), "MiB before": before}


def measure_plan(side: int, repeats: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "slide.tiff")
        write_pyramid(path, side)
        found = [alone(plan_once, str(path)) for _ in range(repeats)]
    return {name: median(one[name] for one in found) for name in found[0]}


def tiles_per_second(source: SlideSource, threads: int, repeats: int) -> float:
    def once() -> float:
        started = time.perf_counter()
        for _ in map_in_order(source.read, blocks_of(len(source), AT_A_TIME), threads):
            pass
        return len(source) / (time.perf_counter() - started)

    return median(once() for _ in range(repeats))


def measure_reading(slide: Path, repeats: int) -> dict[str, float]:
    sources = {
        "read": find_slides(slide, size=128, rule="none"),
        "resample": find_slides(slide, size=128, magnification=10, rule="none"),
    }
    threads = dict.fromkeys((count_cores(), 1))
    return {
        f"{name}, {n} thread" + "s" * (n > 1): tiles_per_second(source, n, repeats)
        for name, source in sources.items()
        for n in threads
    }


def measure_encoding(slide: Path, repeats: int) -> dict[str, dict[str, float]]:
    """Return shares of the speed of reading alone; each repeat measures all three, one after the other."""
    cae = CAE(input_shape=(128, 128, 3), latent_features=64, filters=(8, 16, 32))
    found = {}
    for magnification, overlap in MAGNIFICATIONS.items():
        source = find_slides(slide, size=128, rule="none", magnification=magnification, overlap=overlap)
        size = block_size(cae, source)
        works = {
            "read": lambda source=source, size=size: read_alone(source.read, len(source), size),
            "latents": lambda source=source, size=size: read_alone(
                partial(encode_alone, cae, source), len(source), size
            ),
            "errors": lambda source=source: encode_whole(cae, source),
        }
        seconds = {name: [] for name in works}
        for _ in range(repeats):
            for name, work in works.items():
                started = time.perf_counter()
                work()
                seconds[name].append(time.perf_counter() - started)
        read = median(seconds["read"])
        found[f"{magnification}×"] = {name: read / median(seconds[name]) for name in ("latents", "errors")}
    return found


def read_alone(work: Callable[[slice], object], n_tiles: int, size: int) -> None:
    with one_thread_each():
        deque(map_in_order(work, blocks_of(n_tiles, size)), 0)


def encode_whole(cae: CAE, source: SlideSource) -> None:
    with tempfile.TemporaryDirectory() as folder:
        encode_to_file(cae, source, Path(folder, "latents.parquet"), Stages(0))


def encode_alone(cae: CAE, source: SlideSource, rows: slice) -> None:
    cae.encoder.predict(source.read(rows))


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("slide", type=Path, nargs="?", default=DEFAULT)
    parser.add_argument("--side", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    plan = measure_plan(arguments.side, arguments.repeats)
    reading = measure_reading(arguments.slide, arguments.repeats)
    encoding = measure_encoding(arguments.slide, arguments.repeats)
    if arguments.json:
        print(json.dumps({"plan": plan, "tiles per second": reading, "encoding": encoding}, indent=2))
        return
    table = Table("what", "figure")
    for name, value in plan.items():
        table.add_row(f"plan: {name}", f"{value:,.2f}" if name == "seconds" else f"{value:,.0f}")
    for name, value in reading.items():
        table.add_row(f"{name}: tiles per second", f"{value:,.0f}")
    for magnification, shares in encoding.items():
        for name, share in shares.items():
            table.add_row(f"encode at {magnification}, {name}: share of reading", f"{share:.0%}")
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
