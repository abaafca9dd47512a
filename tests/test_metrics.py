"""Impurity by hand, matching against brute force, and labels of every kind."""

import datetime
import enum
import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from caescope import metrics
from caescope.errors import DataError

OF_CLUSTERS = ("contingency", "cluster_gini", "cluster_entropy", "cluster_purity")
OF_PAIRS = ("purity", "matched_accuracy", "nmi", "ari")


class Tissue(enum.Enum):
    LUNG = 1
    COLON = 2


pairs = st.integers(1, 40).flatmap(
    lambda n: st.tuples(*[st.lists(st.integers(0, 4), min_size=n, max_size=n)] * 2)
)


def test_impurity_by_hand():
    labels = ["a"] * 1 + ["b"] * 2 + ["c"] * 5
    assert metrics.gini(labels) == pytest.approx(1 - (1 + 4 + 25) / 64)
    assert metrics.entropy(labels) == pytest.approx(1 / 8 * 3 + 2 / 8 * 2 + 5 / 8 * math.log2(8 / 5))
    assert metrics.gini([3, 3, 3]) == 0
    assert math.copysign(1, metrics.entropy([3, 3, 3])) == 1  # 0, and not -0


@pytest.mark.parametrize("nothing", [[], (), np.array([]), np.array([], str)])
def test_the_impurity_of_nothing_is_zero(nothing):
    assert metrics.gini(nothing) == metrics.entropy(nothing) == 0.0


def test_clusters_by_hand():
    clusters, labels = [1, 1, 1, 1, 5, 5, 9], ["a", "a", "b", "c", "b", "b", "a"]
    table, cluster_names, label_names = metrics.contingency(clusters, labels)
    assert table.tolist() == [[2, 1, 1], [0, 2, 0], [1, 0, 0]]
    assert (cluster_names, label_names) == ([1, 5, 9], ["a", "b", "c"])
    assert metrics.cluster_gini(clusters, labels) == {1: pytest.approx(1 - 6 / 16), 5: 0, 9: 0}
    assert metrics.cluster_entropy(clusters, labels) == {1: pytest.approx(1.5), 5: 0, 9: 0}
    assert metrics.cluster_purity(clusters, labels) == {1: 0.5, 5: 1, 9: 1}
    assert metrics.purity(clusters, labels) == pytest.approx(5 / 7)
    assert metrics.matched_accuracy(clusters, labels) == pytest.approx(4 / 7)  # 1 to c or a, 5 to b


@given(pairs)
def test_matched_accuracy_is_the_best_of_all_matchings(pair):
    table, _, _ = metrics.contingency(*pair)
    tall = table if len(table) >= table.shape[1] else table.T
    best = max(
        sum(tall[row, column] for column, row in enumerate(rows))
        for rows in itertools.permutations(range(len(tall)), tall.shape[1])
    )
    assert metrics.matched_accuracy(*pair) == pytest.approx(best / table.sum())


@given(pairs)
def test_the_laws_between_the_measures(pair):
    clusters, labels = map(np.array, pair)
    gini, entropy, purity = (
        measure(clusters, labels)
        for measure in (metrics.cluster_gini, metrics.cluster_entropy, metrics.cluster_purity)
    )
    for cluster in set(pair[0]):
        members = labels[clusters == cluster]
        n_labels = len(set(members.tolist()))
        assert gini[cluster] == pytest.approx(metrics.gini(members))
        assert entropy[cluster] == pytest.approx(metrics.entropy(members))
        assert 0 <= gini[cluster] <= 1 - 1 / n_labels + 1e-12
        assert 0 <= entropy[cluster] <= math.log2(n_labels) + 1e-12
        assert 1 - purity[cluster] <= gini[cluster] + 1e-12
    shares = {c: np.mean(clusters == c) for c in purity}
    assert metrics.purity(*pair) == pytest.approx(sum(shares[c] * purity[c] for c in purity))
    assert metrics.matched_accuracy(*pair) <= metrics.purity(*pair) + 1e-12
    assert metrics.nmi(*pair) == pytest.approx(normalized_mutual_info_score(labels, clusters))
    assert metrics.ari(*pair) == pytest.approx(adjusted_rand_score(labels, clusters))


@given(pairs, st.permutations(range(5)), st.permutations("vwxyz"), st.randoms(use_true_random=False))
def test_names_and_order_do_not_matter(pair, cluster_names, label_names, random):
    rows = list(zip(*pair, strict=True))
    random.shuffle(rows)
    renamed = [cluster_names[c] for c, _ in rows], [label_names[x] for _, x in rows]
    for name in OF_PAIRS:
        measure = getattr(metrics, name)
        assert measure(*renamed) == pytest.approx(measure(*pair), abs=1e-9)
    gini = metrics.cluster_gini(*pair)
    assert metrics.cluster_gini(*renamed) == pytest.approx({cluster_names[c]: gini[c] for c in gini})


