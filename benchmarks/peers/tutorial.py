"""The whole tutorial, from digits to clusters, with caescope and with Keras and scikit-learn.

    make bench-peers
    .venv/bin/python benchmarks/peers/tutorial.py --only caescope

Each runs in a fresh process, so that imports count, and in turn, so that a noisy machine is noisy to both;
figures are medians over the rounds. What came out is judged here, by the same code.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from common import HERE, OURS, make_parser, python_of, write_figures
from rich.console import Console
from rich.table import Table
from sklearn.manifold import trustworthiness

from caescope import metrics

SCRIPTS = {OURS: "tutorial_caescope.py", "Keras and scikit-learn": "tutorial_keras.py"}
N_JUDGED = 5000  # images; trustworthiness takes memory by their square
NEIGHBOURS = 15


def run(name: str, source: Path, peers: str) -> dict:
    """Run one tutorial; return its seconds by step and its quality."""
    print(name, file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        command = [python_of(name, peers), str(HERE / SCRIPTS[name]), str(source), folder]
        subprocess.run(command, check=True, env=os.environ | {"CUDA_VISIBLE_DEVICES": ""})
        report = json.loads((Path(folder) / "report.json").read_text())
        with np.load(Path(folder) / "arrays.npz") as arrays:
            quality = judge(**arrays)
    names = {"mse": "test MSE", "accuracy": "accuracy, validation"}
    quality = {label: report[key] for key, label in names.items()} | quality
    return {"seconds": report["seconds"], "quality": quality}


def judge(latents: np.ndarray, points: np.ndarray, clusters: np.ndarray, labels: np.ndarray) -> dict:
    """Return how well the map keeps the latents' neighbours and how mixed its clusters are."""
    rows = np.random.default_rng(0).permutation(len(latents))[:N_JUDGED]
    ginis = metrics.cluster_gini(clusters, labels).values()
    return {
        "latents that are constant": int((np.ptp(latents, axis=0) == 0).sum()),
        "trustworthiness": trustworthiness(latents[rows], points[rows], n_neighbors=NEIGHBOURS),
        "mean Gini impurity": sum(ginis) / len(ginis),
    }


def median_of(runs: list[dict]) -> dict:
    """Return the median of each figure over several runs."""
    return {
        section: {label: statistics.median(run[section][label] for run in runs) for label in figures}
        for section, figures in runs[0].items()
    }


def show(results: dict) -> None:
    """Print one table: seconds of each step and their ratio to caescope's, then the quality."""
    table = Table("the whole tutorial", *results)

    def add(label: str, seconds: dict) -> None:
        ours = seconds[OURS]
        table.add_row(label, *(f"{of:.2f} s · {of / ours:.1f}×" for of in seconds.values()))

    for label in results[OURS]["seconds"]:
        add(label, {name: result["seconds"][label] for name, result in results.items()})
    table.add_section()
    add("all", {name: sum(result["seconds"].values()) for name, result in results.items()})
    table.add_section()
    for label in results[OURS]["quality"]:
        table.add_row(label, *(f"{result['quality'][label]:.4g}" for result in results.values()))
    Console(width=140).print(table)


def main() -> None:
    parser = make_parser(__doc__, rounds=3)
    parser.add_argument("--only", choices=[OURS], help="leave the peer out")
    arguments = parser.parse_args()
    names = [arguments.only] if arguments.only else list(SCRIPTS)
    rounds = [
        {name: run(name, arguments.source, arguments.peers) for name in names}
        for _ in range(arguments.rounds)
    ]
    results = {name: median_of([turn[name] for turn in rounds]) for name in names}
    show(results)
    write_figures(arguments.json, "tutorial", {"results": results})


if __name__ == "__main__":
    main()
