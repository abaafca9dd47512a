"""What the report takes from a run folder, checked once: metrics.json, run.yaml and the figures."""

import json
import math
from base64 import b64encode
from datetime import date
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from PIL import Image

from caescope.errors import FileFormatError
from caescope.files import decoding, printable, read_bytes
from caescope.report.formatting import shown, visible
from caescope.table import LatentTable, read_latents

MOST_BYTES = {".json": 64 * 2**20, ".yaml": 2**20, ".png": 32 * 2**20}
SPLITS = ("train", "validation", "test")
CSS_DPI = 96  # pixels of CSS in an inch, whatever the screen

# What the report reads: {"key": form}, {str: form of any other key}, [form of every item], (one form for each
# item,), or a type. What is not named is passed over, and everything may be absent.
NUMBER, SCALAR = int | float, str | int | float
PAIR = (NUMBER, NUMBER)
EACH = {str: NUMBER}
SCORE = {
    "train": NUMBER,
    "test": NUMBER,
    "balanced": NUMBER,
    "neighbours": NUMBER,
    "interval": {str: PAIR},
}
LOGISTIC = {
    **SCORE,
    "converged": bool,
    "confusion": [[NUMBER]],
    "report": {"accuracy": object, str: EACH},
}
WHOLE = dict.fromkeys(("accuracy", "balanced"), NUMBER) | {"interval": {str: PAIR}}
KEPT = {"trustworthiness": NUMBER, "preservation": NUMBER, "neighbours": NUMBER, "fitted": NUMBER}
RERUNS = {"ari_mean": NUMBER, "ari_least": NUMBER, "jaccard": EACH}
GATHERED = {"silhouette": NUMBER, "matched": EACH}
MEANS = dict.fromkeys(("gini_mean", "entropy_mean", "purity"), NUMBER)
EVERYTHING = {
    "images": NUMBER,
    "splits": EACH,
    "latents": {"features": NUMBER, "dead": NUMBER},
    "projection": {"pca": {"explained_variance_ratio": [NUMBER]}},
    "reconstruction": {str: {"mse": NUMBER}},
    "clusters": {"k": NUMBER, "none": NUMBER, "sizes": EACH, "gini": EACH, "latents": MEANS, **MEANS},
    "matched": {"latents": EACH, str: NUMBER},
    "labels": {"classes": NUMBER, "missing": NUMBER},
    "probe": {"logistic_ovr": {**SCORE, "images": NUMBER}},
    "protocol": {str: {str: object}},
}
METRICS = {
    "reconstruction": {str: {"mse": NUMBER, "psnr": NUMBER, "ssim": NUMBER, "interval": {str: PAIR}}},
    "pca_floor": {"components": NUMBER, **{name: {"mse": NUMBER} for name in SPLITS}},
    "latents": {
        "features": NUMBER,
        "dead": NUMBER,
        "duplicates": [PAIR],
        "effective_rank": NUMBER,
        "spectrum": [NUMBER],
        "strongest_correlation": NUMBER,
    },
    "refinement": {
        "k": NUMBER,
        "chosen": bool,
        "epochs": NUMBER,
        "agreement": NUMBER,
        "before": GATHERED,
        "after": GATHERED,
        "silhouette_curve": {str: [NUMBER]},
    },
    "labels": {"name": SCALAR, "classes": NUMBER, "missing": NUMBER},
    "probe": {
        "split": {"kind": str, "group": SCALAR, "groups": EACH, "leaking": NUMBER},
        "logistic_ovr": LOGISTIC,
        "logistic_multinomial": LOGISTIC,
        "knn": SCORE,
        "baselines": {
            str: {"features": NUMBER, "logistic_ovr": SCORE, "logistic_multinomial": SCORE, "knn": SCORE}
        },
    },
    "projection": {
        "pca": {"explained_variance_ratio": [NUMBER], **KEPT},
        "map": {"method": str, "perplexity": NUMBER, **KEPT},
    },
    "clusters": {
        "method": str,
        "on": str,
        "k": NUMBER,
        "chosen": bool,
        "sizes": EACH,
        "gini": EACH,
        "entropy": EACH,
        "purities": EACH,
        "gini_mean": NUMBER,
        "entropy_mean": NUMBER,
        "purity": NUMBER,
        "silhouette": EACH,
        "silhouettes": {str: EACH},
        "cohesion": EACH,
        "invented": [SCALAR],
        "medoids": {str: SCALAR},
        "silhouette_curve": {str: [NUMBER]},
    },
    "clusterings": [
        {"method": str, "on": str}
        | dict.fromkeys(
            ("k", "noise", "silhouette", "gini_mean", "entropy_mean", "purity", "nmi", "ari"), NUMBER
        )
    ],
    "matched": {"latents": EACH, str: NUMBER},
    "stability": {
        "seeds": NUMBER,
        "bootstraps": NUMBER,
        "halves": EACH,
        "unstable": [SCALAR],
        "models": {"n": NUMBER, **RERUNS},
        **RERUNS,
    },
    "confounders": {
        "label": {"agreement": NUMBER},
        "columns": {
            str: {
                "kind": str,
                "values": NUMBER,
                "missing": NUMBER,
                "score": NUMBER,
                "chance": NUMBER,
                "interval": PAIR,
                "agreement": NUMBER,
                "one_label": bool,
                "entropy": EACH,
                "left_out": {"accuracy": NUMBER, "random": NUMBER, "unseen": NUMBER, "groups": EACH},
            }
        },
        "skipped": {str: str},
        "followed": [SCALAR],
    },
    "slides": {
        "group": SCALAR,
        "groups": NUMBER,
        "images": NUMBER,
        "labels": EACH,
        "single": [SCALAR],
        "unlabelled": NUMBER,
        "skipped": str,
        "folds": NUMBER,
        "repeats": NUMBER,
        **dict.fromkeys(("latents", "clusters", "commonest"), WHOLE),
        "baselines": {str: WHOLE},
        "shuffled": {
            "times": NUMBER,
            "p": NUMBER,
            "accuracy": NUMBER,
            "balanced": NUMBER,
            "range": {str: PAIR},
        },
    },
    "everything": EVERYTHING,
    "seconds": EACH,
    "protocol": {str: {str: object}},
}
RUN = {
    "source": SCALAR,
    "n_images": EACH,
    "sample": EACH,
    "image_shape": [NUMBER],
    "options": {str: object},
    "chosen": {str: str},
    "seed": SCALAR,
    "versions": {str: SCALAR},
    "fingerprint": SCALAR,
    "created": str | date,
    "command": SCALAR,
}
SMALL = 2**16  # bytes; a photograph of fewer stays as it is
NAMES = {NUMBER: "a number", str: "a text", bool: "true or false"}


