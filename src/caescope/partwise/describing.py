"""What the figures of everything were fitted on, and what was counted on all images."""

from collections.abc import Mapping
from typing import Any

from caescope.protocol import INDUCTIVE, MAP_NAMES, METHOD_NAMES, TRANSDUCTIVE
from caescope.run_options import RunOptions


def describe_everything(
    found: Mapping[str, Any], n_train: int, options: RunOptions
) -> dict[str, dict[str, Any]]:
    """Return, for every figure of everything, what was fitted on the sample and what was counted on all.

    Parameters
    ----------
    found : mapping
        As `caescope.partwise.judging.judge_totals` returns it.
    n_train : int
        How many train images the sample has.
    options : RunOptions
    """
    train = f"{n_train:,} train images of the sample"
    every = f"all {found['images']:,} images"
    common = {"measured_on": every, "kind": TRANSDUCTIVE, "seed": options.seed}
    protocol = {
        "latents": common | {"fitted_on": "nothing"},
        "projection": common | {"fitted_on": every},
        "reconstruction": common | {"fitted_on": "whatever the model was trained on, by split"},
        **_of_clusters(found, train, every, options),
        **_of_probe(found, train, options),
    }
    return {name: facts for name, facts in protocol.items() if name in found}


def _of_clusters(
    found: Mapping[str, Any], train: str, every: str, options: RunOptions
) -> dict[str, dict[str, Any]]:
    space, method = f"the {MAP_NAMES[options.map]} map of {train}", METHOD_NAMES[options.cluster_method]
    others = "all others are placed and assigned"
    beside = (
        "; for clusters.latents the latents of the same, by KMeans" if "latents" in found["clusters"] else ""
    )
    common = {
        "measured_on": f"{every}, those fitted on among them",
        "kind": TRANSDUCTIVE,
        "seed": options.seed,
    }
    return {
        "clusters": common
        | {
            "fitted_on": f"{space} by {method}{beside}, without labels; {others}",
            "k": found["clusters"]["k"],
        },
        "matched": common
        | {
            "fitted_on": f"{space}, and the latents of the same, by KMeans; {others}; matched on all",
            "k": found.get("matched", {}).get("k"),
        },
    }


def _of_probe(found: Mapping[str, Any], train: str, options: RunOptions) -> dict[str, dict[str, Any]]:
    if "probe" not in found:
        return {}
    facts = {
        "fitted_on": f"the labelled of {train}",
        "measured_on": f"all {found['probe']['logistic_ovr']['images']:,} labelled test images",
        "kind": INDUCTIVE,
        "seed": options.seed,
    }
    return {"probe": facts}
