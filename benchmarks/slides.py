"""Whole slides: planning tiles on a gigantic one, and reading the tiles of a real one.

    python benchmarks/slides.py ../shared/data/slides/CMU-1-Small-Region.svs

plan      tiles of 128 pixels on 100,000×100,000 at level 0, in a process of its own: seconds, and the most
          memory that it held, before and after. The slide is a real file, a tiled pyramid TIFF of plain
          colours, so it is opened, its thumbnail read and its tissue found as for any other slide.
read      tiles of 128 pixels at level 0 from the given slide, on all cores and on one: tiles per second
resample  the same at 10×, a quarter of the pixels
"""

import argparse
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import numpy as np
import tifffile
from rich.console import Console
from rich.table import Table

from caescope.parallel import blocks_of, count_cores, map_in_order
from caescope.slides import SlideSource, find_slides, open_slide, plan_tiles

DEFAULT = Path(__file__).resolve().parents[2] / "shared" / "data" / "slides" / "CMU-1-Small-Region.svs"
PIECE = 256  # pixels; a piece of glass or of tissue
FACTORS = (1, 4, 16, 64)
AT_A_TIME = 32


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


def plan_alone(path: str, pipe) -> None:
    """Plan once, and send seconds, numbers of tiles and MiB held at most, before and after."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    plan = plan_tiles(open_slide(path))
    seconds = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    unit = 2**20 if sys.platform == "darwin" else 2**10
    columns, rows = plan.grid
    pipe.send({"seconds": seconds, "tiles": columns * rows, "kept": len(plan), "MiB": after / unit})
    pipe.send(before / unit)


def measure_plan(side: int, repeats: int) -> dict[str, float]:
    spawn = multiprocessing.get_context("spawn")
    found = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "slide.tiff")
        write_pyramid(path, side)
        for _ in range(repeats):
            here, there = spawn.Pipe()
            process = spawn.Process(target=plan_alone, args=(str(path), there))
            process.start()
            found.append({**here.recv(), "MiB before": here.recv()})
            process.join()
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
    if arguments.json:
        print(json.dumps({"plan": plan, "tiles per second": reading}, indent=2))
        return
    table = Table("what", "figure")
    for name, value in plan.items():
        table.add_row(f"plan: {name}", f"{value:,.2f}" if name == "seconds" else f"{value:,.0f}")
    for name, value in reading.items():
        table.add_row(f"{name}: tiles per second", f"{value:,.0f}")
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
