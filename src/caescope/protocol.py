"""Which images each figure was fitted on, which it was measured on, and with what K and seed."""

from collections.abc import Mapping
from typing import Any

from caescope.analysis.subject import Subject
from caescope.data.sources import SPLITS
from caescope.run_options import RunOptions

MAP_NAMES = {"tsne": "t-SNE", "pca": "PCA", "umap": "UMAP", "pacmap": "PaCMAP"}
METHOD_NAMES = {"kmeans": "KMeans", "mixture": "a Gaussian mixture", "hdbscan": "HDBSCAN"}
PROBES = ("logistic_ovr", "logistic_multinomial", "knn")

# Measured on images that nothing was fitted on, or on those that it was fitted on
INDUCTIVE, TRANSDUCTIVE = "inductive", "transductive"


def describe_protocol(
    subject: Subject,
    options: RunOptions,
    metrics: Mapping[str, Any],
    sample: Mapping[str, int] | None = None,
) -> dict[str, dict[str, Any]]:
    """Return, for every figure that ``metrics`` holds, how it was measured.

    Each has ``fitted_on`` and ``measured_on`` in words, ``kind`` ("inductive": measured on images that
    nothing was fitted on; "transductive": on those that it was fitted on), ``seed``, ``k`` where it has
    one, and ``sample`` where the images are a sample: of ``sample["of"]`` images ``sample["images"]``.
    """
    parts = {name: f"{int((subject.split == name).sum()):,} {name} images" for name in SPLITS}
    every = f"all {len(subject.split):,} images"
    protocol = {
        **_of_images(parts, every, options),
        **_of_probes(subject, options),
        **_of_maps(parts["train"], options),
        **_of_clusters(parts["train"], options, metrics),
        **_of_groups(parts["train"], options, metrics.get("slides", {})),
    }
    drawn = (
        {"sample": f"a random sample of {sample['images']:,} of {sample['of']:,} images"} if sample else {}
    )
    return {name: facts | drawn for name, facts in protocol.items() if _holds(metrics, name)}


def _of_images(parts: Mapping[str, str], every: str, options: RunOptions) -> dict[str, dict[str, Any]]:
    apart = (
        f"{parts['train']} (transductive), {parts['validation']} and {parts['test']} (inductive), each apart"
    )
    common = {"fitted_on": parts["train"], "kind": INDUCTIVE, "seed": options.seed}
    return {
        "reconstruction": common | {"measured_on": apart},
        "pca_floor": common | {"measured_on": apart},
        "latents": common | {"measured_on": every, "kind": TRANSDUCTIVE},
    }


def _of_probes(subject: Subject, options: RunOptions) -> dict[str, dict[str, Any]]:
    if subject.labels is None:
        return {}
    train, test = (f"{int(subject.labelled(name).sum()):,} {name} images" for name in ("train", "test"))
    if subject.probe_split is not None:
        train, test = (f"{name} of a split of the probes' own" for name in (train, test))
    facts = {
        "fitted_on": f"{train} and their labels",
        "measured_on": test,
        "kind": INDUCTIVE,
        "seed": options.seed,
    }
    return {f"probe.{name}": dict(facts) for name in PROBES} | {"probe.baselines": dict(facts)}


def _of_maps(train: str, options: RunOptions) -> dict[str, dict[str, Any]]:
    common = {"measured_on": train, "kind": TRANSDUCTIVE, "seed": options.seed}
    placed = f"{train}; the others are placed by {MAP_NAMES[options.map]}"
    return {
        "projection.pca": common | {"fitted_on": train},
        "projection.map": common | {"fitted_on": placed},
    }


def _of_clusters(train: str, options: RunOptions, metrics: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    method, space = METHOD_NAMES[options.cluster_method], f"the {MAP_NAMES[options.map]} map of {train}"
    common = {"measured_on": train, "kind": TRANSDUCTIVE, "seed": options.seed}
    k = metrics.get("clusters", {}).get("k")
    labels = metrics.get("matched", {}).get("k")
    return {
        "clusters": common
        | {"fitted_on": f"{space} by {method}, without labels; the others go to the nearest", "k": k},
        "clusterings": common | {"fitted_on": f"{space}, and the latents of the same", "k": k},
        "matched": common
        | {"fitted_on": f"{space}, and the latents of the same, by KMeans; matched there", "k": labels},
        "refinement": common
        | {
            "fitted_on": f"the latents of {train} by KMeans, before and after; at most 20,000 of them",
            "k": metrics.get("refinement", {}).get("k"),
        },
        "stability": common | {"fitted_on": f"{space} by {method}, and resamples of it", "k": k},
        "confounders": common
        | {
            "fitted_on": f"{train}, four fifths in turn",
            "measured_on": "the fifth left out",
            "kind": INDUCTIVE,
        },
    }


def _of_groups(train: str, options: RunOptions, found: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return how slides or patients were judged as wholes, where they were: their labels alone are unseen."""
    if "latents" not in found:
        return {}
    group, n, folds = found["group"], found["groups"], found["folds"]
    others = f"all of {n:,} {group}s but one" if n == folds else f"nine tenths of {n:,} {group}s"
    facts = {
        "fitted_on": f"{others} and their labels; latents and clusters on {train}, without labels",
        "measured_on": f"the {group}s left out: inductive for their labels; transductive for the latents and "
        "clusters, which were fitted on train images of them, too",
        "kind": INDUCTIVE,
        "seed": options.seed,
    }
    return {"slides": facts}


def _holds(metrics: Mapping[str, Any], name: str) -> bool:
    for part in name.split("."):
        if part not in metrics:
            return False
        metrics = metrics[part]
    return True
