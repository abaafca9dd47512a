"""The report of a run: one HTML file that opens offline, made from the run folder and nothing else."""

import json
import math
import os
import re
from base64 import b64encode
from datetime import date, datetime
from io import BytesIO
from pathlib import Path
from reprlib import Repr
from typing import Any, NamedTuple

import yaml
from jinja2 import ChainableUndefined, Environment, PackageLoader
from PIL import Image

from caescope.errors import FileFormatError
from caescope.files import decoding, printable, read_bytes, write_atomically

__all__ = ["write_report"]

MOST_BYTES = {".json": 64 * 2**20, ".yaml": 2**20, ".png": 32 * 2**20}
CSS_DPI = 96  # pixels of CSS in an inch, whatever the screen
AVERAGES = ("micro avg", "macro avg", "weighted avg")  # rows of a classification report that are no class

# What the report reads: {"key": form}, {str: form of any other key}, [form of every item], or a type.
NUMBER, SCALAR = int | float, str | int | float
METRICS = {
    "reconstruction": {str: {str: NUMBER}},
    "latents": {"features": NUMBER, "dead": NUMBER},
    "probe": {
        "logistic_ovr": {
            "train": NUMBER,
            "test": NUMBER,
            "converged": bool,
            "confusion": [[NUMBER]],
            "report": {"accuracy": object, str: {str: NUMBER}},
        },
        "knn": {str: NUMBER},
    },
    "projection": {
        "pca": {"explained_variance_ratio": [NUMBER]},
        "map": {"method": str, "perplexity": NUMBER},
    },
    "clusters": {
        "k": NUMBER,
        "sizes": {str: NUMBER},
        "gini": {str: NUMBER},
        "gini_mean": NUMBER,
        "entropy_mean": NUMBER,
        "purity": NUMBER,
    },
    "matched": {str: NUMBER},
    "seconds": {str: NUMBER},
    "protocol": {str: {str: object}},
}
RUN = {
    "source": SCALAR,
    "n_images": {str: NUMBER},
    "image_shape": [NUMBER],
    "options": {str: object},
    "seed": SCALAR,
    "versions": {str: SCALAR},
    "fingerprint": SCALAR,
    "created": str | date,
    "command": SCALAR,
}


class Figure(NamedTuple):
    """A PNG as the page needs it: base64 text, and the size in CSS pixels at which it was drawn."""

    data: str
    width: int
    height: int


def write_report(run: str | os.PathLike) -> Path:
    """Write ``report.html`` into a run folder: figures and style inside, no script, no network.

    Parameters
    ----------
    run : path-like
        A run folder with ``metrics.json``, ``run.yaml`` and ``figures/*.png``. Sections whose
        figures and numbers are absent are left out.

    Returns
    -------
    pathlib.Path
        The file written, ``run/report.html``. The same run folder gives the same bytes.

    Raises
    ------
    FileFormatError
        If ``metrics.json`` or ``run.yaml`` is missing, or a file is damaged; nothing is written then.

    Examples
    --------
    >>> write_report("no-such-folder")
    Traceback (most recent call last):
    caescope.errors.FileFormatError: RUN must be a run folder. Received no-such-folder, which has no ...
    """
    folder = Path(run)
    metrics = _read(folder, "metrics.json", json.loads, METRICS)
    facts = _read(folder, "run.yaml", yaml.safe_load, RUN)
    figures = {path.stem: _read_figure(path) for path in sorted(folder.glob("figures/*.png"))}
    clusters, chance = _clusters(metrics.get("clusters", {}), figures), _chance(metrics)
    template = _environment().get_template("report.html")
    page = template.render(metrics=metrics, run=facts, figures=figures, clusters=clusters, chance=chance)
    path = folder / "report.html"
    # A label may hold half of a surrogate pair, which has no UTF-8.
    write_atomically(path, page.encode(errors="replace"))
    return path


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
    """Return the part of ``value`` that ``form`` describes; null counts as absent."""
    if isinstance(form, dict) and isinstance(value, dict):
        known = {str(key): (item, form.get(key, form.get(str))) for key, item in value.items()}
        return {
            key: _parse(item, part, path, f"{place}.{key}")
            for key, (item, part) in known.items()
            if part is object or (part is not None and item is not None)
        }
    if isinstance(form, list) and isinstance(value, list):
        return [_parse(item, form[0], path, f"{place}[{i}]") for i, item in enumerate(value)]
    if isinstance(form, dict | list) or not isinstance(value, form) or _endless(value):
        wanted = (
            "a mapping" if isinstance(form, dict) else "a list" if isinstance(form, list) else _name(form)
        )
        raise FileFormatError(
            f"{path} must hold {wanted}" + printable(f" at {place[1:]}" if place else ""),
            f"{type(value).__name__} {printable(_shown(value), 60)}",
            "The file is damaged or was changed: analyse the run again.",
        )
    return value


