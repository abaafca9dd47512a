"""Probes on blobs whose answer is known, with labels of every kind."""

from functools import partial

import numpy as np
import pytest
from sklearn.datasets import make_blobs
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from caescope.analysis.intervals import accuracy_interval, balanced_interval, mean_interval
from caescope.analysis.probe import compare_probes, knn, logistic_multinomial, logistic_ovr
from caescope.errors import DataError, OptionError

PROBES = pytest.mark.parametrize("probe", [logistic_ovr, logistic_multinomial, knn])
REGRESSIONS = pytest.mark.parametrize("probe", [logistic_ovr, logistic_multinomial])


def blobs(n: int = 400, classes: int = 4, spread: float = 1.0, features: int = 5, seed: int = 0):
    """Return train latents, train labels, test latents, test labels, half of n each."""
    latents, labels, *_ = make_blobs(n, features, centers=classes, cluster_std=spread, random_state=seed)
    return latents[: n // 2], labels[: n // 2], latents[n // 2 :], labels[n // 2 :]


@PROBES
def test_separate_blobs_are_known_perfectly(probe):
    sets = blobs(spread=0.5)
    result = probe(*sets)
    assert result.train == result.test == 1
    assert result.converged
    assert result.classes == [0, 1, 2, 3]
    assert result.confusion.tolist() == np.diag(np.bincount(sets[3])).tolist()


@PROBES
def test_the_figures_of_a_probe_agree_with_each_other(probe):
    train, train_labels, test, test_labels = blobs(spread=6)
    result = probe(train, train_labels, test, test_labels)
    assert 0.3 < result.test < 0.99
    assert np.trace(result.confusion) / result.confusion.sum() == pytest.approx(result.test)
    assert result.report["accuracy"] == pytest.approx(result.test)
    assert result.confusion.sum(axis=1).tolist() == np.bincount(test_labels).tolist()
    recalls = np.diag(result.confusion) / result.confusion.sum(axis=1)
    assert [result.report[str(c)]["recall"] for c in range(4)] == pytest.approx(recalls.tolist())


def test_one_versus_rest_equals_a_regression_for_each_label():
    train, train_labels, test, test_labels = blobs(spread=5)
    scaler = StandardScaler().fit(train.astype(np.float32).astype(float))
    one_for_each = [
        LogisticRegression(max_iter=200)
        .fit(scaler.transform(train), train_labels == c)
        .predict_proba(scaler.transform(test))[:, 1]
        for c in range(4)
    ]
    expected = (np.argmax(one_for_each, axis=0) == test_labels).mean()
    assert logistic_ovr(train, train_labels, test, test_labels).test == pytest.approx(expected, abs=0.011)


def test_multinomial_equals_scikit_learn():
    train, train_labels, test, test_labels = blobs(spread=5)
    train, test = train.astype(np.float32), test.astype(np.float32)
    scaler = StandardScaler().fit(train.astype(float))
    reference = LogisticRegression(max_iter=200).fit(scaler.transform(train.astype(float)), train_labels)
    expected = reference.predict(scaler.transform(test.astype(float)))
    result = logistic_multinomial(train, train_labels, test, test_labels)
    assert result.method == "logistic_multinomial"
    assert result.test == (expected == test_labels).mean()
    assert result.balanced == pytest.approx(balanced_accuracy_score(test_labels, expected))


def test_with_two_labels_both_regressions_are_the_same():
    train, train_labels, test, test_labels = blobs(spread=8, classes=2)
    one, other = (
        probe(train, train_labels, test, test_labels) for probe in (logistic_ovr, logistic_multinomial)
    )
    assert one.test < 1
    assert one.confusion.tolist() == other.confusion.tolist()


@PROBES
def test_balanced_accuracy_gives_each_label_the_same_weight(probe):
    train, train_labels, test, test_labels = blobs(spread=6)
    few = (test_labels != 3) | (np.cumsum(test_labels == 3) <= 5)
    result = probe(train, train_labels, test[few], test_labels[few])
    recalls = np.diag(result.confusion) / result.confusion.sum(axis=1)
    assert result.confusion.sum(axis=1)[3] == 5
    assert result.balanced == pytest.approx(recalls.mean())
    assert result.balanced != pytest.approx(result.test)


@PROBES
def test_labels_that_the_test_set_lacks_do_not_count_in_the_balanced_accuracy(probe):
    train, train_labels, test, test_labels = blobs(spread=0.5)
    known = test_labels < 2
    assert probe(train, train_labels, test[known], test_labels[known]).balanced == 1


@PROBES
def test_balanced_accuracy_of_a_label_unseen_in_training_by_hand(probe):
    train, train_labels, test, test_labels = blobs(spread=0.5)
    known = train_labels != 2
    assert probe(train[known], train_labels[known], test, test_labels).balanced == pytest.approx(3 / 4)


@PROBES
def test_intervals_hold_the_figures_and_are_those_of_the_right_answers(probe):
    result = probe(*blobs(spread=6))
    n_right = int(np.trace(result.confusion))
    right = np.arange(result.confusion.sum()) < n_right
    assert result.interval["test"] == accuracy_interval(right)
    for name, value in (("test", result.test), ("balanced", result.balanced)):
        low, high = result.interval[name]
        assert 0 <= low < value < high <= 1
        assert high - low < 0.2


@PROBES
def test_groups_of_the_test_set_are_what_the_intervals_count(probe):
    train, train_labels, test, test_labels = blobs(800, spread=0.5)
    # Of four slides the labels of one are wrong, so that all answers there are
    slides = np.repeat(["a", "b", "c", "d"], 100)
    labels = np.where(slides == "a", (test_labels + 1) % 4, test_labels)
    alone = probe(train, train_labels, test, labels)
    grouped = probe(train, train_labels, test, labels, test_groups=slides)
    assert alone.test == grouped.test == 0.75
    assert grouped.interval["test"] == mean_interval(slides != "a", slides)
    assert grouped.interval["balanced"] == balanced_interval(slides != "a", labels, slides)
    for name in ("test", "balanced"):
        assert np.ptp(grouped.interval[name]) > 3 * np.ptp(alone.interval[name])


@PROBES
@pytest.mark.parametrize("seed", range(3))
def test_noise_says_nothing_about_labels(probe, seed):
    rng = np.random.default_rng(seed)
    noise, labels = rng.normal(size=(2000, 8)), rng.integers(0, 4, 2000)
    result = probe(noise[:1000], labels[:1000], noise[1000:], labels[1000:])
    for name in ("test", "balanced"):
        low, high = result.interval[name]
        assert low < 0.25 < high


def test_knn_equals_scikit_learn_and_leaves_one_out():
    train, train_labels, test, test_labels = blobs(spread=6)
    result = knn(train, train_labels, test, test_labels, neighbours=3)
    reference = KNeighborsClassifier(3).fit(train, train_labels)
    assert result.test == pytest.approx(reference.score(test, test_labels))
    alone = [
        KNeighborsClassifier(3)
        .fit(np.delete(train, i, 0), np.delete(train_labels, i))
        .predict(train[i : i + 1])[0]
        for i in range(len(train))
    ]
    assert result.train == pytest.approx(np.mean(np.array(alone) == train_labels))


@pytest.mark.parametrize("probe", [logistic_ovr, logistic_multinomial, partial(knn, neighbours=1)])
@pytest.mark.parametrize(
    "names",
    [["b", "a", "z", "é"], [-5, 100, 7, 0], [2.0, 1.0, 3.0, 7.0], np.array([9, 8, 7, 6], np.uint8)],
    ids=["strings", "gaps", "float integers", "uint8"],
)
def test_names_of_labels_do_not_matter(probe, names):
    train, train_labels, test, test_labels = blobs(spread=6)
    names = np.array(names)
    plain = probe(train, train_labels, test, test_labels)
    named = probe(train, names[train_labels], test, names[test_labels])
    order = np.argsort(names)
    assert named.classes == names[order].tolist()
    assert named.train == pytest.approx(plain.train, abs=0.01)
    np.testing.assert_allclose(named.confusion, plain.confusion[np.ix_(order, order)], atol=1)


@PROBES
def test_booleans_are_two_labels(probe):
    train, train_labels, test, test_labels = blobs(spread=0.5)
    result = probe(train, train_labels > 1, test, test_labels > 1)
    assert result.classes == [False, True]
    assert set(result.report) >= {"False", "True", "accuracy"}


@PROBES
def test_a_label_that_only_the_test_set_has_is_an_error(probe):
    train, train_labels, test, test_labels = blobs(spread=0.5)
    known = train_labels != 2
    result = probe(train[known], train_labels[known], test, test_labels)
    unknown = int((test_labels == 2).sum())
    assert result.classes == [0, 1, 2, 3]
    assert result.confusion[:, 2].sum() == 0
    assert result.confusion[2].sum() == unknown
    assert result.test == pytest.approx(1 - unknown / len(test))


@PROBES
def test_constant_and_convolutional_latents_are_fine(probe):
    train, train_labels, test, test_labels = blobs(spread=0.5)
    padded = [np.pad(x, [(0, 0), (0, 3)], constant_values=0.1).reshape(-1, 2, 2, 2) for x in (train, test)]
    assert probe(padded[0], train_labels, padded[1], test_labels).test == 1
    same = probe(np.ones((6, 2)), [0, 0, 0, 0, 1, 1], np.ones((2, 2)), [0, 1])
    assert same.test == 0.5


@REGRESSIONS
def test_the_unit_of_a_latent_does_not_matter_to_the_regression(probe):
    train, train_labels, test, test_labels = blobs(spread=6)
    units = np.array([1e6, 1e-6, 1, 1e3, 1e-3])
    plain = probe(train, train_labels, test, test_labels)
    scaled = probe(train * units, train_labels, test * units, test_labels)
    np.testing.assert_allclose(scaled.confusion, plain.confusion, atol=1)


@REGRESSIONS
def test_too_few_iterations_are_reported_without_a_warning(probe):
    sets = blobs(spread=6)
    assert not probe(*sets, max_iter=1).converged
    assert probe(*sets).converged


def test_knn_takes_fewer_neighbours_where_there_are_no_more():
    result = knn([[0.0], [0.1], [9.0]], ["a", "a", "b"], [[0.2], [8.0]], ["a", "b"], neighbours=50)
    assert result.test == 0.5  # with two neighbours at most, 8.0 meets both labels and the first wins


def test_every_set_of_variables_is_asked_by_every_probe():
    train, train_labels, test, test_labels = blobs(spread=3)
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(len(train), 2)), rng.normal(size=(len(test), 2))
    slides = np.arange(len(test)) % 7
    sets = {"latents": (train, test), "noise": noise}
    found = compare_probes(sets, train_labels, test_labels, slides, seed=1)
    assert list(found) == ["latents", "noise"]
    assert list(found["noise"]) == ["logistic_ovr", "logistic_multinomial", "knn"]
    assert all(method == probe.method for probes in found.values() for method, probe in probes.items())
    alone = knn(train, train_labels, test, test_labels, test_groups=slides)
    assert found["latents"]["knn"].interval == alone.interval
    assert found["latents"]["knn"].confusion.tolist() == alone.confusion.tolist()
    assert all(
        found["latents"][method].test > 0.8 > 0.5 > found["noise"][method].test for method in found["noise"]
    )