class Figure(NamedTuple):
    """A picture as the page needs it: base64 text, its size in CSS pixels as drawn, and its kind."""

    data: str
    width: int
    height: int
    kind: str = "png"


class Content(NamedTuple):
    """What the report needs of a run folder: metrics.json, run.yaml, and the figures by name."""

    metrics: dict[str, Any]
    facts: dict[str, Any]
    figures: dict[str, Figure]


def read_content(folder: Path) -> Content:
    """Read a run folder, or raise FileFormatError."""
    return Content(
        _read(folder, "metrics.json", json.loads, METRICS),
        _read(folder, "run.yaml", yaml.safe_load, RUN),
        {visible(path.stem): _read_figure(path) for path in sorted(folder.glob("figures/*.png"))},
    )


def read_table(folder: Path) -> LatentTable | None:
    """Return latents.parquet of a run folder, or None where there is none."""
    path = folder / "latents.parquet"
    return read_latents(path, may_lack_latents=True) if path.is_file() else None


def _read(folder: Path, name: str, load, form: dict) -> dict:
    path = folder / name
    if not path.is_file():
        raise FileFormatError(
            "RUN must be a run folder",
            f"{folder}, which has no {name}",
            "Give the folder that `caescope run` or `caescope demo` wrote.",
        )
    content = read_bytes(path, MOST_BYTES[path.suffix])
    with decoding(path, path.suffix[1:].upper()):
        value = load(content)
    return _parse(value, form, path)


def _parse(value, form, path: Path, place: str = "") -> Any:
    """Return the part of ``value`` that ``form`` describes, texts made visible; null and NaN are absent."""
    if isinstance(form, dict) and isinstance(value, dict):
        known = {visible(str(key)): (item, form.get(key, form.get(str))) for key, item in value.items()}
        return {
            key: _parse(item, part, path, f"{place}.{key}")
            for key, (item, part) in known.items()
            if part is object or (part is not None and not _is_absent(item))
        }
    if isinstance(form, list | tuple) and isinstance(value, list):
        parts = form * len(value) if isinstance(form, list) else form
        if len(parts) == len(value):
            pairs = enumerate(zip(value, parts, strict=True))
            return [_parse(item, part, path, f"{place}[{i}]") for i, (item, part) in pairs]
    if isinstance(form, dict | list | tuple) or not isinstance(value, form) or _is_endless(value):
        raise FileFormatError(
            f"{path} must hold {_wanted(form)}" + printable(f" at {place[1:]}" if place else ""),
            f"{type(value).__name__} {printable(shown(value), 60)}",
            "The file is damaged or was changed: analyse the run again.",
        )
    return visible(value) if isinstance(value, str) else value


def _wanted(form) -> str:
    if isinstance(form, dict):
        return "a mapping"
    if isinstance(form, tuple):
        return f"a list of {len(form)}"
    return "a list" if isinstance(form, list) else NAMES.get(form, "a text or number")


def _is_absent(value) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _is_endless(value) -> bool:
    """Tell whether a whole number is too large to be a count or a measurement."""
    return isinstance(value, int) and abs(value) >= 2**63


def _read_figure(path: Path) -> Figure:
    content = read_bytes(path, MOST_BYTES[".png"])
    with decoding(path, "a PNG image"), Image.open(BytesIO(content), formats=["PNG"]) as image:
        scale = CSS_DPI / max(CSS_DPI, image.info.get("dpi", (CSS_DPI,))[0])
        width, height = (max(1, round(scale * side)) for side in image.size)
        is_photograph = image.mode == "RGB" and len(content) > SMALL
        image.verify()
    if is_photograph:
        return Figure(b64encode(_to_jpeg(path, content)).decode(), width, height, "jpeg")
    return Figure(b64encode(content).decode(), width, height)


def _to_jpeg(path: Path, content: bytes) -> bytes:
    """Return a photograph as JPEG: a fifth of the bytes, without a difference that can be seen."""
    jpeg = BytesIO()
    with decoding(path, "a PNG image"), Image.open(BytesIO(content), formats=["PNG"]) as image:
        image.save(jpeg, "JPEG", quality=85)
    return jpeg.getvalue()
