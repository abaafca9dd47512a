"""Planted cases whose answer is known: what latents and clusters know beside the label."""

import json
from collections import Counter

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import adjusted_mutual_info_score, balanced_accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from caescope.analysis.clustering import kmeans
from caescope.analysis.columns import parse_category, parse_column, why_useless
from caescope.analysis.confounders import (
    follows,
    judge_confounder,
    judge_confounders,
    leave_one_group_out,
)
from caescope.errors import DataError, OptionError


def planted(n: int = 1200, label: float = 2, slide: float = 6, n_slides: int = 4, seed: int = 0):
    """Return latents, labels (3) and slides: a place for each label, an offset for each slide, and noise."""
    rng = np.random.default_rng(seed)
    labels, slides = rng.integers(0, 3, n), rng.integers(0, n_slides, n)
    places, offsets = rng.normal(size=(3, 6)) * label, rng.normal(size=(n_slides, 6)) * slide
    latents = places[labels] + offsets[slides] + rng.normal(size=(n, 6))
    return latents, np.array(["a", "b", "c"])[labels], np.array([f"slide {i}" for i in slides])


# Columns


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["x", "y"] * 30, "category"),
        ([True, False] * 30, "category"),
        (np.arange(60) % 50, "category"),
        (np.arange(60) % 51, "number"),
        ([0.0, 1.0, np.nan] * 20, "category"),  # whole numbers with holes are floats in most tables
        ([0.25, 0.5, None] * 20, "number"),
        (np.arange(60) / 7, "number"),
        (np.float32([0.5, 1.5] * 30), "number"),
        (["1", 2, 3.5] * 20, "category"),
    ],
)
def test_kinds_of_columns(values, kind):
    column = parse_column(values, 60)
    assert column.kind == kind
    assert (column.numbers is None) == (kind == "category")


def test_numbers_are_quartered_by_rank_and_equal_ones_stay_together():
    assert np.bincount(parse_column(np.arange(100) / 3, 100).codes).tolist() == [25, 25, 25, 25]
    for share in (10, 50, 90):
        codes = parse_column([0.25] * share + [0.5] * (100 - share), 100).codes
        assert len({*codes[:share]}) == len({*codes[share:]}) == 1
        assert codes[0] < codes[-1]


@pytest.mark.parametrize(
    "values",
    [["a", None, "b", float("nan"), "a"], np.ma.array(["a", "z", "b", "", "a"], mask=[0, 1, 0, 1, 0])],
    ids=["None and NaN", "masked"],
)
def test_missing_values_are_marked(values):
    column = parse_category(values, 5)
    assert column.codes.tolist() == [0, -1, 1, -1, 0]
    assert column.names == ["a", "b"]
    assert column.known.tolist() == [True, False, True, False, True]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (["a"] * 20, "the same for every image"),
        ([3] * 20, "the same for every image"),
        ([0.5] * 20, "the same for every image"),
        (["a", None] * 10, "the same for every image"),
        ([None] * 20, "missing for every image"),
        ([f"image {i}" for i in range(20)], "different for every image"),
        (["a"] * 16 + ["b"] * 4, "without two values that have 5 images each"),
        ([0.5, 1.5] * 4 + [None] * 12, "known for fewer than 10 images"),
        (["a"] * 15 + ["b"] * 5, None),
        (list(np.arange(20) / 3), None),
        (list(range(1000, 1020)), "different for every image"),
    ],
)
def test_columns_that_say_nothing(values, reason):
    assert why_useless(parse_column(values, 20)) == reason


# One column


def test_agreement_and_entropy_equal_scikit_learn_and_a_count_by_hand():
    latents, labels, _ = planted()
    clusters = kmeans(latents, 5).labels
    judged = judge_confounder(latents, labels, clusters)
    assert judged["agreement"] == pytest.approx(adjusted_mutual_info_score(labels, clusters))
    for cluster in range(5):
        counts = np.array([*Counter(labels[clusters == cluster]).values()])
        shares = counts / counts.sum()
        assert judged["entropy"][str(cluster)] == pytest.approx(-(shares * np.log2(shares)).sum())


