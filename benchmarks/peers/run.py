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


def measure(data: Path, names: list[str], peers: str, rounds: int, target: float, limit: float) -> dict:
    """Return, for every contender, the figures of one interleaved run."""
    with contextlib.ExitStack() as stack:
        workers = {}
        for name in names:
            workers[name] = Worker(name, sys.executable if name == OURS else peers, data)
            stack.callback(workers[name].stop)
        speeds = {name: {} for name in names}
        last = {}
        for turn in range(rounds + 1):
            for name, worker in workers.items():
                default = (
                    last[name]["default_batch"]
                    if turn
                    else worker.ask("throughput", batch=128)["default_batch"]
                )
                for batch in sorted({default, *BATCHES}):
                    last[name] = worker.ask("throughput", batch=batch)
                    if turn:  # the first turn compiles
                        speeds[name].setdefault(batch, []).append(last[name]["images_per_second"])
            print(f"throughput: round {turn} of {rounds}", file=sys.stderr)
        results = {}
        for name in names:
            results[name] = {
                "default_batch": last[name]["default_batch"],
                "images_per_second": {b: statistics.median(v) for b, v in speeds[name].items()},
                "peak_mib": last[name]["peak_mib"],
            }
    for name in names:
        worker = Worker(name, sys.executable if name == OURS else peers, data)
        results[name]["quality"] = worker.ask("quality", target=target, limit=limit)
        worker.stop()
        print(f"quality: {name} {results[name]['quality']}", file=sys.stderr)
    return results


def show(results: dict, target: float) -> None:
    """Print one table; every cell also says how many times better (or worse) caescope is."""
    table = Table(
        "", "images/s, default batch", "images/s, best batch", f"s to test MSE {target}", "peak MiB"
    )

    def row(name):
        result = results[name]
        speeds, quality = result["images_per_second"], result["quality"]
        best = max(speeds, key=speeds.get)
        default = result["default_batch"]
        return (
            (speeds[default], default),
            (speeds[best], best),
            quality["seconds"],
            quality["reached"],
            result,
        )

    ours = row(OURS)
    for name in results:
        (default, batch), (top, best), seconds, reached, result = row(name)
        table.add_row(
            name,
            f"{default:,.0f} ({batch}) · {ours[0][0] / default:.2f}×",
            f"{top:,.0f} ({best}) · {ours[1][0] / top:.2f}×",
            f"{'' if reached else 'more than '}{seconds:.1f} · {seconds / ours[2]:.1f}×",
            f"{result['peak_mib']:,.0f} · {result['peak_mib'] / ours[4]['peak_mib']:.2f}×",
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
        results = measure(data, names, arguments.peers, arguments.rounds, arguments.target, arguments.limit)
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
