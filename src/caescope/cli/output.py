"""What commands print on standard output."""

import json
import sys
from pathlib import Path
from typing import Any

import click

FIGURES = (
    ("test MSE", "reconstruction.test.mse", ".5f"),
    ("train MSE", "reconstruction.train.mse", ".5f"),
    ("test MSE of PCA with as many components", "pca_floor.test.mse", ".5f"),
    ("test PSNR, dB", "reconstruction.test.psnr", ".2f"),
    ("test SSIM", "reconstruction.test.ssim", ".3f"),
    ("dead latents", "latents.dead", "d"),
    ("logistic regression, test accuracy", "probe.logistic_ovr.test", ".3f"),
    ("multinomial logistic regression, test accuracy", "probe.logistic_multinomial.test", ".3f"),
    ("5 nearest neighbours, test accuracy", "probe.knn.test", ".3f"),
    ("trustworthiness of the map", "projection.map.trustworthiness", ".3f"),
    ("clusters", "clusters.k", "d"),
    ("mean Gini impurity of the clusters", "clusters.gini_mean", ".3f"),
    ("purity of the clusters", "clusters.purity", ".3f"),
    ("matched accuracy, K = number of labels", "matched.accuracy", ".3f"),
    ("NMI, K = number of labels", "matched.nmi", ".3f"),
    ("ARI, K = number of labels", "matched.ari", ".3f"),
    ("mean ARI of clusterings with other seeds", "stability.ari_mean", ".3f"),
    ("seconds in all", "seconds.total", ".1f"),
)


def print_run(run, as_json: bool) -> None:
    """Print a run's figures, what they mean, and its report's path."""
    from caescope.report.summary import summarise

    summary = summarise(run.metrics, run.facts)
    if as_json:
        paths = {"run": str(run.path), "report": str(run.report)}
        print_json({**paths, "summary": summary, "metrics": run.metrics})
        return
    from rich.table import Table

    from caescope.progress import plain_console

    table = Table(show_header=False)
    table.add_column("figure")
    table.add_column("value", justify="right")
    for name, key, form in FIGURES:
        value = find(run.metrics, key)
        if value is not None:
            table.add_row(name, format(value, form))
    plain_console(sys.stdout).print(table)
    for sentence in summary:
        click.echo(sentence)
    click.echo(f"report: {run.report}")


def print_paths(paths: dict[str, Path], as_json: bool) -> None:
    """Print what was written: one line for each, or one JSON object."""
    if as_json:
        print_json({name: str(path) for name, path in paths.items()})
        return
    for name, path in paths.items():
        click.echo(f"{name}: {path}")


def print_json(content: Any) -> None:
    """Print one JSON document."""
    click.echo(json.dumps(content, indent=2))


def find(metrics: Any, key: str) -> Any:
    """Return the value under a dotted key, or None.

    >>> find({"a": {"b": 1}}, "a.b"), find({}, "a.b")
    (1, None)
    """
    for part in key.split("."):
        metrics = metrics.get(part) if isinstance(metrics, dict) else None
    return metrics