def test_agreement_and_entropy_of_a_number_are_those_of_its_quarters():
    latents, *_ = planted(400)
    number = latents[:, 0]
    quarters = np.searchsorted(np.quantile(number, [0.25, 0.5, 0.75]), number)
    judged = judge_confounder(latents, number, quarters)
    assert judged["kind"] == "number"
    assert judged["agreement"] == pytest.approx(1)
    assert judged["entropy"] == {"0": 0, "1": 0, "2": 0, "3": 0}
    assert judge_confounder(latents, number, np.zeros(400))["entropy"] == {"0.0": 2}


def test_the_score_of_a_category_is_that_of_a_balanced_regression():
    latents, labels, _ = planted(3000, label=0.5, slide=0)
    judged = judge_confounder(latents, labels, labels)
    half = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced"))
    half.fit(latents[:2400], labels[:2400])
    expected = balanced_accuracy_score(labels[2400:], half.predict(latents[2400:]))
    assert judged["score"] == pytest.approx(expected, abs=0.04)
    assert judged["chance"] == pytest.approx(1 / 3)
    assert judged["images"] == 3000
    assert judged["interval"][0] < judged["score"] < judged["interval"][1]


def test_an_uneven_category_is_found_as_well_as_an_even_one():
    rng = np.random.default_rng(0)
    rare = rng.random(3000) < 0.05
    latents = rng.normal(size=(3000, 3)) + 2 * rare[:, None]
    judged = judge_confounder(latents, rare, np.zeros(3000))
    assert judged["chance"] == 0.5
    assert judged["score"] > 0.9


@pytest.mark.parametrize("unit", [1e-12, 1, 1e15, 1e200])
def test_the_score_of_a_number_is_the_share_of_its_variance(unit):
    rng = np.random.default_rng(0)
    latents = rng.normal(size=(2000, 4))
    number = (latents @ [1, 2, 0, 0] + np.sqrt(5) * rng.normal(size=2000)) * unit
    judged = judge_confounder(latents, number, np.zeros(2000))
    assert judged["score"] == pytest.approx(0.5, abs=0.04)
    assert judged["interval"][0] < judged["score"] < judged["interval"][1]
    assert np.ptp(judged["interval"]) < 0.1
    assert judge_confounder(latents, latents[:, 0] * unit, np.zeros(2000))["score"] == pytest.approx(1)


@pytest.mark.parametrize("seed", range(3))
def test_noise_knows_nothing(seed):
    rng = np.random.default_rng(seed)
    latents, clusters = rng.normal(size=(1500, 8)), rng.integers(0, 6, 1500)
    columns = {
        "category": rng.integers(0, 4, 1500).astype(str),
        "flag": rng.random(1500) < 0.2,
        "number": rng.normal(size=1500),
    }
    judged = judge_confounders(latents, columns, clusters, labels=rng.integers(0, 3, 1500))
    assert judged["followed"] == []
    for facts in judged["columns"].values():
        # An R² of noise is a little below that of a guess; what must not be is an interval above chance
        assert facts["interval"][0] <= facts["chance"]
        assert facts["score"] == pytest.approx(facts["chance"], abs=0.05)
        assert facts["agreement"] == pytest.approx(0, abs=0.01)
    left_out = judged["columns"]["category"]["left_out"]
    assert left_out["accuracy"] == pytest.approx(1 / 3, abs=0.05)


def test_the_interval_of_noise_mostly_holds_chance():
    rng = np.random.default_rng(0)
    found = []
    for _ in range(20):
        latents, values = rng.normal(size=(300, 4)), rng.integers(0, 3, 300)
        judged = judge_confounder(latents, values, values)
        found.append(judged["interval"][0] <= 1 / 3 <= judged["interval"][1])
    assert np.mean(found) >= 0.8


def test_missing_values_are_counted_and_change_nothing_else():
    latents, _, slides = planted(600)
    clusters = kmeans(latents, 4).labels
    known = np.random.default_rng(0).random(600) < 0.7
    for holes in (np.where(known, slides, None), np.ma.array(slides, mask=~known)):
        judged = judge_confounder(latents, holes, clusters)
        alone = judge_confounder(latents[known], slides[known], clusters[known])
        assert judged["missing"] == (~known).sum()
        assert judged == alone | {"missing": judged["missing"]}


def test_rare_values_are_left_out_of_the_score_only():
    latents, labels, _ = planted(300)
    values = labels.astype("<U10")
    values[:4] = "rare"
    judged = judge_confounder(latents, values, labels)
    assert judged["values"] == 4
    assert judged["images"] == 296
    assert judged["chance"] == pytest.approx(1 / 3)
    assert judged["agreement"] == pytest.approx(adjusted_mutual_info_score(values, labels))


