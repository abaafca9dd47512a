"""Five sentences that say what metrics.json says, and no more."""

import copy
import re

import pytest

from caescope.report.alarms import knows_labels, warnings_of
from caescope.report.summary import summarise

FACTS = {"n_images": {"train": 1700, "validation": 200, "test": 100}}


def probe(test, low, high, balanced=None) -> dict:
    """Return scores of a probe; the balanced accuracy and its interval are (value, low, high)."""
    value, *ends = balanced or (test, low, high)
    return {"test": test, "balanced": value, "interval": {"test": [low, high], "balanced": ends}}


METRICS = {
    "reconstruction": {
        "train": {"mse": 0.0081},
        "test": {"mse": 0.01, "interval": {"mse": [0.009, 0.011]}},
    },
    "pca_floor": {"components": 20, "test": {"mse": 0.0144}},
    "latents": {"features": 20, "dead": 0},
    "probe": {
        "split": {"kind": "random"},
        "logistic_ovr": {**probe(0.8, 0.75, 0.85), "confusion": [[40, 10], [10, 40]]},
        "knn": probe(0.9, 0.86, 0.94),
        "baselines": {
            "pca": {"features": 20, "logistic_ovr": probe(0.89, 0.85, 0.93), "knn": probe(0.7, 0.65, 0.75)},
            "histogram": {"features": 16, "knn": probe(0.6, 0.5, 0.7)},
        },
    },
    "clusters": {"method": "kmeans", "k": 20, "chosen": False, "purity": 0.877, "invented": ["3", "5"]},
    "stability": {"unstable": ["3", "7", "9"]},
    "confounders": {
        "label": {"agreement": 0.6},
        "columns": {"slide": {"kind": "category", "agreement": 0.2}},
        "followed": [],
    },
}


def changed(path: str, value) -> dict:
    """Return METRICS with one value replaced, or taken out where it is None."""
    metrics = copy.deepcopy(METRICS)
    *parents, name = path.split(".")
    place = metrics
    for parent in parents:
        place = place.setdefault(parent, {})
    place.pop(name, None)
    if value is not None:
        place[name] = value
    return metrics


def without_labels() -> dict:
    metrics = changed("probe", None)
    del metrics["clusters"]["purity"], metrics["confounders"]["label"]
    return metrics


def test_a_whole_audit_in_five_sentences():
    assert summarise(METRICS, FACTS) == [
        "A neural network taught itself on 1,700 images out of 2,000, without seeing any label, to describe "
        "each image by 20 numbers, its latents, and to rebuild the image from them.",
        "When it rebuilds images it did not learn from, a pixel is typically off by 10.0% of the way from "
        "black to white, which is better than plain PCA with as many numbers (12.0%).",
        "A simple model that sees only these numbers names the right label for 90.0% of the images it did "
        "not learn from (95% interval 86.0% to 94.0%), which is better than brightness and colour alone "
        "(60.0%) and always guessing the commonest label (50.0%) but no better than plain PCA of the "
        "pixels (89.0%).",
        "Laid out on a map by likeness, the images were divided into 20 clusters, as many as were asked for: "
        "87.7% of the images carry the commonest label of their cluster (about 50% would by chance), 17 of "
        "20 come back when this is done again with other images and 2 exist on the map only.",
        "Nothing alarming was found, but no figure here can tell whether what the numbers follow is what "
        "matters to you, so look at the images of each cluster before you believe in it.",
    ]


def test_what_was_done_where_the_latents_come_from_elsewhere():
    first = summarise(changed("reconstruction", None), FACTS)[0]
    assert first == "Each of 2,000 images is described by 20 numbers, its latents, which are judged here."


@pytest.mark.parametrize(
    ("floor", "words"),
    [
        (0.0144, "which is better than plain PCA with as many numbers (12.0%)."),
        (0.0105, "which is no better than plain PCA with as many numbers (10.2%)."),
        (0.0095, "which is no better than plain PCA with as many numbers (9.7%)."),
        (0.0064, "which is worse than plain PCA with as many numbers (8.0%)."),
    ],
)
def test_rebuilding_beside_pca(floor, words):
    assert summarise(changed("pca_floor.test.mse", floor))[1].endswith(words)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("pca_floor", None, "off by 10.0% of the way from black to white."),
        ("pca_floor.components", 12, "plain PCA with 12 numbers (12.0%)."),
        ("reconstruction.test", None, "rebuilds the images it learnt from, a pixel is typically off by 9.0%"),
        ("reconstruction", None, "was not measured."),
    ],
)
def test_rebuilding_with_less_to_go_by(path, value, words):
    assert words in summarise(changed(path, value))[1]