def test_reports_are_plain_values():
    report = logistic_ovr(*blobs(spread=6)).report
    numbers = [value for row in report.values() if isinstance(row, dict) for value in row.values()]
    assert all(isinstance(value, int | float) for value in numbers)


@PROBES
def test_sets_that_cannot_be_used_are_refused(probe):
    train, train_labels, test, test_labels = blobs(40)
    with pytest.raises(DataError, match=r"at least two different labels\. Received only 'a'"):
        probe(train, ["a"] * 20, test, test_labels)
    with pytest.raises(DataError, match=r"train_labels must hold one label for each image\. Received 19"):
        probe(train, train_labels[1:], test, test_labels)
    with pytest.raises(DataError, match=r"test_labels must hold one label for each image\. Received 19"):
        probe(train, train_labels, test, test_labels[1:])
    with pytest.raises(
        DataError, match=r"test_groups must hold one group for each image\. Received 3 groups"
    ):
        probe(train, train_labels, test, test_labels, test_groups=[0, 1, 1])
    with pytest.raises(DataError, match="test_groups must not be missing"):
        probe(train, train_labels, test, test_labels, test_groups=[None] * 20)
    with pytest.raises(DataError, match="test_latents must have 5 features"):
        probe(train, train_labels, test[:, :4], test_labels)
    with pytest.raises(DataError, match="train_latents must be finite"):
        probe(train * np.nan, train_labels, test, test_labels)
    with pytest.raises(DataError, match="test_labels must not be missing"):
        probe(train, train_labels, test, [None] * 20)
    with pytest.raises(DataError, match="test_latents must have shape"):
        probe(train, train_labels, test[:0], test_labels[:0])


def test_options_out_of_range_are_refused():
    sets = blobs(40)
    for regression in (logistic_ovr, logistic_multinomial):
        with pytest.raises(OptionError, match="max_iter must be an integer of at least 1"):
            regression(*sets, max_iter=0)
    with pytest.raises(OptionError, match="neighbours must be an integer of at least 1"):
        knn(*sets, neighbours=0)
    with pytest.raises(OptionError, match="seed must be an integer from 0"):
        logistic_ovr(*sets, seed=-1)
