"""A short pass of `fuzzing`, what the long ones have found, and whether it finds anything at all."""

import sys
from pathlib import Path

import pytest

import fuzzed
import fuzzing

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs a system that forks and has /proc")

FEW = {"hdf5 images": 60, "hdf5 weights": 60, "params": 150, "parquet": 100, "latents": 100}
SOUND = [name for name in fuzzed.PARSERS if name not in fuzzed.BROKEN]


@pytest.mark.parametrize("name", SOUND)
def test_changed_files_are_accepted_or_refused(name):
    row = fuzzing.fuzz(name, FEW.get(name, 300), seed=1)
    assert row.bad == {}
    assert sum(row.counts.values()) == FEW.get(name, 300)
    assert row.counts["refused"] > 0


@pytest.mark.parametrize("name", SOUND)
def test_the_good_files_are_accepted(name, tmp_path, monkeypatch):
    monkeypatch.setattr(fuzzed, "use_forks", lambda: None)
    monkeypatch.syspath_prepend(Path(__file__).parent)
    parser = fuzzed.PARSERS[name]
    for content in parser.samples():
        path = tmp_path / f"a{parser.suffix}"
        path.write_bytes(content)
        assert fuzzing.outcome(parser, path) == "accepted"


def test_a_change_is_made_again_from_its_number():
    parser = fuzzed.PARSERS["npy"]
    samples = parser.samples()
    made = [fuzzing.mutation("npy", 3, number, samples, parser.tokens) for number in range(50)]
    assert made[7] == fuzzing.mutation("npy", 3, 7, samples, parser.tokens)
    assert len(set(made)) > 45


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [("crash", "crash", "SIGSEGV"), ("eat", "crash", "memory"), ("fail", "foreign", "KeyError: 'not ours'")],
)
def test_it_notices_what_must_not_be(name, kind, words):
    row = fuzzing.fuzz(name, 1)
    assert row.counts == {kind: 1}
    assert all(words in answer for answer in row.bad.values())


def test_it_notices_what_hangs(monkeypatch):
    monkeypatch.setattr(fuzzing, "HANG", 0.5)
    assert fuzzing.fuzz("hang", 1).bad == {0: "hang"}


def test_it_goes_on_after_a_crash_and_tells_the_input():
    row = fuzzing.fuzz("sometimes", 20)
    assert (row.bad, row.counts["refused"]) == ({7: "crash SIGSEGV"}, 19)


def test_what_must_not_be_ends_with_1(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["fuzzing.py", "--mutations", "1", "--parser", "crash"])
    assert fuzzing.main() == 1
    printed = capsys.readouterr().out
    assert "| crash | 1 | 0 | 0 | 1 | 0 | 0 |" in printed
    assert "crash --seed 0 --number 0: crash SIGSEGV" in printed