@pytest.mark.parametrize(
    ("knn", "words"),
    [
        (
            probe(0.99, 0.98, 1.0),
            "which is better than plain PCA of the pixels (89.0%), brightness and colour",
        ),
        (probe(0.9, 0.86, 0.94), "but no better than plain PCA of the pixels (89.0%)."),
        (probe(0.82, 0.8, 0.84), "(50.0%) but worse than plain PCA of the pixels (89.0%)."),
    ],
)
def test_labels_beside_baselines(knn, words):
    metrics = changed("probe.knn", knn)
    del metrics["probe"]["logistic_ovr"]["test"]
    assert words in summarise(metrics)[2]


def test_labels_without_intervals_are_not_compared():
    metrics = {"probe": {"logistic_ovr": {"test": 0.8, "confusion": [[60, 15], [5, 20]]}}}
    assert summarise(metrics)[2].endswith(
        "for 80.0% of the images it did not learn from, beside 75.0% for always guessing the commonest label."
    )


def test_rare_labels_that_are_known_are_told():
    metrics = changed("probe.baselines", None)
    del metrics["probe"]["knn"]
    rare = {**probe(0.9, 0.87, 0.93, (0.8, 0.7, 0.9)), "confusion": [[85, 5], [5, 5]]}
    metrics["probe"]["logistic_ovr"] = rare
    assert summarise(metrics)[2].endswith(
        "which is no better than always guessing the commonest label (90.0%), although it tells the rarer "
        "labels apart better than chance."
    )


@pytest.mark.parametrize(
    ("latents", "words"),
    [
        ({"features": 20, "dead": 0}, "but all 20 numbers vary from image to image."),
        ({"features": 20, "dead": 3}, "but 17 of the 20 numbers vary from image to image."),
        ({"features": 20, "dead": 20}, "and none of the 20 numbers varies from image to image."),
        ({"features": 1, "dead": 0}, "but all 1 number varies from image to image."),
        (
            {"features": 20, "dead": 0, "duplicates": [[1, 2], [1, 3]], "effective_rank": 9.34},
            "but all 20 numbers vary from image to image (2 of them only repeat another) and together count "
            "for about 9.3 independent ones.",
        ),
        ({}, "There were no labels to compare with."),
    ],
)
def test_without_labels_the_third_sentence_counts_variables(latents, words):
    assert summarise(without_labels() | {"latents": latents})[2].endswith(words)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("clusters.chosen", True, "20 clusters, as many as stand apart best:"),
        ("clusters.method", "hdbscan", "20 clusters, as many as the method saw:"),
        ("clusters.invented", ["1"], "and 1 exists on the map only."),
        ("clusters.invented", [], "and none exist on the map only."),
        ("stability", None, "whether they come back when this is done again was not tested"),
        ("stability.unstable", [], "every cluster comes back when this is done again with other images"),
        ("stability.unstable", [str(i) for i in range(20)], "no cluster comes back"),
        ("clusters", None, "No clusters were looked for."),
        ("clusters", {"method": "hdbscan", "k": 0}, "No clusters of similar images were found."),
    ],
)
def test_clusters(path, value, words):
    assert words in summarise(changed(path, value))[3]


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("latents.dead", 20, "all of these numbers are the same for every image"),
        ("confounders.followed", ["slide"], "the clusters follow slide rather than the label, so"),
        (
            "confounders.followed",
            ["slide", "red"],
            "the clusters follow slide and red rather than the label, so",
        ),
        (
            "probe.split",
            {"kind": "given", "group": "slide", "leaking": 3},
            "images of 3 groups (slide) are both among those learnt from and among those tested",
        ),
        (
            "probe.split",
            {"kind": "grouped", "group": "slide", "leaking": 1},
            "images of 1 group (slide) are both among those that the network learnt from",
        ),
        ("stability.unstable", [str(i) for i in range(11)], "most of the clusters do not come back"),
        ("clusters.invented", [str(i) for i in range(11)], "most of the clusters exist on the map only"),
    ],
)
def test_the_fifth_sentence_warns(path, value, words):
    last = summarise(changed(path, value))[4]
    assert last.startswith("Warning: ")
    assert words in last