KINDS = {
    "strings": ["b", "a", "b"],
    "gaps and negatives": [100, -7, 100],
    "float integers": [2.0, 1.0, 2.0],
    "fractions": [0.5, 0.25, 0.5],
    "booleans": [True, False, True],
    "bytes": [b"b", b"a", b"b"],
    "dates": [datetime.date(2020, 1, 2), datetime.date(2020, 1, 1), datetime.date(2020, 1, 2)],
    "enumeration": [Tissue.LUNG, Tissue.COLON, Tissue.LUNG],
    "mixed": ["1", 1, "1"],
    "tuple": ("b", "", "b"),
    "uint8": np.array([200, 3, 200], np.uint8),
    "float32": np.array([2, 1, 2], np.float32),
    "numpy strings": np.array(["b", "a", "b"]),
    "objects": np.array(["b", "a", "b"], object),
    "numpy dates": np.array(["2020-01-02", "2020-01-01", "2020-01-02"], "M8[ns]"),
    "series": pd.Series(["b", "a", "b"]),
    "categories": pd.Series(["b", "a", "b"], dtype="category"),
    "nullable integers": pd.Series([7, 1, 7], dtype="Int64"),
}


@pytest.mark.parametrize("labels", KINDS.values(), ids=KINDS)
def test_labels_of_any_kind(labels):
    assert metrics.gini(labels) == pytest.approx(4 / 9)
    assert metrics.matched_accuracy(labels, labels) == metrics.nmi(labels, labels) == 1
    table, names, _ = metrics.contingency(labels, ["x", "y", "x"])
    assert sorted(table.sum(axis=1).tolist()) == [1, 2]
    assert metrics.encode_labels(labels)[0].tolist() in ([0, 1, 0], [1, 0, 1])
    assert len(names) == 2
    assert not any(isinstance(name, np.generic) for name in names)
    assert list(metrics.cluster_gini(labels, [0, 1, 0])) == names


def test_integers_and_their_strings_are_different_labels():
    codes, names = metrics.encode_labels([1, "1", 2, "a"])
    assert len(set(codes.tolist())) == 4
    assert names == [1, 2, "1", "a"]


MISSING = {
    "None": ["a", None],
    "NaN": [1.0, float("nan")],
    "NaN among strings": ["a", float("nan")],
    "array": np.array([1, np.nan]),
    "not a time": np.array(["2020-01-01", "NaT"], "M8[ns]"),
    "pandas.NA": pd.Series([1, None], dtype="Int64"),
    "masked": np.ma.array([1, 2], mask=[False, True]),
}


@pytest.mark.parametrize("labels", MISSING.values(), ids=MISSING)
def test_missing_labels_are_refused(labels):
    with pytest.raises(DataError, match="labels must not be missing"):
        metrics.gini(labels)
    with pytest.raises(DataError, match="clusters must not be missing"):
        metrics.purity(labels, [0, 1])


@pytest.mark.parametrize(
    "labels", ["abc", 3, None, [[1, 2], [3, 4]], np.zeros((3, 1)), {}, [np.zeros((2, 2)), np.zeros((2, 3))]]
)
def test_labels_that_are_no_row_are_refused(labels):
    with pytest.raises(DataError, match="labels must hold one value for each image"):
        metrics.entropy(labels)


def test_labels_that_are_lists_are_refused():
    with pytest.raises(DataError, match=r"labels must be single values\. Received values of type list"):
        metrics.gini([[1], [2, 3]])


@pytest.mark.parametrize("name", OF_CLUSTERS + OF_PAIRS)
def test_pairs_that_do_not_fit_are_refused(name):
    measure = getattr(metrics, name)
    with pytest.raises(DataError, match="2 clusters and 3 labels"):
        measure([0, 1], [0, 1, 1])
    with pytest.raises(DataError, match="0 clusters and 0 labels"):
        measure([], [])


def test_trivial_partitions_by_hand():
    assert metrics.purity([0], ["a"]) == metrics.matched_accuracy([0], ["a"]) == 1
    singles = range(5)
    assert metrics.purity(singles, ["a"] * 5) == 1
    assert metrics.matched_accuracy(singles, ["a"] * 5) == pytest.approx(1 / 5)
    assert metrics.nmi(singles, ["a"] * 5) == metrics.ari(singles, ["a"] * 5) == 0
