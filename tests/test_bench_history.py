"""benchmarks/history.py says what got worse, and only that."""

import importlib.util
import sys
from pathlib import Path

import pytest

PATH = Path(__file__).resolve().parents[1] / "benchmarks" / "history.py"
spec = importlib.util.spec_from_file_location("bench_history", PATH)
assert spec
assert spec.loader
history = sys.modules["bench_history"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(history)

FIGURES = {
    "images/s": history.Figure("higher", "speed", 0.15),
    "seconds": history.Figure("lower", "duration", 0.15),
    "test MSE": history.Figure("lower", "quality", 0.05),
    "accuracy": history.Figure("higher", "quality", 0.05),
    "shown": history.Figure("lower"),
}
USUAL = {"images/s": 100.0, "seconds": 8.0, "test MSE": 0.01, "accuracy": 0.9, "shown": 1.0}


def entry(machine: float = 1.0, processor: str = "A", **figures) -> dict:
    """An entry of a machine that was ``machine`` times as fast as usual."""
    reference = {"images/s": 400.0 * machine, "seconds": 400.0 * machine}
    return {"processor": processor, "cores": 2, "figures": USUAL | figures, "reference": reference}


def worse(now: dict, *before: dict) -> list[str]:
    return [row.name for row in history.compare(now, list(before), FIGURES) if row.worse]


def test_the_first_run_has_nothing_to_compare():
    rows = history.compare(entry(), [], FIGURES)
    assert [row.name for row in rows] == list(FIGURES)
    assert all(row.before is None and row.ratio is None and not row.worse for row in rows)
    assert "nothing to compare" in history.sentence(rows)


@pytest.mark.parametrize(
    ("name", "just_good", "just_bad"),
    [("images/s", 86, 84), ("seconds", 9.1, 9.3), ("test MSE", 0.0104, 0.0106), ("accuracy", 0.86, 0.85)],
)
def test_what_is_worse_by_more_than_its_tolerance_is_marked(name, just_good, just_bad):
    assert worse(entry(**{name: just_good}), entry()) == []
    assert worse(entry(**{name: just_bad}), entry()) == [name]


def test_better_is_never_marked():
    better = {"images/s": 300, "seconds": 1, "test MSE": 0.001, "accuracy": 1.0}
    assert worse(entry(**better), entry()) == []


def test_a_figure_without_a_tolerance_is_only_shown():
    rows = history.compare(entry(shown=9.0), [entry()], FIGURES)
    assert (rows[-1].now, rows[-1].before, rows[-1].ratio, rows[-1].worse) == (9.0, 1.0, 9.0, False)


def test_other_conditions_are_not_compared():
    slow = entry(**{"images/s": 1})
    assert worse(slow, entry(processor="B")) == []
    assert worse(slow, entry() | {"cores": 64}) == []
    assert worse(slow, entry() | {"seeds": [1]}) == []
    assert worse(slow, entry(processor="B"), entry()) == ["images/s"]


def test_a_machine_that_is_half_as_fast_is_no_regression():
    half = {"images/s": 50.0, "seconds": 16.0}
    rows = {row.name: row for row in history.compare(entry(0.5, **half), [entry()], FIGURES)}
    assert rows["images/s"].before == 50.0
    assert rows["seconds"].before == 16.0
    assert rows["images/s"].ratio == rows["seconds"].ratio == 1.0
    assert not any(row.worse for row in rows.values())


def test_as_fast_as_before_on_a_machine_twice_as_fast_is_a_regression():
    assert worse(entry(2.0), entry()) == ["images/s", "seconds"]


def test_a_quality_does_not_follow_the_machine():
    assert worse(entry(0.5, **{"images/s": 50, "seconds": 16, "test MSE": 0.02}), entry()) == ["test MSE"]


def test_before_is_the_median_of_the_last_five():
    speeds = [1.0, 1.0, 1.0, 100.0, 90.0, 110.0, 10.0, 105.0]
    past = [entry(**{"images/s": speed}) for speed in speeds]
    assert history.compare(entry(), past, FIGURES)[0].before == 100.0


def test_what_was_zero_has_no_ratio_and_must_stay_zero():
    row = history.compare(entry(**{"test MSE": 1e-9}), [entry(**{"test MSE": 0.0})], FIGURES)[2]
    assert row.ratio is None
    assert row.worse
    assert "test MSE (1e-09 after 0)" in history.sentence([row])
    assert worse(entry(**{"test MSE": 0.0}), entry(**{"test MSE": 0.0})) == []


def test_a_new_figure_has_no_past():
    old = entry()
    del old["figures"]["accuracy"]
    rows = {row.name: row for row in history.compare(entry(), [old], FIGURES)}
    assert rows["accuracy"].before is None
    assert rows["images/s"].before == 100.0


def test_the_sentence_names_what_got_worse():
    rows = history.compare(entry(**{"images/s": 50}), [entry()], FIGURES)
    assert history.sentence(rows) == "Worse than before: images/s (× 0.50)."
    assert history.sentence(history.compare(entry(), [entry()], FIGURES)) == "Nothing is worse than before."


def test_a_history_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "history.jsonl"
    assert history.read(path) == ([], [])
    history.append(path, entry())
    history.append(path, entry(processor="Ångström"))
    assert history.read(path) == ([entry(), entry(processor="Ångström")], [])


BROKEN = [
    b"{",
    b"[1]",
    b"null",
    b"{}",
    b'{"figures": 1, "reference": {}}',
    b'{"figures": {"a": "b"}, "reference": {}}',
    b"\xff",
]


@pytest.mark.parametrize("line", BROKEN)
def test_a_broken_line_is_skipped_with_a_sentence(tmp_path, line):
    path = tmp_path / "history.jsonl"
    history.append(path, entry())
    with path.open("ab") as file:
        file.write(line)  # and no line feed: whoever wrote it was killed
    history.append(path, entry(2.0))
    entries, complaints = history.read(path)
    assert entries == [entry(), entry(2.0)]
    assert complaints == [f"Line 2 of {path} is no entry of a history and is skipped."]


def test_what_is_no_number_any_more_is_worse():
    assert worse(entry(**{"test MSE": float("nan")}), entry()) == ["test MSE"]
