"""What the tables of the report show, gathered from metrics.json and the figures."""

import re
from collections.abc import Mapping
from typing import Any

from caescope.report.formatting import in_order, visible
from caescope.report.reading import Figure

PROBES = ("logistic_ovr", "logistic_multinomial", "knn")
BASELINES = {"pca": "plain PCA of the pixels", "histogram": "brightness and colour alone"}
AVERAGES = ("micro avg", "macro avg", "weighted avg")  # rows of a classification report that are no class


def chance_of(metrics: Mapping) -> dict[str, float]:
    """Return what knowing nothing gives on the test images.

    ``accuracy`` of always guessing the commonest label, ``balanced`` accuracy of any guess, and ``gini`` of
    all test images together; nothing where there is no confusion matrix to count labels in.

    >>> chance_of({"probe": {"logistic_ovr": {"confusion": [[6, 0], [1, 1]]}}})
    {'accuracy': 0.75, 'balanced': 0.5, 'gini': 0.375}
    """
    probes = (metrics.get("probe", {}).get(name, {}) for name in PROBES)
    confusion = next((probe["confusion"] for probe in probes if "confusion" in probe), [])
    counts = [count for row in confusion if (count := sum(row)) > 0]
    shares = [count / sum(counts) for count in counts]
    if not shares:
        return {}
    return {
        "accuracy": max(shares),
        "balanced": 1 / len(shares),
        "gini": 1 - sum(share**2 for share in shares),
    }


def best_probe(probes: Mapping) -> Mapping | None:
    """Return the scores of the probe with the highest accuracy on test images, or None where none was tested.

    >>> best_probe({"knn": {"test": 0.9}, "logistic_ovr": {"test": 0.8}})
    {'test': 0.9}
    """
    tested = [probes[name] for name in PROBES if "test" in probes.get(name, {})]
    return max(tested, key=lambda probe: probe["test"], default=None)


def probe_rows(metrics: Mapping) -> list[tuple[str, list[tuple[str, Any, Mapping]]]]:
    """Return for each probe what it reads from, latents first: name, number of variables, and scores."""
    probe = metrics.get("probe", {})
    sets = {
        "latents": {"features": metrics.get("latents", {}).get("features"), **probe},
        **probe.get("baselines", {}),
    }
    rows = {
        name: [(kind, found.get("features"), found[name]) for kind, found in sets.items() if found.get(name)]
        for name in PROBES
    }
    return [(name, found) for name, found in rows.items() if found]


def cluster_rows(
    metrics: Mapping, figures: Mapping[str, Figure], called: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Return one row for each cluster: its number, how somebody called it, and whatever is known of it."""
    found, stability = metrics.get("clusters", {}), metrics.get("stability", {})
    total = sum(found.get("sizes", {}).values())
    known = {
        "size": found.get("sizes", {}),
        "share": {name: size / total for name, size in found.get("sizes", {}).items() if total},
        "gini": found.get("gini", {}),
        "entropy": found.get("entropy", {}),
        "purity": found.get("purities", {}),
        "on_map": found.get("silhouettes", {}).get("map", {}),
        "in_latents": found.get("silhouettes", {}).get("latents", {}),
        "cohesion": found.get("cohesion", {}),
        "jaccard": stability.get("jaccard", {}),
        "halves": stability.get("halves", {}),
        "models": stability.get("models", {}).get("jaccard", {}),
        "medoid": found.get("medoids", {}),
        "sheet": _sheets(figures),
        "invented": {str(name): True for name in found.get("invented", [])},
        "unstable": {str(name): True for name in stability.get("unstable", [])},
        "called": {name: visible(text) for name, text in called.items()},
    }
    names = in_order({name: None for values in known.values() for name in values})
    return [
        {"name": name, **{key: values[name] for key, values in known.items() if name in values}}
        for name in names
    ]


def column_maps(metrics: Mapping, figures: Mapping[str, Figure]) -> dict[str, str]:
    """Return the columns that have a map of their own: figure by column."""
    columns = metrics.get("confounders", {}).get("columns", {})
    return {name: f"map_column_{i}" for i, name in enumerate(columns) if f"map_column_{i}" in figures}


def overlays(figures: Mapping[str, Figure], options: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the figures on slides, those of one slide beside each other: name, and what colours it."""
    names = options.get("overlay") or ()
    numbers = {name: re.fullmatch(r"overlay_\d+_(\d+)", name, re.ASCII) for name in sorted(figures)}
    return [
        (name, visible(str(names[k])))
        for name, match in numbers.items()
        if match and (k := int(match[1])) < len(names)
    ]


def _sheets(figures: Mapping[str, Figure]) -> dict[str, Figure]:
    numbers = {name: re.fullmatch(r"cluster_(\d+)", name, re.ASCII) for name in figures}
    return {match[1].lstrip("0") or "0": figures[name] for name, match in numbers.items() if match}