def test_many_images_and_many_values_are_sampled():
    rng = np.random.default_rng(0)
    slides = rng.integers(0, 80, 30_000)
    latents = (slides[:, None] == np.arange(80)) * 4.0
    judged = judge_confounder(latents, [f"{slide:02}" for slide in slides], slides % 2)
    assert judged["values"] == 80
    assert judged["images"] == 10_000  # 200 of each of the 50 commonest
    assert judged["chance"] == 1 / 50
    assert judged["score"] == 1
    assert judge_confounder(latents, slides / 7, slides % 2)["images"] == 10_000


def test_a_number_that_hardly_varies_scores_nothing_where_the_sample_misses_it():
    latents = np.random.default_rng(0).normal(size=(40_000, 2))
    values = np.full(40_000, 0.5)
    values[[3]] = 0.75
    judged = judge_confounder(latents, values, latents[:, 0] > 0, seed=1)
    assert judged["score"] <= 0.01
    assert np.isfinite(judged["interval"]).all()


def test_the_same_seed_gives_the_same_figures():
    latents, labels, slides = planted(500, label=1, slide=1)
    first, same, other = (judge_confounder(latents, slides, labels, seed) for seed in (0, 0, 1))
    assert first == same
    assert first["interval"] != other["interval"]
    assert first["agreement"] == other["agreement"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["a"] * 30, r"values must differ between images.*Received values the same for every image"),
        ([str(i) for i in range(30)], "Received values different for every image"),
        (["a"] * 29, "values must hold one value for each image"),
        ([["a"]] * 30, "values must hold one value for each image"),
        ([0.5, np.inf] * 15, "values must be finite"),
    ],
)
def test_a_column_that_cannot_be_judged_is_refused(values, message):
    with pytest.raises(DataError, match=message):
        judge_confounder(np.zeros((30, 2)), values, np.zeros(30))


def test_clusters_and_seeds_that_cannot_be_used_are_refused():
    latents, labels, _ = planted(60)
    with pytest.raises(
        DataError, match=r"clusters must hold one value for each image\. Received 59 clusters"
    ):
        judge_confounder(latents, labels, [0] * 59)
    with pytest.raises(OptionError, match="seed must be an integer"):
        judge_confounder(latents, labels, [0] * 60, seed=-1)
    with pytest.raises(DataError, match="latents must be finite"):
        judge_confounder(latents * np.nan, labels, [0] * 60)


def test_constant_latents_are_at_chance():
    slides = planted(200)[2]
    judged = judge_confounders(np.ones((200, 3)), {"slide": slides, "number": np.arange(200) / 7}, slides)
    assert judged["columns"]["slide"]["score"] == 0.25
    assert judged["columns"]["number"]["score"] == pytest.approx(0, abs=0.05)


# All columns


@pytest.mark.parametrize("k", [4, 8, 12])
@pytest.mark.parametrize("seed", range(2))
def test_labels_plus_a_slide_offset_are_found_to_follow_the_slide(k, seed):
    latents, labels, slides = planted(seed=seed)
    columns = {"noise": np.random.default_rng(seed).normal(size=len(labels)), "slide": slides}
    judged = judge_confounders(latents, columns, kmeans(latents, k).labels, labels)
    assert judged["followed"] == ["slide"]
    slide = judged["columns"]["slide"]
    assert slide["score"] > 0.95
    assert slide["agreement"] > judged["label"]["agreement"]
    # The probe has learnt the slides: it is lost on one that it has not seen
    assert slide["left_out"]["random"] > slide["left_out"]["accuracy"] + 0.2
    assert not slide["one_label"]


def test_clusters_of_the_label_do_not_follow_the_slide():
    latents, labels, slides = planted(label=6, slide=0.2)
    judged = judge_confounders(latents, {"slide": slides}, kmeans(latents, 3).labels, labels)
    assert judged["label"]["agreement"] == pytest.approx(1, abs=0.01)
    assert judged["followed"] == []
    left_out = judged["columns"]["slide"]["left_out"]
    assert left_out["accuracy"] == pytest.approx(left_out["random"], abs=0.01)


