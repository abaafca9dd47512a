"""The history of one machine's benchmarks: one JSON object a line, and what got worse since the last ones.

An entry holds what must be the same for two entries to be compared (`CONDITIONS`), ``figures`` by name, and
``reference``: how fast the machine was while each of the speeds and durations was measured, in any unit. A
processor that others share is sometimes half as fast; such figures are compared relative to their reference.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Literal

CONDITIONS = ("processor", "cores", "device", "source", "seeds")
N_ENTRIES = 5


@dataclass(frozen=True)
class Figure:
    """How a figure is judged.

    Attributes
    ----------
    better : {"higher", "lower"}
    kind : {"speed", "duration", "quality"}
        A speed grows with the machine's own, a duration shrinks with it, and a quality does not know it.
    tolerance : float or None
        The share by which it may be worse than before; None only shows it.
    """

    better: Literal["higher", "lower"]
    kind: Literal["speed", "duration", "quality"] = "quality"
    tolerance: float | None = None

    def at(self, value: float, reference: float, other: float) -> float:
        """Return a value measured beside ``reference`` as it would be where the machine gives ``other``."""
        factor = {"speed": other / reference, "duration": reference / other, "quality": 1.0}[self.kind]
        return value * factor

    def is_worse(self, now: float, before: float) -> bool:
        """Whether ``now`` is worse than ``before`` by more than the tolerance; NaN always is."""
        if self.tolerance is None:
            return False
        if self.better == "higher":
            return not now >= before * (1 - self.tolerance)
        return not now <= before * (1 + self.tolerance)


@dataclass(frozen=True)
class Row:
    """One figure beside its past; ``before`` and ``ratio`` are None where there is none."""

    name: str
    now: float
    before: float | None
    ratio: float | None
    worse: bool


def read(path: Path) -> tuple[list[dict], list[str]]:
    """Return the entries of a history, oldest first, and a sentence for every line that is none."""
    entries, complaints = [], []
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
    for number, line in enumerate(lines, 1):
        entry = _parse(line)
        if entry is not None:
            entries.append(entry)
        elif line.strip():
            complaints.append(f"Line {number} of {path} is no entry of a history and is skipped.")
    return entries, complaints


def _parse(line: str) -> dict | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    parts = [entry.get(part) for part in ("figures", "reference")] if isinstance(entry, dict) else [None]
    return entry if all(isinstance(part, dict) and _holds_numbers(part) for part in parts) else None


def _holds_numbers(part: dict) -> bool:
    return all(isinstance(value, int | float) for value in part.values())


def append(path: Path, entry: dict) -> None:
    """Add one entry; a line that somebody left half-written stays a line of its own."""
    torn = path.exists() and path.stat().st_size > 0 and not path.read_bytes().endswith(b"\n")
    with path.open("a", encoding="utf-8") as file:
        file.write("\n" * torn + json.dumps(entry) + "\n")


def comparable(now: dict, entries: list[dict]) -> list[dict]:
    """Return the last entries under the same conditions: processor, cores, device, images and seeds."""
    same = [entry for entry in entries if all(entry.get(key) == now.get(key) for key in CONDITIONS)]
    return same[-N_ENTRIES:]


def compare(now: dict, entries: list[dict], figures: dict[str, Figure]) -> list[Row]:
    """Return one row for each figure of ``now``, beside the median of the comparable entries.

    ``before`` is that median on a machine as fast as this one is now; ``ratio`` is now / before.
    """
    past = comparable(now, entries)
    rows = []
    for name, figure in figures.items():
        if name not in now["figures"]:
            continue
        value, before = now["figures"][name], _before(name, figure, now, past)
        ratio = value / before if before else None
        rows.append(Row(name, value, before, ratio, before is not None and figure.is_worse(value, before)))
    return rows


def _before(name: str, figure: Figure, now: dict, past: list[dict]) -> float | None:
    values = [
        figure.at(entry["figures"][name], entry["reference"].get(name, 1.0), now["reference"].get(name, 1.0))
        for entry in past
        if name in entry["figures"]
    ]
    return median(values) if values else None


def sentence(rows: list[Row]) -> str:
    """Say in one sentence what got worse."""
    worse = [f"{row.name} ({_change(row)})" for row in rows if row.worse]
    if worse:
        return f"Worse than before: {', '.join(worse)}."
    if any(row.before is not None for row in rows):
        return "Nothing is worse than before."
    return "There is nothing to compare with yet: this is the first entry under these conditions."


def _change(row: Row) -> str:
    return f"{row.now:.4g} after {row.before:.4g}" if row.ratio is None else f"× {row.ratio:.2f}"
