"""This library beside its peers: throughput, time to quality and memory of the tutorial's model on MNIST.

    make bench-peers

Every contender lives in a process of its own and answers in turn, so that a noisy machine is noisy to all;
throughputs are medians over the rounds. Peers run with the Python of --peers, caescope with this one.
"""

import argparse
import contextlib
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from contenders import CONTENDERS
from rich.console import Console
from rich.table import Table

from caescope.data import load_mnist_pickle

HERE = Path(__file__).resolve().parent
DEFAULT = HERE.parents[2] / "shared" / "data" / "mnist" / "mnist.pkl.gz"
BATCHES = (128, 512, 1024)  # beside the default
OURS = "caescope"


class Worker:
    """A contender's process."""

    def __init__(self, name: str, python: str, data: Path):
        self.process = subprocess.Popen(
            [python, str(HERE / "worker.py"), name, str(data)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
        )

    def ask(self, do: str, **task) -> dict:
        """Give one task and wait for its answer."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps({"do": do} | task) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f"{self.process.args} stopped with status {self.process.wait()}.")
        return json.loads(answer)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


def start(name: str, peers: str, data: Path) -> Worker:
    """Start a contender with the Python that has its libraries."""
    return Worker(name, sys.executable if name == OURS else peers, data)


def measure_throughput(data: Path, names: list[str], peers: str, rounds: int) -> dict:
    """Return every contender's median images a second for each batch, and its peak memory."""
    results = {name: {"images_per_second": {}, "peak_mib": 0.0} for name in names}
    with contextlib.ExitStack() as stack:
        workers = {name: start(name, peers, data) for name in names}
        for worker in workers.values():
            stack.callback(worker.stop)
        for turn in range(rounds + 1):
            for name, worker in workers.items():
                for batch in sorted({CONTENDERS[name][0].default_batch, *BATCHES}):
                    answer = worker.ask("throughput", batch=batch)
                    if turn:  # the first turn compiles
                        speeds = results[name]["images_per_second"]
                        speeds.setdefault(batch, []).append(answer["images_per_second"])
                    results[name]["peak_mib"] = answer["peak_mib"]
            print(f"throughput: round {turn} of {rounds}", file=sys.stderr)
    for result in results.values():
        speeds = result["images_per_second"]
        result["images_per_second"] = {batch: statistics.median(values) for batch, values in speeds.items()}
    return results


def measure_quality(name: str, data: Path, peers: str, target: float, limit: float) -> dict:
    """Return how long an untrained contender takes to the test MSE, in a process of its own."""
    worker = start(name, peers, data)
    try:
        answer = worker.ask("quality", target=target, limit=limit)
    finally:
        worker.stop()
    print(f"quality: {name} {answer}", file=sys.stderr)
    return answer


def show(results: dict, target: float) -> None:
    """Print one table; every cell also says how many times better (or worse) caescope is."""
    table = Table(
        "", "images/s, default batch", "images/s, best batch", f"s to test MSE {target}", "peak MiB"
    )

    def figures(name):
        speeds, default = results[name]["images_per_second"], CONTENDERS[name][0].default_batch
        best = max(speeds, key=speeds.get)
        return (
            default,
            speeds[default],
            best,
            speeds[best],
            results[name]["quality"],
            results[name]["peak_mib"],
        )

    _, our_default, _, our_best, our_quality, our_peak = figures(OURS)
    for name in results:
        default, at_default, best, at_best, quality, peak = figures(name)
        reached, seconds = "" if quality["reached"] else "more than ", quality["seconds"]
        table.add_row(
            name,
            f"{at_default:,.0f} ({default}) · {our_default / at_default:.2f}×",
            f"{at_best:,.0f} ({best}) · {our_best / at_best:.2f}×",
            f"{reached}{seconds:.1f} · {seconds / our_quality['seconds']:.1f}×",
            f"{peak:,.0f} · {peak / our_peak:.2f}×",
        )
    Console(width=140).print(table)


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("source", nargs="?", type=Path, default=DEFAULT, help="the MNIST pickle")
    parser.add_argument("--peers", default=str(HERE / ".venv" / "bin" / "python"), help="the peers' Python")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--target", type=float, default=0.0115, help="test MSE")
    parser.add_argument("--limit", type=float, default=600, help="seconds after which a contender is stopped")
    parser.add_argument(
        "--only", action="append", choices=list(CONTENDERS), help="a contender; repeat for more"
    )
    parser.add_argument("--json", type=Path, default=HERE / "peers.json", help="file for the figures")
    arguments = parser.parse_args()
    names = arguments.only or list(CONTENDERS)
    (train, _), _, (test, _) = load_mnist_pickle(arguments.source)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "mnist.npz"
        shape = (-1, 28, 28, 1)
        np.savez(
            data, train=train.reshape(shape).astype(np.float32), test=test.reshape(shape).astype(np.float32)
        )
        results = measure_throughput(data, names, arguments.peers, arguments.rounds)
        for name in names:
            quality = measure_quality(name, data, arguments.peers, arguments.target, arguments.limit)
            results[name]["quality"] = quality
    show(results, arguments.target)
    facts = {
        "date": datetime.date.today().isoformat(),
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "target": arguments.target,
        "results": results,
    }
    arguments.json.write_text(json.dumps(facts, indent=2))


if __name__ == "__main__":
    main()
