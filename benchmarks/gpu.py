"""Training on a GPU beside a plain PyTorch loop, and beside what the hardware allows.

    python benchmarks/gpu.py --json gpu.json

Everybody starts from uint8 images in the computer's memory and trains some epochs; the contenders take
turns, and figures are medians over the rounds. The plain loop copies all images to the GPU once and uses
channels-last memory, bfloat16 autocast and fused Adam, with and without torch.compile.

Limits, for each image of a training step, from the layers' shapes (benchmarks/limits.py):
arithmetic: 3 × multiply-adds × 2 floating-point operations, over the FLOP/s of a large matrix product;
bandwidth: 4 × elements of all activations × bytes of each, over the bytes a second of a copy on the device.
Synchronisations are what torch.cuda.set_sync_debug_mode counts in one epoch.
"""

import argparse
import json
import statistics
import sys
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import limits
import machine
import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from caescope import CAE
from caescope.model.options import parse_options

ELEMENT = {"float32": 4, "bfloat16": 2}  # bytes


@dataclass(frozen=True)
class Case:
    """A network and the work that it is given."""

    shape: tuple[int, int, int]
    filters: tuple[int, ...]
    latents: int
    batches: tuple[int, ...]
    n_images: int  # a multiple of every batch, so that nothing is compiled twice
    epochs: int = 3

    def __str__(self) -> str:
        sizes, filters = (sign.join(map(str, v)) for sign, v in (("×", self.shape), ("-", self.filters)))
        return f"{sizes}, {filters}, {self.latents}"


CASES = (
    Case((28, 28, 1), (8, 16), 20, (128, 512, 4096), 65_536),
    Case((128, 128, 3), (8, 16, 32), 512, (128, 512), 8_192),
)
QUICK = (
    Case((28, 28, 1), (8, 16), 20, (8, 32), 64, 1),
    Case((16, 16, 3), (2, 2), 4, (8,), 16, 1),
)


class Ours:
    """This library as its users call it."""

    def __init__(self, case: Case, device: torch.device, precision: str):
        self.precision = precision
        self.cae = CAE(
            case.shape, case.latents, case.filters, seed=0, device=str(device), precision=precision
        )

    def train(self, images: np.ndarray, batch: int, epochs: int) -> None:
        self.cae.model.fit(images, None, batch, epochs, verbose=0)


class Plain:
    """The loop that somebody writes who knows PyTorch well."""

    precision = "bfloat16"

    def __init__(self, case: Case, device: torch.device, compiled: bool):
        self.device = device
        network = plain_network(case).to(device, memory_format=torch.channels_last)
        self.optimizer = torch.optim.Adam(network.parameters(), fused=True)
        self.network = torch.compile(network) if compiled else network

    def train(self, images: np.ndarray, batch: int, epochs: int) -> None:
        x = torch.from_numpy(images).to(self.device)
        for _ in range(epochs):
            for rows in torch.randperm(len(x), device=self.device).split(batch):
                self.step(x[rows].permute(0, 3, 1, 2) / 255)  # a view: the memory stays channels last

    def step(self, inputs: torch.Tensor) -> None:
        self.optimizer.zero_grad()
        with torch.autocast(self.device.type, torch.bfloat16):
            outputs = self.network(inputs)
        nn.functional.mse_loss(outputs.float(), inputs).backward()
        self.optimizer.step()


