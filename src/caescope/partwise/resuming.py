"""How far an analysis of everything has come, so that it goes on after an interruption."""

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

from caescope.errors import FileFormatError
from caescope.partwise.assigning import Fitted
from caescope.partwise.sampling import Sample
from caescope.partwise.totals import Totals, pack, unpack
from caescope.run_folder import fingerprint_array
from caescope.writing import write_atomically

TOTALS = "totals.npz"


class Standing(NamedTuple):
    """How many parts are done, from the first on, and what they add up to."""

    done: int = 0
    totals: Totals | None = None

    def plus(self, totals: Totals) -> "Standing":
        """Return the standing after the next part."""
        return Standing(self.done + 1, totals if self.totals is None else self.totals + totals)


def load_standing(folder: Path, job: str) -> Standing:
    """Return where a job was interrupted; nothing is done where another one was, or none."""
    path = folder / TOTALS
    try:
        totals, facts = unpack(path.read_bytes(), str(path))
    except (FileNotFoundError, FileFormatError):
        return Standing()
    return Standing(facts["done"], totals) if facts.get("job") == job else Standing()


def save_standing(folder: Path, job: str, standing: Standing) -> None:
    """Write down how far a job has come, all or nothing."""
    assert standing.totals is not None
    write_atomically(folder / TOTALS, pack(standing.totals, job=job, done=standing.done))


def describe_job(sample: Sample, fitted: Fitted, options: dict[str, Any]) -> str:
    """Return what changes when the result for any part would."""
    facts = {
        "digests": sample.digests,
        "rows": fingerprint_array(sample.rows),
        "map": fingerprint_array(fitted.map),
        "clusters": fingerprint_array(fitted.clusters),
        "labels": None if sample.table.labels is None else str(sample.table.labels.tolist()),
        "rules": repr((fitted.split, fitted.probe_split, fitted.grid)),
        "options": options,
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()
