"""This library alone, today and before: speeds, start-up and the tutorial's qualities on MNIST.

    make bench

prints each figure beside the median of the last five entries under the same conditions (processor, cores,
device, images, seeds), adds an entry to the history, and exits with 3 where a figure became worse by more
than its tolerance. The history is local: git ignores it, because other machines have other figures.

Two fixed kernels, a float32 matrix product and a copy in memory, run beside everything that is timed. Where
the machine is slower now, the figures of before are scaled to that, so that only this library is judged.
"""

import argparse
import datetime
import statistics
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import history
import machine
import mnist
import numpy as np
import startup
import torch
from history import Figure, Row
from rich.console import Console
from rich.table import Table

import caescope
from caescope import CAE
from caescope.cae import parse_device
from caescope.data import load_mnist_pickle
from caescope.parallel import count_cores

HERE = Path(__file__).resolve().parent
N_IMAGES = 20_480  # every batch size divides it
TARGET = 0.0115  # test MSE
MAX_FITS = 5

# Tolerances of qualities are about twice what other seeds change in a mean over three
FIGURES = {
    "train, batch 128, images/s": Figure("higher", "speed", 0.15),
    "train, batch 512, images/s": Figure("higher", "speed", 0.15),
    "encode, images/s": Figure("higher", "speed", 0.15),
    f"seconds to test MSE {TARGET}": Figure("lower", "duration", 0.15),
    "test MSE after 2 epochs": Figure("lower", "quality", 0.05),
    "import caescope, seconds": Figure("lower", "duration", 0.25),
    "caescope --help, seconds": Figure("lower", "duration", 0.25),
    "import torch, seconds": Figure("lower", "duration"),
    "test MSE": Figure("lower", "quality", 0.05),
    "train MSE": Figure("lower", "quality", 0.05),
    "train and test MSE apart": Figure("lower"),
    "constant latents": Figure("lower", "quality", 0.05),
    "one-versus-rest logistic regression, test": Figure("higher", "quality", 0.01),
    "KMeans K=20 on the t-SNE map, mean Gini": Figure("lower", "quality", 0.3),
    "purity of those clusters": Figure("higher", "quality", 0.05),
    "matched accuracy, K=10 on the map": Figure("higher", "quality", 0.05),
    "seconds: train": Figure("lower", "duration"),
    "seconds: map": Figure("lower", "duration", 0.3),
    "seconds: total": Figure("lower", "duration", 0.3),
    "matrix product, GFLOP/s": Figure("higher"),
    "copy in memory, GB/s": Figure("higher"),
}


class Entry:
    """Figures of one run, and how fast the machine was beside each of them."""

    def __init__(self, device: torch.device):
        self.device = device
        self.figures: dict[str, float] = {}
        self.reference: dict[str, float] = {}

    def beside(self, measure: Callable[[], dict[str, float]], repeats: int = 1) -> None:
        """Call ``measure`` several times, each between two looks at the machine, and keep the medians."""
        speeds, results = [machine.speed(self.device)], []
        for _ in range(repeats):
            results.append(measure())
            speeds.append(machine.speed(self.device))
        names = [name for name in results[0] if FIGURES[name].kind != "quality"]
        self.figures |= {name: statistics.median(result[name] for result in results) for name in results[0]}
        self.reference |= dict.fromkeys(names, statistics.median(speeds))


def measure_machine(entry: Entry) -> None:
    entry.figures["matrix product, GFLOP/s"] = machine.matmul_flops(entry.device) / 1e9
    entry.figures["copy in memory, GB/s"] = machine.copy_bandwidth(entry.device) / 1e9


def measure_speeds(entry: Entry, train: np.ndarray, test: np.ndarray, repeats: int) -> None:
    """Measure training and encoding, after a warm-up of each."""
    cae = CAE((28, 28, 1), 20, (8, 16), seed=0, device=entry.device.type)
    some = train[:N_IMAGES]
    works = {
        f"train, batch {batch}, images/s": (
            some,
            lambda x, batch=batch: cae.model.fit(x, None, batch, verbose=0),
        )
        for batch in (128, 512)
    }
    works["encode, images/s"] = train, cae.encoder.predict

    def once(name: str) -> dict[str, float]:
        images, work = works[name]
        return {name: len(images) / machine.seconds_of(lambda: work(images), entry.device)}

    for name in works:
        once(name)
        entry.beside(lambda name=name: once(name), repeats)
    entry.beside(lambda: seconds_to_target(train, test, entry.device), 3)


