"""Encoding beside the peers: MNIST's 50,000 training images to 20 latents, with the same weights everywhere.

    make bench-peers
    .venv/bin/python benchmarks/peers/encoding.py --rounds 3 --only caescope --only "ONNX Runtime"

Every encoder lives in a process of its own and answers in turn; throughputs are medians over the rounds.
Latents must agree with caescope's within 1e-4, or the benchmark ends.
"""

import statistics
import sys
from pathlib import Path

import numpy as np
from common import OURS, make_parser, mnist_file, workers, write_figures
from encoders import ENCODERS
from rich.console import Console
from rich.table import Table

from caescope import CAE

BATCHES = (128, 512, 2048)  # beside the default
TOLERANCE = 1e-4


def make_model(data: Path) -> Path:
    """Train for one epoch and return the model folder."""
    folder = data.parent / "model"
    with np.load(data) as arrays:
        train = arrays["train"]
    cae = CAE((28, 28, 1), 20, [8, 16], path=str(folder), seed=0)
    cae.model.fit(train, verbose=0)
    cae.save()
    return folder


def measure(names: list[str], peers: str, data: Path, rounds: int) -> dict:
    """Return each encoder's median images a second for each batch, its memory and its distance from ours."""
    speeds, results = {name: {} for name in names}, {name: {} for name in names}
    files = {name: data.parent / f"latents{i}.npy" for i, name in enumerate(names)}
    with workers(names, peers, data, make_model(data)) as started:
        for turn in range(rounds + 1):
            for name, worker in started.items():
                for batch in {ENCODERS[name][0].default_batch: 0} | dict.fromkeys(BATCHES):
                    answer = worker.ask("encode", batch=batch, file=str(files[name]))
                    if turn:  # the first turn compiles
                        speeds[name].setdefault(batch or "all", []).append(answer["images_per_second"])
                    results[name]["peak_mib"] = answer["peak_mib"]
            print(f"encoding: round {turn} of {rounds}", file=sys.stderr)
    for name, result in results.items():
        result["images_per_second"] = {batch: statistics.median(of) for batch, of in speeds[name].items()}
        result["difference"] = float(np.abs(np.load(files[name]) - np.load(files[OURS])).max())
    return results


def show(results: dict) -> None:
    """Print one table; every speed also says how many times faster (or slower) caescope is."""
    table = Table(
        "encoding", "images/s, default batch", "images/s, best batch", "largest difference", "peak MiB"
    )
    ours = results[OURS]["images_per_second"]
    defaults = {name: ENCODERS[name][0].default_batch or "all" for name in results}
    for name, result in results.items():
        speeds, default = result["images_per_second"], defaults[name]
        best = max(speeds, key=speeds.get)
        table.add_row(
            name,
            f"{speeds[default]:,.0f} ({default}) · {ours[defaults[OURS]] / speeds[default]:.2f}×",
            f"{speeds[best]:,.0f} ({best}) · {max(ours.values()) / speeds[best]:.2f}×",
            f"{result['difference']:.1e}",
            f"{result['peak_mib']:,.0f}",
        )
    Console(width=140).print(table)


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument(
        "--only", action="append", choices=list(ENCODERS), help="an encoder beside caescope; repeat for more"
    )
    arguments = parser.parse_args()
    names = [name for name in ENCODERS if name == OURS or name in (arguments.only or ENCODERS)]
    with mnist_file(arguments.source) as data:
        results = measure(names, arguments.peers, data, arguments.rounds)
    show(results)
    write_figures(arguments.json, "encoding", {"results": results})
    apart = [name for name, result in results.items() if result["difference"] > TOLERANCE]
    if apart:
        raise SystemExit(f"Latents must agree within {TOLERANCE}; these do not: {', '.join(apart)}.")


if __name__ == "__main__":
    main()