def test_clusters_that_follow_a_slide_where_there_are_no_labels():
    metrics = without_labels()
    metrics["confounders"]["followed"] = ["slide"]
    assert summarise(metrics)[4].startswith("Warning: the clusters follow slide, so")


@pytest.mark.parametrize(
    ("unstable", "words"),
    [
        (11, " and their clusters do not come back, as with pure noise."),
        (10, " and many of their clusters do not come back, as with pure noise."),
        (4, ", whatever else their clusters may show."),
    ],
)
def test_pure_noise(unstable, words):
    metrics = changed("stability.unstable", [str(i) for i in range(unstable)])
    metrics["probe"] |= {"knn": probe(0.52, 0.45, 0.59)}
    metrics["probe"]["logistic_ovr"] |= probe(0.49, 0.42, 0.56)
    assert summarise(metrics)[4] == f"Warning: these latents say nothing about the labels{words}"
    assert "always guessing the commonest label (50.0%)" in summarise(metrics)[2]
    assert "better than always" not in summarise(metrics)[2].replace("no better than", "")


@pytest.mark.parametrize(
    ("balanced", "knows"),
    [
        ((0.6, 0.55, 0.65), True),
        ((0.6, 0.49, 0.71), False),  # the interval holds chance
        ((0.51, 0.505, 0.515), False),  # beyond chance, but next to nothing
    ],
)
def test_knowing_labels_is_more_than_chance(balanced, knows):
    found = {**probe(0.5, 0.4, 0.6, balanced), "confusion": [[40, 10], [10, 40]]}
    assert knows_labels({"probe": {"logistic_ovr": found}}) is knows
    assert knows_labels({}) is None


def test_the_gravest_warning_comes_first():
    metrics = changed("confounders.followed", ["slide"])
    metrics["probe"]["split"] = {"kind": "given", "leaking": 1}
    metrics["clusters"]["invented"] = [str(i) for i in range(20)]
    found = list(warnings_of(metrics))
    assert [re.findall("slide|learnt|map", text)[0] for text in found] == ["slide", "learnt", "map"]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("confounders", "but there was no column such as slide or scanner to check against, and no figure"),
        ("probe", "but there were no labels to check against, and no figure"),
    ],
)
def test_nothing_alarming_says_what_was_not_there_to_check(path, words):
    assert words in summarise(changed(path, None))[4]


@pytest.mark.parametrize("section", [None, *METRICS])
@pytest.mark.parametrize("only", [False, True])
def test_always_five_sentences(section, only):
    metrics = changed(section, None) if section else {}
    if section and only:
        metrics = {section: METRICS[section]}
    sentences = summarise(metrics, FACTS) + summarise(metrics)
    assert len(sentences) == 10
    for sentence in sentences:
        assert re.fullmatch(r"[A-Z][^\n]*[^.]\.", sentence)
        assert not re.search(r"[.!?] [A-Z]|None|nan|\s\s|–|,,| ,|\(\)", sentence)


def scored(test, low, high):
    return {"test": test, "interval": {"test": [low, high]}}


def test_a_baseline_that_knows_more_is_a_warning():
    baselines = {
        "histogram": {"features": 48, "knn": scored(0.9, 0.86, 0.93)},
        "pca": {"features": 20, "knn": scored(0.65, 0.6, 0.7)},
    }
    metrics = {"probe": {"knn": scored(0.6, 0.55, 0.65), "baselines": baselines}}
    assert summarise(metrics)[4] == (
        "Warning: the labels are told apart better by brightness and colour alone than by these latents, "
        "which are not worth using yet."
    )
    baselines["pca"]["knn"] = scored(0.8, 0.75, 0.85)
    assert (
        "better by brightness and colour alone and plain PCA of the pixels than by" in summarise(metrics)[4]
    )
    metrics["probe"]["knn"] = scored(0.95, 0.93, 0.96)
    assert summarise(metrics)[4].startswith("Nothing alarming")


def test_a_network_that_pca_outdoes_is_a_warning():
    metrics = {"reconstruction": {"test": {"mse": 0.03}}, "pca_floor": {"test": {"mse": 0.02}}}
    assert summarise(metrics)[4] == (
        "Warning: plain PCA rebuilds the images better than the network does, so train it longer or make it "
        "larger."
    )
    metrics["pca_floor"]["test"]["mse"] = 0.04
    assert summarise(metrics)[4].startswith("Nothing alarming")
