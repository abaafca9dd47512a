"""Slides as wholes: planted truths are found, noise is called noise, and no slide teaches its own label."""

import json
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caescope.analysis import group_level
from caescope.analysis.aggregating import aggregate
from caescope.analysis.group_level import judge_groups
from caescope.analysis.intervals import mean_recall_interval
from caescope.errors import DataError
from caescope.pipeline import analyze, run
from caescope.plots import plot_group_clusters

EVIL = "<script>alert('&')</script>"


def slides_of(counts, offset=0.0, tiles=12, features=5, seed=0):
    """Return latents, clusters, slides and labels: slides are normal, and moved apart by their label."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(counts)), counts)
    places = rng.normal(size=(len(labels), features)) + offset * np.eye(len(counts), features)[labels]
    rows = np.repeat(np.arange(len(labels)), tiles)
    rng.shuffle(rows)
    latents = places[rows] + rng.normal(size=(len(rows), features))
    names = np.array(["benign", "malignant", "unclear"])[labels[rows]]
    return latents, rng.integers(0, 3, len(rows)), np.array([f"s{row:03d}" for row in rows]), names


def words(made) -> str:
    """Return the text of a report without its markup."""
    page = re.sub(r"<style>.*?</style>", " ", made.report.read_text(), flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page))


@pytest.fixture
def few_shuffles(monkeypatch):
    monkeypatch.setattr(group_level, "SHUFFLES", 20)


# --- means and shares


def test_means_and_shares_by_hand():
    found = aggregate(
        [[0.0, 1.0], [5.0, 5.0], [2.0, 3.0], [4.0, 2.0], [1.0, 1.0]],
        [0, 2, 0, 2, -1],
        ["b", "a", "b", "b", "a"],
    )
    assert found.names == ["a", "b"]
    assert found.images.tolist() == [2, 3]
    assert found.means.tolist() == [[3.0, 3.0], [2.0, 2.0]]
    assert found.clusters == ["0", "1", "2", "none"]  # 1 is empty, and stays in its place
    np.testing.assert_allclose(found.shares, [[0, 0, 1 / 2, 1 / 2], [2 / 3, 0, 1 / 3, 0]])


def test_without_images_in_no_cluster_there_is_no_such_bin():
    assert aggregate([[0.0], [1.0]], [0, 1], [7, 7]).clusters == ["0", "1"]
    assert aggregate([[0.0], [1.0]], [-1, -1], [7, 7]).shares.tolist() == [[1.0]]


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(-1, 3), st.floats(-9, 9)), min_size=1, max_size=40))
def test_groups_add_up_to_all_images(rows):
    groups, clusters, values = (list(column) for column in zip(*rows, strict=True))
    found = aggregate(np.array(values)[:, None], np.array(clusters), groups)
    assert found.names == sorted(set(groups))
    assert found.images.sum() == len(rows)
    np.testing.assert_allclose(found.shares.sum(axis=1), 1)
    np.testing.assert_allclose(found.images @ found.means[:, 0], sum(values), atol=1e-4)


@pytest.mark.parametrize(
    ("clusters", "groups", "message"),
    [
        ([0, 1], ["a"], "one value for each image. Received 2 clusters and 1 groups for 2 images"),
        ([0.5, 1.0], ["a", "b"], "clusters must be one whole number for each image"),
        ([0, 1], ["a", None], "groups"),
    ],
)
def test_what_does_not_fit_gets_a_sentence(clusters, groups, message):
    with pytest.raises(DataError, match=message):
        aggregate([[0.0], [1.0]], clusters, groups)


# --- labels of slides


def test_a_planted_offset_is_found():
    facts = judge_groups(*slides_of((8, 8), offset=8.0)).facts
    assert facts["latents"]["accuracy"] == facts["latents"]["balanced"] == 1.0
    assert facts["latents"]["interval"]["accuracy"] == pytest.approx([0.8064, 1.0], abs=1e-4)
    assert facts["latents"]["interval"]["balanced"][0] < 0.9
    assert facts["shuffled"]["p"] <= 0.02
    assert facts["labels"] == {"benign": 8, "malignant": 8}
    assert (facts["groups"], facts["images"], facts["folds"], facts["repeats"]) == (16, 192, 16, 1)
    low, high = facts["clusters"]["interval"]["balanced"]  # these clusters are noise
    assert low <= 0.5 <= high
    json.dumps(facts, allow_nan=False)


@pytest.mark.parametrize("counts", [(7, 7), (10, 4), (5, 5, 5)])
def test_noise_is_called_noise(few_shuffles, counts):
    chance, inside, ps = 1 / len(counts), [], []
    for seed in range(10):
        facts = judge_groups(*slides_of(counts, seed=seed)).facts
        low, high = facts["latents"]["interval"]["balanced"]
        inside.append(low <= chance <= high)
        ps.append(facts["shuffled"]["p"])
        assert abs(facts["shuffled"]["balanced"] - chance) < 0.15
    assert (
        sum(inside) >= 8
    )  # nearly nineteen in twenty: guesses of slides left out in turn are not independent
    assert sum(p <= 0.05 for p in ps) <= 1
    assert np.mean(ps) > 0.25


def test_a_slide_left_out_does_not_teach_its_own_label(few_shuffles):
    """Each slide has a feature of its own: whoever has seen one of its tiles knows all of its label."""
    _, _, slides, labels = slides_of((8, 8), seed=3)
    codes = np.unique(slides, return_inverse=True)[1]
    facts = judge_groups(np.eye(16)[codes], codes, slides, labels, {"pca": np.eye(16)[codes]}).facts
    for scores in (facts["latents"], facts["clusters"], facts["baselines"]["pca"]):
        assert scores["accuracy"] <= 0.5
    assert facts["shuffled"]["p"] > 0.5


def test_the_commonest_label_is_that_of_the_others(few_shuffles):
    even = judge_groups(*slides_of((4, 4))).facts["commonest"]
    assert (even["accuracy"], even["balanced"]) == (0.0, 0.0)  # without it, the other label is commoner
    uneven = judge_groups(*slides_of((6, 2))).facts["commonest"]
    assert (uneven["accuracy"], uneven["balanced"]) == (0.75, 0.5)


def test_many_slides_are_left_out_a_tenth_at_a_time(few_shuffles):
    facts = judge_groups(*slides_of((70, 40, 2), offset=6.0, tiles=2)).facts
    assert (facts["groups"], facts["folds"], facts["repeats"]) == (112, 10, 3)
    assert facts["latents"]["accuracy"] > 0.95
    assert facts["commonest"]["accuracy"] == 70 / 112
    folds = group_level._draw_folds(np.repeat([0, 1, 2], [70, 40, 2]), 100, 3, seed=0)
    for row in folds:
        assert np.bincount(row[:70]).tolist() == [7] * 10
        assert row[110] != row[111]  # so that the rare label can be learnt


def test_labels_missing_for_some_tiles_or_slides(few_shuffles):
    latents, clusters, slides, labels = slides_of((5, 5, 1), offset=8.0)
    mask = (np.arange(len(labels)) % 3 == 0) | (slides == "s000")
    judged = judge_groups(latents, clusters, slides, np.ma.array(labels, mask=mask))
    assert judged.labels == [None, *["benign"] * 4, *["malignant"] * 5, "unclear"]
    assert judged.facts["labels"] == {"benign": 4, "malignant": 5}
    assert judged.facts["single"] == ["unclear"]
    assert (judged.facts["unlabelled"], judged.facts["groups"]) == (1, 9)


def test_labels_that_differ_within_a_slide_are_not_those_of_slides():
    latents, clusters, slides, labels = slides_of((4, 4))
    labels[0] = {"benign": "malignant", "malignant": "benign"}[labels[0]]
    judged = judge_groups(latents, clusters, slides, labels)
    assert judged.facts == {}
    assert judged.skipped == "labels differ within 1 of 8 groups, so they are not those of whole groups"


@pytest.mark.parametrize("counts", [(3, 1), (1, 1), (4,)])
def test_too_few_slides_are_counted_and_not_judged(counts):
    judged = judge_groups(*slides_of(counts))
    assert judged.skipped == judged.facts["skipped"]
    assert list(judged.facts["labels"].values()) == list(counts)
    assert "latents" not in judged.facts


@pytest.mark.parametrize(
    ("slides", "labels", "reason"),
    [
        (["a", "b", "c"], [0, 1, 0], "every group is a single image"),
        (["a", "a", "b"], [None] * 3, "no label"),
    ],
)
def test_what_is_not_of_groups(slides, labels, reason):
    judged = judge_groups(np.eye(3), [0, 0, 1], slides, labels)
    assert judged.facts == {}
    assert judged.skipped.startswith(reason)


def test_the_same_seed_gives_the_same_figures(few_shuffles):
    assert judge_groups(*slides_of((4, 4)), seed=5).facts == judge_groups(*slides_of((4, 4)), seed=5).facts


# --- the interval of few


def test_the_interval_of_a_balanced_accuracy_holds_it_nineteen_times_in_twenty():
    rng, codes, recalls = np.random.default_rng(0), np.repeat([0, 1], [6, 9]), np.array([0.6, 0.9])
    ends = [mean_recall_interval(rng.random(15) < recalls[codes], codes) for _ in range(1000)]
    assert np.mean([low <= 0.75 <= high for low, high in ends]) > 0.93
    assert all(0 <= low <= high <= 1 for low, high in ends)


# --- the picture


def test_the_picture_parts_labels_and_names_them():
    ax = plot_group_clusters(
        [[0.2, 0.8], [0, 1], [1, 0]], ["s1", "s$2", "s3"], ["0", "none"], ["A", "A", None], name="slide"
    )
    assert np.asarray(ax.images[0].get_array()).tolist() == [[0.2, 0.8], [0, 1], [1, 0]]
    assert [text.get_text() for text in ax.texts] == ["A", "–"]
    assert [line.get_ydata()[0] for line in ax.lines] == [1.5]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("cluster", "slide")
    ax.figure.clear()


@pytest.mark.parametrize(
    ("shares", "labels", "message"),
    [
        ([[0.5]], None, "shares must have one row for each of groups"),
        ([[2.0], [1.0]], None, "shares must be at most 1"),
        ([[1.0], [1.0]], ["A"], "labels must hold one for each group. Received 1 for 2 groups"),
    ],
)
def test_a_picture_of_what_does_not_fit_gets_a_sentence(shares, labels, message):
    with pytest.raises(DataError, match=message):
        plot_group_clusters(shares, ["s1", "s2"], ["0"], labels)


# --- from images to the report


def planted_images(n_slides=10, tiles=20):
    """Return images with a bright bar, upright or lying by the label of their slide, and the slides."""
    rng = np.random.default_rng(0)
    slides = np.repeat(np.arange(n_slides), tiles)
    images = rng.uniform(0, 0.1, (len(slides), 8, 8, 1)).astype(np.float32)
    images[slides % 2 == 0, :, 3:5] += 0.8
    images[slides % 2 == 1, 3:5, :] += 0.8
    return images, slides


def test_a_run_judges_slides_and_reports_them(few_shuffles, tmp_path):
    images, slides = planted_images()
    labels = np.array([EVIL, "it's"])[slides % 2]
    options = {
        "epochs": 5,
        "latent_features": 3,
        "filters": (4,),
        "map": "pca",
        "clusters": 4,
        "stability": 0,
    }
    columns = {"slide": np.array([f"{EVIL} {slide}" for slide in slides])}
    made = run(images, tmp_path / "run", labels=labels, columns=columns, group="slide", verbose=0, **options)
    found = made.metrics["slides"]
    assert (found["group"], found["groups"], found["labels"]) == ("slide", 10, {EVIL: 5, "it's": 5})
    assert found["latents"]["accuracy"] == found["clusters"]["accuracy"] == 1.0
    assert set(found["baselines"]) == {"pca", "histogram"}
    by = made.metrics["protocol"]["slides"]
    assert (by["kind"], by["fitted_on"].split(";")[0]) == (
        "inductive",
        "all of 10 slides but one and their labels",
    )
    assert "transductive for the latents and clusters" in by["measured_on"]
    assert made.metrics["seconds"]["slides"] > 0
    assert (made.path / "figures" / "group_clusters.png").is_file()
    assert "names its label right for 100.0% of 10 slides" in words(made)
    assert made.report.read_text().count("<script") == 1  # the page's own
    assert "null" not in json.dumps(found)


def test_labels_of_tiles_are_left_out_with_a_line(tmp_path, capsys):
    latents, _, slides, _ = slides_of((4, 4))
    labels = np.arange(len(slides)) % 2
    options = {"map": "pca", "clusters": 3, "stability": 0}
    made = analyze(latents, tmp_path / "run", labels=labels, columns={"slide": slides}, **options)
    assert "slides" not in made.metrics
    assert "slides" not in made.metrics["protocol"]
    assert "slides: not judged as wholes, since labels differ within 8 of 8 groups" in capsys.readouterr().err
    assert "as a whole" not in words(made).replace("as a whole (", "")


def test_slides_are_judged_where_the_split_leaves_too_few_labels_for_tiles(few_shuffles, tmp_path):
    latents, _, slides, labels = slides_of((2, 2), offset=9.0)
    split = np.where(labels == "benign", "train", "validation")
    columns = {"site": slides}
    table = {f"z{i:03d}": latents[:, i] for i in range(latents.shape[1])}
    pq.write_table(pa.table({"split": split, "label": labels, **columns, **table}), tmp_path / "z.parquet")
    options = {"map": "pca", "clusters": 3, "stability": 0, "verbose": 0}
    made = analyze(tmp_path / "z.parquet", tmp_path / "run", group="site", **options)
    assert "probe" not in made.metrics
    assert made.metrics["slides"]["groups"] == 4
    assert "the mean of these numbers over each site" in words(made)
    assert "There were no labels" not in words(made)


def test_too_few_slides_are_told_in_the_report(tmp_path):
    latents, _, slides, labels = slides_of((3, 1))
    options = {"map": "pca", "clusters": 3, "stability": 0, "verbose": 0, "group": "slide"}
    made = analyze(latents, tmp_path / "run", labels=labels, columns={"slide": slides}, **options)
    assert "two labels at least must be known" in made.metrics["slides"]["skipped"]
    assert "slides" not in made.metrics["protocol"]
    assert "Labels are known for whole slides, but there are too few" in words(made)
    assert (made.path / "figures" / "group_clusters.png").is_file()


def test_of_very_many_slides_forty_are_drawn(few_shuffles, tmp_path, monkeypatch):
    latents, _, slides, labels = slides_of((30, 25), tiles=4)
    drawn = []
    monkeypatch.setattr(
        "caescope.plots.plot_group_clusters",
        lambda *a, **o: drawn.append((a, o)) or plot_group_clusters(*a, **o),
    )
    options = {"map": "pca", "clusters": 3, "stability": 0, "verbose": 0, "group": "slide"}
    made = analyze(latents, tmp_path / "run", labels=labels, columns={"slide": slides}, **options)
    (shares, names, _, kinds), named = drawn[0]
    assert (len(shares), len(set(names)), kinds, named["name"]) == (40, 40, sorted(kinds), "slide, 40 of 55")
    assert "40 of 55 are shown" in words(made)
