"""How much latents know that nobody labelled: figures of `caescope run --recipe best`, over several seeds.

    python benchmarks/quality.py                                     # MNIST
    python benchmarks/quality.py ../shared/data/lc25000 --set resize=64
    python benchmarks/quality.py --set objective=reconstruction --set refine=none

prints the mean, the deviation and the worst of each figure over the seeds, and writes them with --json FILE.
Labels are looked at when all is done, to measure; K of the matched figures is how many there are.
"""

import argparse
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from rich.console import Console
from rich.table import Table

from caescope import metrics
from caescope.analysis.clustering import kmeans
from caescope.analysis.latents import flatten_latents
from caescope.cli.output import find
from caescope.pipeline import run
from caescope.run_folder import Run
from caescope.table import read_latents

DEFAULT = Path(__file__).resolve().parents[2] / "shared" / "data" / "mnist" / "mnist.pkl.gz"

# Where in metrics.json, and whether more is better
WRITTEN = {
    "test MSE": ("reconstruction.test.mse", False),
    "PCA of as many components, test MSE": ("pca_floor.test.mse", False),
    "one versus rest, test": ("probe.logistic_ovr.test", True),
    "one versus rest of PCA": ("probe.baselines.pca.logistic_ovr.test", True),
    "one versus rest of the histogram": ("probe.baselines.histogram.logistic_ovr.test", True),
    "5 nearest neighbours, test": ("probe.knn.test", True),
    "K=20 on the map, mean Gini": ("clusters.gini_mean", False),
    "constant latents": ("latents.dead", False),
    "before refinement: K on the latents, accuracy": ("refinement.before.matched.accuracy", True),
    "after it": ("refinement.after.matched.accuracy", True),
    "clusters that refinement found": ("refinement.k", True),
    "seconds: train": ("seconds.train", False),
    "seconds: refine": ("seconds.refine", False),
    "seconds: map": ("seconds.map", False),
}


def measure(source: Any, seed: int, options: Mapping[str, Any]) -> dict[str, float]:
    """Run the whole job once and return its figures; what a job has not is left out."""
    with tempfile.TemporaryDirectory() as folder:
        given = {"recipe": "best", "clusters": 20, "stability": 0} | dict(options)
        result = run(source, Path(folder) / "run", seed=seed, **given)
        figures = {name: find(result.metrics, key) for name, (key, _) in WRITTEN.items()}
        figures |= match(result, seed)
    figures = {name: float(value) for name, value in figures.items() if value is not None}
    parts = [value for name, value in figures.items() if name.startswith("seconds: ")]
    return figures | {"seconds: train, refine and map": sum(parts)}


def match(result: Run, seed: int) -> dict[str, float]:
    """Return how as many clusters as labels match them, fitted on all images or on the train images alone."""
    table = read_latents(result.path / "latents.parquet")
    if table.labels is None or table.map is None:
        return {}
    known = ~np.ma.getmaskarray(table.labels)
    labels, split = np.asarray(table.labels)[known], np.asarray(table.split)[known]
    k, figures = len(np.unique(labels)), {}
    for name, points in {"map": table.map, "latents": flatten_latents(table.latents)}.items():
        whole = kmeans(points[known], k, seed).labels
        figures[f"K={k} on the {name}, all images: accuracy"] = metrics.matched_accuracy(whole, labels)
        figures[f"K={k} on the {name}, all images: NMI"] = metrics.nmi(whole, labels)
        figures[f"K={k} on the {name}, all images: ARI"] = metrics.ari(whole, labels)
        part = kmeans(points[known][split == "train"], k, seed)
        assigned = part.predict(points[known][split == "test"])
        figures[f"K={k} on the {name}, train images: accuracy on test"] = metrics.matched_accuracy(
            assigned, labels[split == "test"]
        )
    return figures


def show(results: Mapping[int, Mapping[str, float]]) -> None:
    table = Table("figure", "mean", "± deviation", "worst", *(f"seed {seed}" for seed in results))
    for name in next(iter(results.values())):
        values = [result[name] for result in results.values()]
        more_is_better = WRITTEN.get(name, ("", not name.startswith("seconds")))[1]
        worst = min(values) if more_is_better else max(values)
        numbers = (float(np.mean(values)), float(np.std(values)), worst, *values)
        table.add_row(name, *(f"{number:.4g}" for number in numbers))
    Console(width=160).print(table)


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("source", nargs="?", default=DEFAULT, help="as for caescope run; MNIST by default")
    parser.add_argument("--seeds", default="0,1,2,3,4", help="seeds, separated by commas")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="an option of the run"
    )
    parser.add_argument("--json", type=Path, help="file for the figures")
    arguments = parser.parse_args()
    options = {name: yaml.safe_load(value) for name, value in (each.split("=", 1) for each in arguments.set)}
    options = {name: None if value == "none" else value for name, value in options.items()}
    results = {}
    for seed in map(int, arguments.seeds.split(",")):
        results[seed] = measure(arguments.source, seed, options)
        show(results)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
