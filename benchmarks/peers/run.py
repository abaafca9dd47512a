"""Training beside the peers: throughput, time to quality and memory of the tutorial's model on MNIST.

    make bench-peers
    .venv/bin/python benchmarks/peers/run.py --rounds 1 --only caescope --only "plain PyTorch"

Every contender lives in a process of its own and answers in turn, so that a noisy machine is noisy to all;
throughputs are medians over the rounds. Peers run with the Python of --peers, caescope with this one.
"""

import statistics
import sys
from pathlib import Path

from common import OURS, make_parser, mnist_file, workers, write_figures
from contenders import CONTENDERS
from rich.console import Console
from rich.table import Table

BATCHES = (128, 512, 1024)  # beside the default


def measure_throughput(data: Path, names: list[str], peers: str, rounds: int) -> dict:
    """Return every contender's median images a second for each batch, and its peak memory."""
    results = {name: {"images_per_second": {}, "peak_mib": 0.0} for name in names}
    with workers(names, peers, data) as started:
        for turn in range(rounds + 1):
            for name, worker in started.items():
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
    with workers([name], peers, data) as started:
        answer = started[name].ask("quality", target=target, limit=limit)
    print(f"quality: {name} {answer}", file=sys.stderr)
    return answer


def show(results: dict, target: float) -> None:
    """Print one table; every cell also says how many times better (or worse) caescope is."""
    table = Table(
        "training", "images/s, default batch", "images/s, best batch", f"s to test MSE {target}", "peak MiB"
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
    parser = make_parser(__doc__)
    parser.add_argument("--target", type=float, default=0.0115, help="test MSE")
    parser.add_argument("--limit", type=float, default=600, help="seconds after which a contender is stopped")
    parser.add_argument(
        "--only",
        action="append",
        choices=list(CONTENDERS),
        help="a contender beside caescope; repeat for more",
    )
    arguments = parser.parse_args()
    names = [name for name in CONTENDERS if name == OURS or name in (arguments.only or CONTENDERS)]
    with mnist_file(arguments.source) as data:
        results = measure_throughput(data, names, arguments.peers, arguments.rounds)
        for name in names:
            quality = measure_quality(name, data, arguments.peers, arguments.target, arguments.limit)
            results[name]["quality"] = quality
    show(results, arguments.target)
    write_figures(arguments.json, "training", {"target": arguments.target, "results": results})


if __name__ == "__main__":
    main()
