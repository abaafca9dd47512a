"""What this machine offers."""

import importlib.metadata
import importlib.util
import os
import platform
import sys

import torch

from caescope.data.named import default_cache
from caescope.scale.describing import describe_cluster

CORE = (
    "caescope",
    "torch",
    "numpy",
    "scikit-learn",
    "openTSNE",
    "pyarrow",
    "h5py",
    "matplotlib",
    "tensorboard",
)
EXTRAS = {
    "anndata": "anndata",
    "explorer": "starlette",
    "pacmap": "pacmap",
    "ray": "ray",
    "slides": "openslide",
    "umap": "umap",
}


def examine(address: str | None = None) -> dict[str, str]:
    """Return facts by name, each a short text; ``address`` is of the cluster that workers would be on."""
    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none that PyTorch can use"
    facts = {
        "python": f"{platform.python_version()} ({sys.executable})",
        "system": platform.platform(),
        "processors": f"{os.cpu_count()}, PyTorch uses {torch.get_num_threads()}",
        "gpu": gpu,
        "cache": str(default_cache()),
    }
    facts |= {name: importlib.metadata.version(name) for name in CORE}
    for extra, module in EXTRAS.items():
        installed = importlib.util.find_spec(module) is not None
        facts[f"extra {extra}"] = "installed" if installed else f'missing: pip install "caescope[{extra}]"'
    return facts | {"cluster": describe_cluster(address)}