def plain_network(case: Case) -> nn.Sequential:
    """Return the same architecture in PyTorch's own layers, channels first."""
    channels = [case.shape[2], *case.filters]
    small = [size // 2 ** len(case.filters) for size in case.shape[:2]]
    flat = small[0] * small[1] * channels[-1]
    layers: list[nn.Module] = []
    for before, after in pairwise(channels):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Flatten(), nn.Linear(flat, case.latents), nn.Linear(case.latents, flat), nn.ReLU()]
    layers += [nn.Unflatten(1, (channels[-1], *small))]
    for before, after in pairwise(channels[::-1]):
        layers += [nn.Upsample(scale_factor=2), nn.Conv2d(before, after, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers[:-1], nn.Sigmoid())


CONTENDERS: dict[str, Callable[[Case, torch.device], Ours | Plain]] = {
    "caescope, float32": lambda case, device: Ours(case, device, "float32"),
    "caescope, bfloat16": lambda case, device: Ours(case, device, "bfloat16"),
    "plain, bfloat16": lambda case, device: Plain(case, device, compiled=False),
    "plain, bfloat16, compiled": lambda case, device: Plain(case, device, compiled=True),
}


def measure(case: Case, batch: int, device: torch.device, names: list[str], rounds: int) -> list[dict]:
    """Return one row for each contender that can train here."""
    images = np.random.default_rng(0).integers(0, 256, (case.n_images, *case.shape), np.uint8)
    contenders = {name: CONTENDERS[name](case, device) for name in names}
    seconds = take_turns(contenders, images, batch, case.epochs, device, rounds)
    work = asdict(limits.work(parse_options(case.shape, case.latents, case.filters)))
    rows = []
    for name, values in seconds.items():
        contender = contenders[name]
        epoch = partial(contender.train, images, batch, 1)
        row = {"network": str(case), "batch": batch, "contender": name, "precision": contender.precision}
        row |= {"images_per_second": case.n_images * case.epochs / statistics.median(values)}
        row |= {"steps": case.n_images // batch, "synchronisations": count_synchronisations(epoch, device)}
        rows.append(row | {"peak_mib": peak_mib(epoch, device), "work": work})
    return rows


def take_turns(contenders, images: np.ndarray, batch: int, epochs: int, device, rounds: int) -> dict:
    """Return the seconds of every round of those contenders that can train here."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(rounds + 1):
        for name in list(seconds):
            work = partial(contenders[name].train, images, batch, epochs)
            try:
                taken = machine.seconds_of(work, device)
            except Exception as error:  # no compiler here, or no memory: the others go on
                print(f"{name} cannot train here: {type(error).__name__}: {error}", file=sys.stderr)
                del seconds[name]
                continue
            if turn:  # the first one warms up and compiles
                seconds[name].append(taken)
    return seconds


def count_synchronisations(work: Callable[[], None], device: torch.device) -> int | None:
    """Return how often the computer waited for the GPU; None on a CPU."""
    if device.type != "cuda":
        return None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            work()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return sum("synchronizing CUDA operation" in str(warning.message) for warning in caught)


def peak_mib(work: Callable[[], None], device: torch.device) -> float | None:
    """Return the most memory of the GPU that tensors held meanwhile; None on a CPU."""
    if device.type != "cuda":
        return None
    torch.cuda.reset_peak_memory_stats(device)
    work()
    return torch.cuda.max_memory_allocated(device) / machine.MIB


def measure_limits(device: torch.device, quick: bool) -> dict[str, float]:
    """Return FLOP/s by precision, and bytes a second; float32 as convolutions may compute it (TF32)."""
    size, mib = (128, 1) if quick else (8192, 1024)
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32
    flops = {name: machine.matmul_flops(device, getattr(torch, name), size) for name in ELEMENT}
    torch.backends.cuda.matmul.allow_tf32 = False
    return flops | {"bandwidth": machine.copy_bandwidth(device, mib)}


def add_shares(row: dict, peaks: dict[str, float]) -> dict:
    """Add which share of the two limits a row reaches."""
    work = limits.Work(**row["work"])
    arithmetic = peaks[row["precision"]] / work.flops
    bandwidth = peaks["bandwidth"] / work.traffic(ELEMENT[row["precision"]])
    speed = row["images_per_second"]
    return row | {"share_of_arithmetic": speed / arithmetic, "share_of_bandwidth": speed / bandwidth}


def show(rows: list[dict], peaks: dict[str, float], name: str) -> None:
    table = Table(
        "network", "batch", "contender", "images/s", "arithmetic", "bandwidth", "syncs/steps", "MiB"
    )
    for row in rows:
        waits, mib = row["synchronisations"], row["peak_mib"]
        table.add_row(
            row["network"],
            str(row["batch"]),
            row["contender"],
            f"{row['images_per_second']:,.0f}",
            f"{row['share_of_arithmetic']:.2%}",
            f"{row['share_of_bandwidth']:.1%}",
            "" if waits is None else f"{waits}/{row['steps']}",
            "" if mib is None else f"{mib:,.0f}",
        )
    flops = ", ".join(f"{peaks[kind] / 1e12:.3g} TFLOP/s in {kind}" for kind in ELEMENT)
    table.caption = f"{name}: {flops}, {peaks['bandwidth'] / 1e9:,.4g} GB/s"
    Console(width=140).print(table)


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--device", default="cuda", help="cuda, or cpu")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it runs; not compiled")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="file for the figures")
    arguments = parser.parse_args()
    if arguments.device.startswith("cuda") and not torch.cuda.is_available():
        print("There is no CUDA GPU here, so there is nothing to measure; --device cpu measures the CPU.")
        return
    device = torch.device(arguments.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else machine.processor()
    names = [name for name in CONTENDERS if not (arguments.quick and "compiled" in name)]
    peaks = measure_limits(device, arguments.quick)
    rounds = 1 if arguments.quick else arguments.rounds
    rows = []
    for case in QUICK if arguments.quick else CASES:
        for batch in case.batches:
            print(f"{case}, batch {batch}", file=sys.stderr)
            rows += [add_shares(row, peaks) for row in measure(case, batch, device, names, rounds)]
    show(rows, peaks, name)
    if arguments.json:
        facts = {"device": name, "torch": torch.__version__, "limits": peaks, "rows": rows}
        arguments.json.write_text(json.dumps(facts, indent=2))


if __name__ == "__main__":
    main()