def seconds_to_target(train: np.ndarray, test: np.ndarray, device: torch.device) -> dict[str, float]:
    """Train two epochs at a time until the test MSE is reached; measuring does not count."""
    cae, seconds, errors = CAE((28, 28, 1), 20, (8, 16), seed=0, device=device.type), 0.0, []
    while not errors or (errors[-1] > TARGET and len(errors) < MAX_FITS):
        seconds += machine.seconds_of(lambda: cae.model.fit(train, epochs=2, verbose=0), device)
        errors.append(cae.model.evaluate(test))
    reached = seconds if errors[-1] <= TARGET else float("inf")
    return {f"seconds to test MSE {TARGET}": reached, "test MSE after 2 epochs": errors[0]}


def measure_startup(entry: Entry, repeats: int) -> None:
    def once() -> dict[str, float]:
        return {f"{name}, seconds": startup.seconds_of(command) for name, command in startup.COMMANDS.items()}

    once()
    entry.beside(once, 2 * repeats)


def measure_qualities(entry: Entry, source: Path, seeds: list[int]) -> None:
    """Run the tutorial's whole job for every seed, and keep the means."""

    def means() -> dict[str, float]:
        results = [mnist.measure(source, seed, entry.device.type) for seed in seeds]
        return {name: statistics.mean(result[name] for result in results) for name in results[0]}

    entry.beside(means)


def conditions(source: Path, seeds: list[int], device: torch.device) -> dict:
    """Return what must be the same for two entries to be compared."""
    return {
        "processor": machine.processor(),
        "cores": count_cores(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "source": f"{source.name} {zlib.crc32(source.read_bytes()):08x}",
        "seeds": seeds,
    }


def provenance() -> dict:
    """Return when this is, and which code it is."""
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": git("rev-parse", "--short", "HEAD"),
        "dirty": bool(git("status", "--porcelain")),
        "version": caescope.__version__,
        "torch": torch.__version__,
    }


def git(*arguments: str) -> str:
    """Return what git says of this checkout, and nothing where it is none."""
    try:
        done = subprocess.run(["git", *arguments], cwd=HERE, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


def show(rows: list[Row], n_before: int) -> None:
    before = f"before ({n_before} {'entry' if n_before == 1 else 'entries'})"
    table = Table("figure", "better", "now", before, "now / before", "tolerance", "")
    for row in rows:
        figure = FIGURES[row.name]
        table.add_row(
            row.name,
            figure.better,
            number(row.now),
            "" if row.before is None else number(row.before),
            "" if row.ratio is None else f"{row.ratio:.3f}",
            "" if figure.tolerance is None else f"{figure.tolerance:.0%}",
            "worse" if row.worse else "",
        )
    table.caption = "Speeds and seconds of before are scaled to how fast the machine is now."
    Console(width=130).print(table)


def number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.5g}"


def parse_arguments() -> argparse.Namespace:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("source", nargs="?", type=Path, default=mnist.DEFAULT, help="the MNIST pickle")
    parser.add_argument("--seeds", default="0,1,2", help="of the qualities, which are means over them")
    parser.add_argument("--repeats", type=int, default=5, help="of everything that is timed")
    parser.add_argument("--device", default="auto", help="cpu, cuda, or auto")
    parser.add_argument(
        "--history", type=Path, default=HERE / "history.jsonl", help="file for the entries; git ignores it"
    )
    parser.add_argument("--no-fail", action="store_true", help="exit with 0 whatever became worse")
    return parser.parse_args()


def main() -> int:
    arguments = parse_arguments()
    seeds = [int(seed) for seed in arguments.seeds.split(",")]
    (train, _), _, (test, _) = load_mnist_pickle(arguments.source)
    train, test = (images.reshape(-1, 28, 28, 1) for images in (train, test))
    entry = Entry(parse_device(arguments.device))
    measure_machine(entry)
    measure_speeds(entry, train, test, arguments.repeats)
    measure_startup(entry, arguments.repeats)
    measure_qualities(entry, arguments.source, seeds)
    now = provenance() | conditions(arguments.source, seeds, entry.device)
    now |= {"figures": entry.figures, "reference": entry.reference}
    earlier, complaints = history.read(arguments.history)
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    rows = history.compare(now, earlier, FIGURES)
    show(rows, len(history.comparable(now, earlier)))
    history.append(arguments.history, now)
    print(history.sentence(rows))
    return 3 if any(row.worse for row in rows) and not arguments.no_fail else 0


if __name__ == "__main__":
    sys.exit(main())
