"""Splits by groups: whole groups, fractions as near as they allow, and which groups leak."""

import itertools
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caescope.data import ArraySource, assign_splits, split_source
from caescope.data.splitting import leaking_groups
from caescope.errors import DataError

SPLITS = ("train", "validation", "test")


def shares(split) -> list[float]:
    return [float((split == name).mean()) for name in SPLITS]


def groups_of(split, groups) -> list[list]:
    return [np.unique(np.asarray(groups)[split == name]).tolist() for name in SPLITS]


@settings(max_examples=100, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 30), min_size=3, max_size=20),
    parts=st.tuples(*[st.integers(1, 20)] * 3),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_split_gets_a_group_and_no_group_is_divided(sizes, parts, seed):
    groups = np.repeat(np.arange(len(sizes)), sizes)
    split = assign_splits(len(groups), None, seed, [part / sum(parts) for part in parts], groups)
    found = groups_of(split, groups)
    assert all(found)
    assert sorted(itertools.chain(*found)) == list(range(len(sizes)))


def test_fractions_are_met_where_the_groups_allow_it():
    groups = np.repeat([f"slide {i}" for i in range(100)], np.random.default_rng(0).integers(5, 200, 100))
    for fractions in ((0.8, 0.1, 0.1), (0.5, 0.2, 0.3)):
        split = assign_splits(len(groups), None, 0, fractions, groups)
        assert shares(split) == pytest.approx(fractions, abs=0.001)


@pytest.mark.parametrize(
    "sizes", [[50, 30, 10, 10], [60, 25, 15], [90, 5, 5], [76, 7, 7, 6, 4], [1, 1, 98], [34, 33, 33]], ids=str
)
def test_no_other_division_of_the_groups_would_come_nearer_to_the_fractions(sizes):
    split = assign_splits(100, groups=np.repeat(np.arange(len(sizes)), sizes))
    divisions = [d for d in itertools.product(range(3), repeat=len(sizes)) if len(set(d)) == 3]
    best = min(_deviation(np.bincount(division, sizes) / 100) for division in divisions)
    assert _deviation(shares(split)) == pytest.approx(best)


def _deviation(found) -> float:
    return float(np.abs(np.subtract(found, [0.8, 0.1, 0.1])).sum())


def test_the_seed_decides_which_groups_are_drawn():
    groups = np.repeat(np.arange(50), 4)
    first, same, other = (assign_splits(200, seed=seed, groups=groups) for seed in (0, 0, 1))
    assert first.tolist() == same.tolist() != other.tolist()
    assert shares(first) == shares(other) == [0.8, 0.1, 0.1]


def test_names_and_order_of_the_images_do_not_matter():
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 30, 500)
    order = rng.permutation(500)
    split = assign_splits(500, groups=groups)
    assert assign_splits(500, groups=groups[order]).tolist() == split[order].tolist()
    named = np.char.add("slide ", np.char.zfill(groups.astype(str), 2))
    assert assign_splits(500, groups=named).tolist() == split.tolist()
    assert assign_splits(500, groups=named.tolist()).tolist() == split.tolist()


def test_without_groups_nothing_changes():
    images = assign_splits(50, seed=3)
    assert images.tolist() == assign_splits(50, seed=3, groups=None).tolist()
    assert shares(images) == [0.8, 0.1, 0.1]


def test_a_source_is_split_by_groups():
    source = split_source(ArraySource(np.zeros((12, 2, 2))), groups=np.repeat(["a", "b", "c", "d"], 3))
    assert [len(names) for names in groups_of(source.split, np.repeat(["a", "b", "c", "d"], 3))] == [2, 1, 1]


def test_a_split_that_the_data_bring_is_kept():
    split = np.array(["test", "train", "validation", "train"])
    assert assign_splits(4, split, groups=["a", "a", "a", "a"]).tolist() == split.tolist()
    before = np.repeat(["train", "test"], [60, 10])
    groups = np.r_[np.repeat(np.arange(10), 6), np.zeros(10, int)]
    after = assign_splits(70, before, groups=groups)
    assert (after[before == "test"] == "test").all()
    in_train, in_validation, _ = groups_of(after, groups)
    assert len(in_validation) == 1
    assert not set(in_train) & set(in_validation)


def test_a_million_images_of_ten_thousand_groups_are_split_in_seconds():
    groups = np.random.default_rng(0).integers(0, 10_000, 10**6)
    start = time.perf_counter()
    split = assign_splits(10**6, groups=groups)
    assert leaking_groups(split, groups) == []
    assert time.perf_counter() - start < 10  # about 1 s on an idle machine
    assert shares(split) == pytest.approx([0.8, 0.1, 0.1], abs=1e-4)


@pytest.mark.parametrize(
    ("split", "groups", "received"),
    [
        (None, ["a"] * 6, "1 groups for train and validation and test"),
        (None, ["a", "a", "a", "b", "b", "b"], "2 groups for train and validation and test"),
        (["train"] * 3 + ["test"] * 3, ["a", "a", "a", "b", "c", "d"], "1 groups for train and validation"),
        (["train"] * 3 + ["validation"] * 3, ["a", "a", "a", "b", "c", "d"], "1 groups for train and test"),
    ],
)
def test_too_few_groups_are_counted(split, groups, received):
    split = None if split is None else np.array(split)
    with pytest.raises(DataError, match=r"come from groups, at least one for each of train") as caught:
        assign_splits(6, split, groups=groups)
    assert caught.value.received == received
    assert "split without groups" in caught.value.advice


def test_groups_that_cannot_be_used_are_refused():
    with pytest.raises(DataError, match=r"groups must be known for every image.*Received none for 1 of 4"):
        assign_splits(4, groups=["a", "b", None, "c"])
    with pytest.raises(DataError, match="groups must hold one value for each image"):
        assign_splits(4, groups=["a", "b", "c"])
    with pytest.raises(DataError, match="groups must hold one value for each image"):
        leaking_groups(["train", "test"], ["a"])


def test_groups_may_be_missing_where_nothing_is_drawn():
    split = np.array(["train", "train", "train", "test"])
    after = assign_splits(4, split, groups=["a", "b", "c", None])
    assert after[3] == "test"
    assert sorted(after[:3]) == ["train", "train", "validation"]


def test_leaking_groups_are_in_train_and_test():
    split = np.array(["train", "test", "validation", "train", "test", "train", "test"])
    assert leaking_groups(split, ["b", "b", "c", "c", "a", "a", "d"]) == ["a", "b"]
    assert leaking_groups(split, [7, 7, 1, 1, 3, 2, 5]) == [7]
    assert leaking_groups(split, ["b", "b", "c", "c", None, None, "d"]) == ["b"]
    assert leaking_groups(split, np.ma.array([1, 1, 0, 0, 2, 2, 3], mask=[1, 1, 0, 0, 0, 0, 0])) == [2]
    assert leaking_groups(split[:3], ["a", "b", "a"]) == []
