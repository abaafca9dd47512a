"""What the peers' benchmarks share: MNIST, processes, and one JSON file for all figures."""

import argparse
import contextlib
import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from caescope.data import load_mnist_pickle

HERE = Path(__file__).resolve().parent
DEFAULT = HERE.parents[2] / "shared" / "data" / "mnist" / "mnist.pkl.gz"
OURS = "caescope"


def make_parser(description: str, rounds: int = 5) -> argparse.ArgumentParser:
    """Return a parser of the options that all of them have."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=description, formatter_class=raw)
    parser.add_argument("source", nargs="?", type=Path, default=DEFAULT, help="the MNIST pickle")
    parser.add_argument("--peers", default=str(HERE / ".venv" / "bin" / "python"), help="the peers' Python")
    parser.add_argument("--json", type=Path, default=HERE / "peers.json", help="file for the figures")
    parser.add_argument("--rounds", type=int, default=rounds, help="measurements behind each median")
    return parser


@contextlib.contextmanager
def mnist_file(source: Path) -> Iterator[Path]:
    """Yield a file with arrays "train" and "test", images (n, 28, 28, 1), float32, that any process reads."""
    (train, _), _, (test, _) = load_mnist_pickle(source)
    images = {
        name: x.reshape(-1, 28, 28, 1).astype(np.float32) for name, x in [("train", train), ("test", test)]
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mnist.npz"
        np.savez(path, **images)
        yield path


def python_of(name: str, peers: str) -> str:
    """Return the Python that has a contender's libraries."""
    return sys.executable if name == OURS else peers


class Worker:
    """A contender's process."""

    def __init__(self, name: str, peers: str, *files: Path):
        self.process = subprocess.Popen(
            [python_of(name, peers), str(HERE / "worker.py"), name, *map(str, files)],
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


@contextlib.contextmanager
def workers(names: list[str], peers: str, *files: Path) -> Iterator[dict[str, Worker]]:
    """Yield a worker for each name, and stop them in the end."""
    with contextlib.ExitStack() as stack:
        started = {name: Worker(name, peers, *files) for name in names}
        for worker in started.values():
            stack.callback(worker.stop)
        yield started


def write_figures(path: Path, section: str, figures: dict) -> None:
    """Put one benchmark's figures into the file, and leave the others' there."""
    facts = json.loads(path.read_text()) if path.exists() else {}
    facts[section] = {
        "date": datetime.date.today().isoformat(),
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
    } | figures
    path.write_text(json.dumps(facts, indent=2) + "\n")
    print(f"figures: {path}", file=sys.stderr)
