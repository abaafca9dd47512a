"""Workers assign everything as one process would, and say what is wrong as it would."""

import sys
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from caescope.analysis.moments import moments_of
from caescope.analyzing_parts import EVERYTHING
from caescope.errors import DataError, MissingDependencyError, OptionError
from caescope.parts import part_name
from caescope.partwise.totals import Totals, unpack
from caescope.pipeline import analyze
from caescope.scale.assigning import Job, PartAssigner, in_order
from caescope.scale.connecting import connected
from caescope.scale.streaming import error_from_text
from caescope.scale.workers import parse_workers
from caescope.storage import find_place
from caescope.table import LatentTable, read_latents
from parted import write_whole

OPTIONS = {"sample": 150, "clusters": 4, "stability": 0, "verbose": 0}


@pytest.fixture(scope="module")
def cluster():
    """A cluster of this machine that several tests share; `connected` uses what is there."""
    if find_spec("ray") is None:
        pytest.skip("needs Ray")
    with connected(parse_workers(2, cpus_per_worker=1)):
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return write_whole(tmp_path_factory.mktemp("whole") / "z.parquet", (300, 300, 41, 300))


def contents(folder):
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def test_workers_write_and_count_what_one_process_does(cluster, whole, tmp_path, monkeypatch):
    alone = analyze(whole.folder, tmp_path / "alone", **OPTIONS)
    monkeypatch.chdir(tmp_path)  # where paths are seen from, by workers, too
    together = analyze(whole.folder, "together", workers=2, cpus_per_worker=1, **OPTIONS)
    assert together.metrics["everything"] == alone.metrics["everything"]
    assert contents(together.path / EVERYTHING) == contents(alone.path / EVERYTHING)
    assert (together.path / "latents.parquet").read_bytes() == (alone.path / "latents.parquet").read_bytes()


def test_a_part_that_a_worker_cannot_use_is_named(cluster, tmp_path):
    whole = write_whole(tmp_path / "z.parquet", (100, 100, 100))
    file = whole.folder / part_name(100)
    table = read_latents(file)
    errors = np.where(np.arange(100) == 7, np.nan, table.errors)
    LatentTable(table.ids, table.latents, labels=table.labels, errors=errors).write(file)
    with pytest.raises(DataError, match=r"NaN or infinity for 1 images, in .*part-000000000100\.parquet"):
        analyze(whole.folder, workers=2, cpus_per_worker=1, **OPTIONS | {"map": "pca"})


def test_without_ray_a_sentence_tells_how_to_install_it_before_anything_is_judged(
    whole, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingDependencyError, match=r'pip install "caescope\[ray\]"'):
        analyze(whole.folder, tmp_path / "run", workers=2, **OPTIONS)
    assert not list(tmp_path.iterdir())


class Counting:
    """In place of an assigner: knows where it would write, and notes how many threads it may use."""

    def __init__(self, folder, totals):
        self.target, self.totals, self.fitted, self.projection = find_place(folder), totals, self, self

    def __call__(self, i):
        return self.totals

    def use_threads(self, threads):
        self.threads = threads


@pytest.fixture
def ask(monkeypatch, whole):
    """What a worker answers whose job is in this process."""
    moments = moments_of(whole.latents)
    totals = Totals(moments, np.arange(3), None, np.arange(2), np.zeros((2, 2), np.int64))
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(get=lambda job: job))

    def ask(folder):
        counting: Any = Counting(folder, totals)
        answer = PartAssigner([Job(counting, ".", 3)])({"part": np.array([5])})
        assert counting.threads == 3
        return {name: value for name, [value] in answer.items()}

    return ask


def test_a_worker_answers_with_sums_and_counts(ask, tmp_path, whole):
    answer = ask(tmp_path / EVERYTHING)
    assert (answer["part"], answer["error"]) == (5, "")
    totals, _ = unpack(answer["totals"])
    assert len(totals) == len(whole.latents)


def test_a_worker_must_see_the_output(ask, tmp_path):
    answer = ask(tmp_path / "elsewhere" / EVERYTHING)
    error = error_from_text(answer["error"])
    assert isinstance(error, OptionError)
    assert str(error).startswith(
        f"Workers must see the folder of the output. Received no {tmp_path}/elsewhere"
    )


def test_totals_are_added_in_the_order_of_the_parts():
    parts = [4, 7, 8, 11]
    for order in ([7, 4, 11, 8], [11, 8, 7, 4], [4, 7, 8, 11]):
        answers = ((part, str(part).encode()) for part in order)
        assert [*in_order(answers, parts)] == [b"4", b"7", b"8", b"11"]
