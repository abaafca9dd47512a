"""Seconds that a new process takes to import this package, to show its help, and to import PyTorch.

    python benchmarks/startup.py

Each is the median over processes that take turns, so that a noisy machine is noisy to all.
"""

import argparse
import statistics
import subprocess
import sys
import time

from rich.console import Console
from rich.table import Table

HELP = (
    "from caescope.cli import main; main(['--help'], prog_name='caescope')"  # what the command's script does
)
COMMANDS = {
    "import caescope": [sys.executable, "-c", "import caescope"],
    "caescope --help": [sys.executable, "-c", HELP],
    "import torch": [sys.executable, "-c", "import torch"],
}
BARE = {"python": [sys.executable, "-c", "pass"]}


def seconds_of(command: list[str]) -> float:
    """Return the seconds that a process lives."""
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def measure(repeats: int = 10, commands: dict[str, list[str]] = COMMANDS) -> dict[str, float]:
    """Return the median seconds of each command; the first round only fills the disk's cache."""
    rounds = [{name: seconds_of(command) for name, command in commands.items()} for _ in range(repeats + 1)]
    return {name: statistics.median(turn[name] for turn in rounds[1:]) for name in commands}


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--repeats", type=int, default=10)
    seconds = measure(parser.parse_args().repeats, BARE | COMMANDS)
    table = Table("process", "median ms", "import torch takes")
    for name, value in seconds.items():
        table.add_row(name, f"{value * 1e3:.1f}", f"{seconds['import torch'] / value:.1f} ×")
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