@pytest.mark.parametrize("k", [3, 6, 12, 20])
def test_slides_of_one_label_each_are_not_followed_by_clean_clusters_of_the_label(k):
    rng = np.random.default_rng(0)
    slides = rng.integers(0, 12, 1200)
    labels = slides % 3
    latents = rng.normal(size=(3, 6))[labels] * 6 + rng.normal(size=(1200, 6))
    judged = judge_confounders(latents, {"slide": slides}, kmeans(latents, k).labels, labels)
    assert judged["columns"]["slide"]["one_label"]
    assert judged["columns"]["slide"]["agreement"] > 0.3
    assert judged["followed"] == []


def test_slides_of_one_label_each_are_followed_where_every_slide_is_a_cluster():
    rng = np.random.default_rng(0)
    slides = rng.integers(0, 12, 1200)
    latents = rng.normal(size=(12, 6))[slides] * 6 + rng.normal(size=(1200, 6)) / 4
    judged = judge_confounders(latents, {"slide": slides}, kmeans(latents, 12).labels, slides % 3)
    assert judged["followed"] == ["slide"]


def test_the_label_by_another_name_is_not_followed_and_cannot_be_left_out():
    latents, labels, _ = planted(label=6, slide=0)
    names = np.char.add("ward ", labels)
    judged = judge_confounders(latents, {"ward": names}, kmeans(latents, 3).labels, labels)
    assert judged["columns"]["ward"]["agreement"] == pytest.approx(judged["label"]["agreement"])
    assert judged["columns"]["ward"]["one_label"]
    assert "left_out" not in judged["columns"]["ward"]
    assert judged["followed"] == []


def test_without_labels_a_column_must_agree_well_by_itself():
    latents, _, slides = planted()
    columns = {"half": latents[:, 0] + np.random.default_rng(0).normal(size=1200) * 60, "slide": slides}
    judged = judge_confounders(latents, columns, kmeans(latents, 4).labels)
    assert "label" not in judged
    assert judged["followed"] == ["slide"]
    assert "one_label" not in judged["columns"]["slide"]


def test_the_rule_at_its_edges():
    assert follows(0.3)
    assert not follows(0.29)
    assert follows(0.1, 0.0)
    assert not follows(0.09, 0.0)
    assert follows(0.53, 0.5)
    assert not follows(0.51, 0.5)
    assert not follows(-0.01, -0.5)


def test_the_strongest_column_comes_first_and_useless_ones_say_why():
    latents, labels, slides = planted()
    scanner = np.where(slides < "slide 2", "old", "new")
    columns = {
        "scanner": scanner,
        "site": ["here"] * 1200,
        "file": [f"{i}.png" for i in range(1200)],
        "slide": slides,
        "stain": [None] * 1200,
    }
    judged = judge_confounders(latents, columns, kmeans(latents, 4).labels, labels)
    assert judged["followed"] == ["slide", "scanner"]
    assert list(judged["columns"]) == ["scanner", "slide"]
    assert judged["skipped"] == {
        "site": "the same for every image",
        "file": "different for every image",
        "stain": "missing for every image",
    }
    assert json.loads(json.dumps(judged))["columns"]["slide"]["kind"] == "category"


def test_labels_may_be_missing():
    latents, labels, slides = planted()
    clusters = kmeans(latents, 8).labels
    known = np.random.default_rng(0).random(1200) < 0.5
    judged = judge_confounders(latents, {"slide": slides}, clusters, np.ma.array(labels, mask=~known))
    expected = adjusted_mutual_info_score(labels[known], clusters[known])
    assert judged["label"]["agreement"] == pytest.approx(expected)
    assert judged["columns"]["slide"]["missing"] == 0
    assert judged["columns"]["slide"]["left_out"] == leave_one_group_out(
        latents[known], labels[known], slides[known]
    )


def test_only_the_groups_asked_for_are_left_out():
    latents, labels, slides = planted(300)
    columns = {"slide": slides, "scanner": slides < "slide 2"}
    judged = judge_confounders(latents, columns, slides, labels, groups=["slide"])
    assert "left_out" in judged["columns"]["slide"]
    assert "left_out" not in judged["columns"]["scanner"]
    with pytest.raises(OptionError, match=r"groups must be columns: slide, scanner\. Received 'patient'"):
        judge_confounders(latents, columns, slides, labels, groups=["patient"])


def test_nothing_to_judge_is_no_error():
    latents, labels, _ = planted(60)
    assert judge_confounders(latents, {}, [0] * 60) == {"columns": {}, "skipped": {}, "followed": []}
    assert judge_confounders(latents, {}, labels, labels)["label"] == {"agreement": pytest.approx(1)}


