"""What a worker that assigns parts does and says; a real cluster is in `test_scale_cluster`."""

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from caescope.analysis.moments import moments_of
from caescope.analyzing_parts import EVERYTHING
from caescope.errors import MissingDependencyError, OptionError
from caescope.partwise.totals import Totals, unpack
from caescope.pipeline import analyze
from caescope.scale.assigning import Job, PartAssigner, in_order
from caescope.scale.streaming import error_from_text
from caescope.storage import find_place
from parted import write_whole

OPTIONS = {"sample": 150, "clusters": 4, "stability": 0, "verbose": 0}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return write_whole(tmp_path_factory.mktemp("whole") / "z.parquet", (300, 300, 41, 300))


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
