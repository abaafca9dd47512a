"""Which images each figure was fitted on, and which it was measured on."""

from collections.abc import Mapping
from typing import Any

from caescope.data.sources import SPLITS
from caescope.run_options import RunOptions

MAP_NAMES = {"tsne": "t-SNE", "pca": "PCA", "umap": "UMAP"}


def describe_protocol(
    n_images: Mapping[str, int], options: RunOptions, metrics: Mapping[str, Any]
) -> dict[str, dict[str, str]]:
    """Return, for every figure that ``metrics`` holds, ``fitted_on`` and ``measured_on``."""
    train, validation, test = (f"{n_images[name]:,} {name} images" for name in SPLITS)
    every = f"all {sum(n_images.values()):,} images"
    k, method = options.clusters, MAP_NAMES[options.map]
    protocol = {
        "reconstruction": {"fitted_on": train, "measured_on": f"{train}, {validation}, {test}, each apart"},
        "latents": {"fitted_on": train, "measured_on": every},
        "probe.logistic_ovr": {"fitted_on": f"{train} and their labels", "measured_on": f"{train}, {test}"},
        "probe.knn": {"fitted_on": f"{train} and their labels", "measured_on": f"{train}, {test}"},
        "projection.pca": {"fitted_on": train, "measured_on": train},
        "projection.map": {"fitted_on": f"{train}; the others are placed by {method}", "measured_on": every},
        "clusters": {
            "fitted_on": f"the {method} map of {train}, K={k}, without labels; the others go to the nearest",
            "measured_on": train,
        },
        "matched": {
            "fitted_on": f"the {method} map of {train}, K = number of labels; clusters matched there",
            "measured_on": train,
        },
    }
    return {name: facts for name, facts in protocol.items() if _holds(metrics, name)}


def _holds(metrics: Mapping[str, Any], name: str) -> bool:
    for part in name.split("."):
        if part not in metrics:
            return False
        metrics = metrics[part]
    return True