def test_the_column_at_fault_is_named():
    latents, labels, _ = planted(60)
    with pytest.raises(DataError, match="column mean red must be finite"):
        judge_confounders(latents, {"mean red": [np.inf] * 60}, labels)
    with pytest.raises(DataError, match="column slide must hold one value for each image"):
        judge_confounders(latents, {"slide": ["a"]}, labels)
    with pytest.raises(DataError, match="labels must hold one value for each image"):
        judge_confounders(latents, {}, labels, labels[1:])


# One group out


def test_each_group_is_judged_by_a_probe_that_has_not_seen_it():
    latents, labels, slides = planted(600, slide=1)
    judged = leave_one_group_out(latents, labels, slides)
    for name in np.unique(slides):
        out = slides == name
        probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        expected = probe.fit(latents[~out], labels[~out]).score(latents[out], labels[out])
        assert judged["groups"][name] == pytest.approx(expected, abs=0.01)
    weights = [np.mean(slides == name) for name in judged["groups"]]
    assert judged["accuracy"] == pytest.approx(np.dot(weights, list(judged["groups"].values())))
    assert judged["random"] > judged["accuracy"]
    assert judged["unseen"] == 0


def test_a_label_of_one_group_only_is_an_error_there():
    latents, labels, slides = planted(label=8, slide=0)
    labels = np.where((slides == "slide 3") & (labels == "c"), "d", labels)
    judged = leave_one_group_out(latents, labels, slides)
    assert judged["unseen"] == pytest.approx(np.mean(labels == "d"))
    assert judged["accuracy"] == pytest.approx(1 - judged["unseen"], abs=0.005)
    assert judged["groups"]["slide 0"] > 0.99


def test_a_fold_without_two_labels_elsewhere_does_not_count():
    latents = np.random.default_rng(0).normal(size=(60, 2))
    groups = np.repeat(["a", "b", "c"], 20)
    # Without group b all other labels are 0
    labels = np.where(groups == "b", np.arange(60) % 2, 0)
    judged = leave_one_group_out(latents, labels, groups)
    assert list(judged["groups"]) == ["a", "c"]
    assert judged["unseen"] == 0


def test_where_no_fold_can_be_judged_nothing_is_said():
    judged = leave_one_group_out(np.arange(20.0)[:, None], [0] * 10 + [1] * 10, ["a"] * 10 + ["b"] * 10)
    assert judged == {"groups": {}}


def test_many_groups_are_put_together_but_told_apart():
    latents, labels, slides = planted(2400, n_slides=240, slide=0.5)
    judged = leave_one_group_out(latents, labels, slides)
    counts = Counter(slides.tolist())
    assert len(judged["groups"]) == 200
    least = min(counts[name] for name in judged["groups"])
    assert all(count <= least for name, count in counts.items() if name not in judged["groups"])
    fewer = leave_one_group_out(latents, labels, slides, most_groups=2)
    assert fewer["accuracy"] != judged["accuracy"]


def test_many_images_are_sampled():
    latents, labels, slides = planted(12_000, slide=0.5)
    judged = leave_one_group_out(latents, labels, slides)
    assert judged["accuracy"] * 10_000 == pytest.approx(round(judged["accuracy"] * 10_000))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": ["a"] * 60}, r"labels must hold one value for each image, and two different ones"),
        ({"groups": ["a"] * 60}, r"groups must hold one .*Received 60 of 1 kinds for 60 images"),
        ({"groups": ["a", "b"]}, r"groups must hold one .*Received 2 of 2 kinds for 60 images"),
        ({"labels": [None] * 60}, "labels must not be missing"),
        ({"latents": [[np.nan]] * 60}, "latents must be finite"),
    ],
)
def test_what_cannot_be_left_out_is_refused(change, message):
    latents, labels, slides = planted(60)
    with pytest.raises(DataError, match=message):
        leave_one_group_out(**({"latents": latents, "labels": labels, "groups": slides} | change))


@pytest.mark.parametrize("option", [{"most_groups": 1}, {"most_groups": 2.5}, {"seed": -1}])
def test_options_out_of_range_are_refused(option):
    latents, labels, slides = planted(60)
    with pytest.raises(OptionError, match=f"{next(iter(option))} must be an integer"):
        leave_one_group_out(latents, labels, slides, **option)