def _name(form) -> str:
    names = {NUMBER: "a number", str: "a text", bool: "true or false"}
    return names.get(form, "a text or number")


def _endless(value) -> bool:
    """Tell whether a whole number is too large to be a count or a measurement."""
    return isinstance(value, int) and abs(value) >= 2**63


def _read_figure(path: Path) -> Figure:
    content = read_bytes(path, MOST_BYTES[".png"])
    with decoding(path, "a PNG image"), Image.open(BytesIO(content), formats=["PNG"]) as image:
        scale = CSS_DPI / max(CSS_DPI, image.info.get("dpi", (CSS_DPI,))[0])
        width, height = (max(1, round(scale * side)) for side in image.size)
        image.verify()
    return Figure(b64encode(content).decode(), width, height)


def _clusters(clusters: dict, figures: dict[str, Figure]) -> list[dict]:
    """Return one row for each cluster: its name, and what is known of size, share, gini and sheet."""
    numbers = {name: re.fullmatch(r"cluster_(\d+)", name, re.ASCII) for name in figures}
    sheets = {match[1].lstrip("0") or "0": figures[name] for name, match in numbers.items() if match}
    sizes, gini = clusters.get("sizes", {}), clusters.get("gini", {})
    total = sum(sizes.values())
    shares = {name: size / total for name, size in sizes.items()} if total else {}
    known = {"size": sizes, "share": shares, "gini": gini, "sheet": sheets}
    return [
        {"name": name, **{key: values[name] for key, values in known.items() if name in values}}
        for name in _in_order({**sizes, **gini, **sheets})
    ]


def _in_order(names) -> list[str]:
    """Return names by their number where all are numbers, else as they came.

    >>> _in_order(["0", "10", "9"]), _in_order(["dog", "10", "cat"])
    (['0', '9', '10'], ['dog', '10', 'cat'])
    """
    names = list(names)
    return (
        sorted(names, key=int)
        if all(re.fullmatch(r"-?\d{1,18}", name, re.ASCII) for name in names)
        else names
    )


def _chance(metrics: dict) -> dict[str, float]:
    """Return accuracy of always guessing the commonest label, and Gini of all test images together."""
    counts = [sum(row) for row in metrics.get("probe", {}).get("logistic_ovr", {}).get("confusion", [])]
    total = sum(counts)
    if not total:
        return {}
    shares = [count / total for count in counts]
    return {"accuracy": max(shares), "gini": 1 - sum(share**2 for share in shares)}


def _environment() -> Environment:
    loader = PackageLoader("caescope.report", ".")
    environment = Environment(
        loader=loader, autoescape=True, undefined=ChainableUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals["averages"] = AVERAGES
    environment.filters |= {"written": _written, "shown": _shown, "moment": _moment, "in_order": _in_order}
    return environment


def _written(value, spec: str) -> str:
    """Return a number in a format of Python's; what is absent or not a number is a dash.

    >>> _written(0.91234, ".1%"), _written(float("nan"), ".3f"), _written(70000, ",.0f")
    ('91.2%', '–', '70,000')
    """
    absent = not isinstance(value, int | float) or math.isnan(value)
    return "–" if absent else format(value, spec).replace("inf", "∞")


def _shown(value) -> str:
    """Return any value as text; nested ones are shortened, since YAML can repeat a list without end."""
    if value is None:
        return "not set"
    short = Repr()
    short.maxlevel, short.maxlist, short.maxdict, short.maxstring, short.maxlong = 3, 20, 20, 200, 40
    return value if isinstance(value, str) else short.repr(value)


def _moment(value) -> str:
    """Return a time to the minute.

    >>> _moment("2026-03-01T09:05:07.123+00:00")
    '2026-03-01 09:05 UTC'
    """
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return str(value)
    return f"{moment:%Y-%m-%d %H:%M} {moment.tzname() or ''}".strip()
