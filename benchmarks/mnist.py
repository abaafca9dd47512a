"""The tutorial's figures on MNIST: filters 8-16, 20 latents, 5 epochs, for several seeds.

    python benchmarks/mnist.py path/to/mnist.pkl.gz --seeds 0,1,2

prints one row for each figure, and writes them as JSON with --json FILE.
"""

import argparse
import json
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from caescope.cli.output import find
from caescope.pipeline import run

DEFAULT = Path(__file__).resolve().parents[2] / "shared" / "data" / "mnist" / "mnist.pkl.gz"

# name: (where it is in metrics.json, the reference notebook's figure, what is to be reached)
FIGURES = {
    "test MSE": ("reconstruction.test.mse", "0.01151", "at most 0.0100"),
    "train MSE": ("reconstruction.train.mse", "", ""),
    "train and test MSE apart": ("apart", "2.4 %", "at most 5 %"),
    "constant latents": ("latents.dead", "6 of 20", "0"),
    "one-versus-rest logistic regression, test": ("probe.logistic_ovr.test", "0.90", "at least 0.905"),
    "KMeans K=20 on the t-SNE map, mean Gini": ("clusters.gini_mean", "", "at most 0.12"),
    "purity of those clusters": ("clusters.purity", "", ""),
    "matched accuracy, K=10 on the map": ("matched.accuracy", "", ""),
    "seconds: train": ("seconds.train", "", ""),
    "seconds: map": ("seconds.map", "", ""),
    "seconds: total": ("seconds.total", "", ""),
}


def measure(source: Path, seed: int, device: str = "auto") -> dict[str, float]:
    """Run the whole job once and return the figures."""
    with tempfile.TemporaryDirectory() as folder:
        options = {"epochs": 5, "filters": (8, 16), "latent_features": 20, "seed": seed, "device": device}
        metrics = run(source, Path(folder) / "run", **options).metrics
    train, test = (metrics["reconstruction"][name]["mse"] for name in ("train", "test"))
    metrics["apart"] = abs(test - train) / train
    return {name: find(metrics, key) for name, (key, *_) in FIGURES.items()}


def show(results: dict[int, dict[str, float]]) -> None:
    table = Table("figure", "reference", "to reach", *(f"seed {seed}" for seed in results))
    for name, (_, reference, bound) in FIGURES.items():
        values = (result[name] for result in results.values())
        table.add_row(name, reference, bound, *(f"{value:.5g}" for value in values))
    Console(width=130).print(table)


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("source", nargs="?", type=Path, default=DEFAULT, help="the MNIST pickle")
    parser.add_argument("--seeds", default="0,1,2", help="seeds, separated by commas")
    parser.add_argument("--json", type=Path, help="file for the figures")
    arguments = parser.parse_args()
    results = {int(seed): measure(arguments.source, int(seed)) for seed in arguments.seeds.split(",")}
    show(results)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
