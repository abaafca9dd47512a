"""The report says what the run folder says, in one file that opens offline."""

import base64
import copy
import json
import os
import re
from html.parser import HTMLParser
from io import BytesIO
from itertools import pairwise

import numpy as np
import pytest
import yaml
from PIL import Image

from caescope import report
from caescope.errors import FileFormatError, OutputError
from caescope.report import write_report

FIGURES = (
    *(
        "samples",
        "pairs",
        "loss",
        "latent_std",
        "explained_variance",
        "pca_map",
        "map_labels",
        "map_clusters",
    ),
    *("confusion", "cluster_labels", "gini", "cluster_00", "cluster_01", "cluster_10"),
)
VOID = {"meta", "img", "br", "link", "input", "hr"}
EVIL = "<script>alert('&')</script>"
METRICS = {
    "reconstruction": {
        "train": {"mse": 0.01234, "psnr": 19.087, "ssim": 0.8769},
        "test": {"mse": 0.01357, "psnr": 18.674, "ssim": 0.8543},
    },
    "latents": {"features": 20, "dead": 3},
    "probe": {
        "logistic_ovr": {
            "train": 0.9213,
            "test": 0.9047,
            "converged": True,
            "classes": ["benign", EVIL],
            "confusion": [[70, 5], [3, 22]],
            "report": {
                "benign": {"precision": 0.9589, "recall": 0.9333, "f1-score": 0.9459, "support": 75.0},
                EVIL: {"precision": 0.8148, "recall": 0.8812, "f1-score": 0.8462, "support": 25.0},
                "accuracy": 0.9047,
                "macro avg": {"precision": 0.8869, "recall": 0.9067, "f1-score": 0.8961, "support": 100.0},
            },
        },
        "knn": {"train": 0.9911, "test": 0.9622, "neighbours": 5},
    },
    "projection": {
        "pca": {"explained_variance_ratio": [0.5, 0.3, 0.1]},
        "map": {"method": "tsne", "perplexity": 40},
    },
    "clusters": {
        "k": 3,
        "sizes": {"0": 1500, "1": 300, "10": 200},
        "gini": {"0": 0.111, "1": 0.222, "10": 0.333},
        "gini_mean": 0.2221,
        "entropy_mean": 0.4567,
        "purity": 0.8765,
    },
    "matched": {"k": 2, "accuracy": 0.7654, "nmi": 0.6543, "ari": 0.5432},
    "seconds": {"train": 12.34, "total": 56.78},
    "protocol": {
        "probe.logistic_ovr": {"fitted_on": "1,700 train images", "measured_on": "100 test images"},
        "clusters": {"fitted_on": "2,000 train images", "placed_by": ["nearest", "centre"]},
    },
}
RUN = {
    "source": f"biopsies {EVIL}",
    "n_images": {"train": 1700, "validation": 200, "test": 100},
    "image_shape": [96, 80, 3],
    "options": {"latent_features": 20, "filters": [8, 16], "labels": None, "note": EVIL},
    "seed": 7,
    "versions": {"caescope": "0.1.0", "numpy": "2.2.1"},
    "fingerprint": "0123abcd" * 8,
    "created": "2026-03-01T09:05:07+00:00",
}
NEED_LABELS = {"gini", "gini_mean", "entropy_mean", "purity"}
BIDI = "left\u202eright"


def scores(test, low, high, **more) -> dict:
    """Return the scores of a probe, the balanced accuracy a tenth below the plain one."""
    interval = {"test": [low, high], "balanced": [low - 0.1, high - 0.1]}
    return {"test": test, "balanced": test - 0.1, "interval": interval, **more}


def whole(accuracy, low, high) -> dict:
    """Return the scores of whole slides, the balanced accuracy a tenth above the plain one."""
    interval = {"accuracy": [low, high], "balanced": [low + 0.01, high + 0.01]}
    return {"accuracy": accuracy, "balanced": accuracy + 0.01, "interval": interval}


def by_tag(measured_on, kind, **more) -> dict:
    return {"fitted_on": "1,700 train images", "measured_on": measured_on, "kind": kind, "seed": 7, **more}


# All that an audit adds to METRICS
AUDIT = {
    "reconstruction": {
        "train": METRICS["reconstruction"]["train"],
        "test": {
            **METRICS["reconstruction"]["test"],
            "interval": {"mse": [0.0129, 0.01421], "psnr": [18.41, 18.92], "ssim": [0.8481, 0.8602]},
        },
    },
    "pca_floor": {"components": 20, "fitted": 1700, "train": {"mse": 0.01711}, "test": {"mse": 0.01822}},
    "latents": {
        **METRICS["latents"],
        "duplicates": [[3, 7]],
        "effective_rank": 9.34,
        "spectrum": [0.5, 0.3],
        "strongest_correlation": 0.8312,
    },
    "labels": {"name": f"diagnosis {EVIL}", "classes": 2, "missing": 12},
    "probe": {
        "split": {"kind": "grouped", "group": "slide", "groups": {"train": 9, "test": 3}, "leaking": 0},
        "logistic_ovr": {**METRICS["probe"]["logistic_ovr"], **scores(0.9047, 0.8511, 0.9422)},
        "logistic_multinomial": scores(0.9147, 0.8611, 0.9522, train=0.9313, converged=False),
        "knn": {**METRICS["probe"]["knn"], **scores(0.9622, 0.9123, 0.9876)},
        "baselines": {
            "pca": {"features": 20, "knn": scores(0.8111, 0.7522, 0.8633)},
            "histogram": {"features": 16, "knn": scores(0.6444, 0.5955, 0.6966)},
        },
    },
    "projection": {
        "pca": {
            **METRICS["projection"]["pca"],
            **{"trustworthiness": 0.8712, "preservation": 0.2143, "neighbours": 15},
        },
        "map": {
            **METRICS["projection"]["map"],
            **{"trustworthiness": 0.9871, "preservation": 0.6124, "neighbours": 15, "fitted": 1690},
        },
    },
    "clusters": {
        **METRICS["clusters"],
        "method": "mixture",
        "on": "map",
        "chosen": True,
        "entropy": {"0": 0.4441, "1": 0.5551, "10": 0.6661},
        "purities": {"0": 0.9441, "1": 0.8881, "10": 0.7771},
        "silhouette": {"map": 0.4821, "latents": 0.1731},
        "silhouettes": {"map": {"0": 0.5171}, "latents": {"0": -0.0391}},
        "cohesion": {"0": 0.7791, "1": 0.6781, "10": 0.4112},
        "invented": ["10"],
        "medoids": {"0": f'a,"b" {EVIL}.png', "1": BIDI, "10": "c.png"},
        "silhouette_curve": {"k": [2, 3], "silhouette": [0.1, 0.4]},
    },
    "clusterings": [
        {"method": "kmeans", "on": "map", "k": 3, "noise": 0.0, "silhouette": 0.4841, "purity": 0.8771},
        {"method": "hdbscan", "on": "latents", "k": 2, "noise": 0.1831, "purity": 0.7661, "nmi": 0.6651},
    ],
    "matched": {**METRICS["matched"], "latents": {"accuracy": 0.7311, "nmi": 0.7021, "ari": 0.5981}},
    "stability": {
        "seeds": 5,
        "ari_mean": 0.8461,
        "ari_least": 0.7711,
        "bootstraps": 20,
        "jaccard": {"0": 0.9431, "1": 0.8431, "10": 0.4331},
        "unstable": ["10"],
        "models": {"n": 3, "ari_mean": 0.6211, "ari_least": 0.5811, "jaccard": {"0": 0.5671}},
    },
    "confounders": {
        "label": {"agreement": 0.1233},
        "columns": {
            "slide": {
                **{"kind": "category", "values": 12, "score": 0.6123, "chance": 0.0833, "missing": 4},
                **{"interval": [0.5501, 0.6602], "agreement": 0.9112, "entropy": {"0": 1.2345}},
                "one_label": True,
                "left_out": {"accuracy": 0.7012, "random": 0.9321, "groups": {"S1": 0.6543, EVIL: 0.7432}},
            },
            f"scanner {EVIL}": {"kind": "number", "score": 0.9345, "chance": 0.0, "agreement": 0.0456},
        },
        "skipped": {"site": "the same for every image"},
        "followed": ["slide"],
    },
    "slides": {
        **{"group": "slide", "groups": 13, "images": 2000, "labels": {"benign": 7, EVIL: 6}},
        **{"single": [f"rare {EVIL}"], "unlabelled": 2, "folds": 13, "repeats": 1},
        "latents": whole(0.9231, 0.6669, 0.9863),
        "clusters": whole(0.7692, 0.4974, 0.9182),
        "commonest": whole(0.0, 0.0, 0.2281),
        "baselines": {"pca": whole(0.5385, 0.2914, 0.7679)},
        "shuffled": {"times": 200, "p": 0.0249, "balanced": 0.4951, "range": {"balanced": [0.1511, 0.8321]}},
    },
    "seconds": METRICS["seconds"],
    "protocol": {
        "slides": by_tag("the slides left out", "inductive"),
        "reconstruction": by_tag("1,700 train images, 100 test images", "inductive"),
        "probe.logistic_ovr": by_tag("100 test images", "inductive"),
        "projection.map": by_tag("1,700 train images", "transductive"),
        "clusters": by_tag("1,700 train images", "transductive", k=3),
        "matched": by_tag("1,700 train images", "transductive", k=2),
        "confounders": by_tag("the fifth left out", "inductive"),
    },
}
AUDIT_FIGURES = (
    *FIGURES,
    *(
        "errors",
        "extremes",
        "correlation",
        "sweeps",
        "probes",
        "map_error",
        "silhouette_curve",
        "clusterings",
    ),
    *("stability", "confounders", "map_column_0", "map_column_1", "group_clusters"),
)


class Page(HTMLParser):
    """The page as its parts; raises AssertionError where a tag is not closed or closed twice."""

    def __init__(self, text: str):
        super().__init__()
        self.open, self.links, self.images, self.ids, self.titles, self.alts = [], [], [], [], [], []
        self.tags, self.text = [], ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.tags.append(tag)
        self.links += [
            value for name, value in attrs if name in ("href", "src", "srcset", "action", "poster")
        ]
        self.ids += [values["id"]] if "id" in values else []
        assert not any(name.startswith("on") for name in values)
        if tag == "img":
            self.images.append(base64.b64decode((values["src"] or "").removeprefix("data:image/png;base64,")))
            self.alts.append(values["alt"])
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "h2":
            self.titles.append(data)
        if not self.open or self.open[-1] != "style":
            self.text += data + " "


def png(shade: int, dpi: int = 192) -> bytes:
    """Return a PNG of 40 × 20 pixels that differs from every other shade's."""
    content = BytesIO()
    Image.fromarray(np.full((20, 40), shade, np.uint8)).save(content, "PNG", dpi=(dpi, dpi))
    return content.getvalue()


def make_run(folder, metrics=METRICS, facts=RUN, figures=FIGURES):
    """Write a run folder and return it."""
    (folder / "figures").mkdir(parents=True)
    (folder / "metrics.json").write_text(json.dumps(metrics))
    (folder / "run.yaml").write_text(yaml.safe_dump(facts, sort_keys=False))
    for shade, name in enumerate(figures):
        (folder / "figures" / f"{name}.png").write_bytes(png(shade))
    return folder


def page_of(folder) -> Page:
    return Page(write_report(folder).read_text("utf-8"))


def changed(**sections) -> dict:
    """Return METRICS with sections replaced, or left out where they are None."""
    metrics = copy.deepcopy(METRICS) | sections
    return {name: value for name, value in metrics.items() if value is not None}


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path / "run")


def test_writes_report_html_into_the_run_folder(run):
    assert write_report(run) == run / "report.html"
    assert write_report(str(run)).read_text("utf-8").startswith("<!DOCTYPE html>")


def test_same_run_gives_same_bytes_and_no_other_file(run):
    before = set(run.rglob("*"))
    first = write_report(run).read_bytes()
    assert write_report(run).read_bytes() == first
    assert set(run.rglob("*")) == before | {run / "report.html"}


def test_every_figure_is_inlined_exactly_once(run):
    page = page_of(run)
    assert sorted(page.images) == sorted(png(shade) for shade in range(len(FIGURES)))
    assert all(page.alts)
    assert len(set(page.alts)) == len(page.alts)


def test_figures_are_as_large_as_they_were_drawn(run):
    text = write_report(run).read_text("utf-8")
    assert text.count('width="20" height="10"') == len(FIGURES)  # 40 × 20 pixels at 192 dots per inch


def test_nothing_is_fetched(run):
    page, text = page_of(run), (run / "report.html").read_text("utf-8")
    assert all(link.startswith(("data:image/png;base64,", "#")) for link in page.links)
    assert not re.search(r"url\(|@import|https?:|//[a-z]", re.sub(r"base64,[^\"]*", "", text))
    assert not {"script", "iframe", "object", "link", "base", "form"} & set(page.tags)
    assert "default-src 'none'" in text


def test_contents_lead_to_every_section(run):
    page = page_of(run)
    anchors = {link[1:] for link in page.links if link.startswith("#")}
    assert anchors <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    assert page.titles == [
        *("In short", "Contents", "The images", "Reconstruction", "Latents", "Probes", "Maps", "Clusters"),
        *("Cluster by cluster", "How it was measured", "How to do it again"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        *("0.01234", "19.09", "0.877", "0.01357", "18.67", "0.854", "0.0136"),  # reconstruction, tile
        *("92.1%", "90.5%", "99.1%", "96.2%", "5 nearest neighbours"),
        *("0.959", "0.933", "0.946", "0.815", "macro avg", "0.896"),
        *("80.0%", "t-SNE", "perplexity 40"),
        *("1,500", "75.0%", "0.111", "0.222", "0.333", "0.457"),
        *("76.5%", "0.654", "0.543"),
        *("12.3", "56.8", "2,000 images", "96 × 80 pixels, colour", "1,700 train", "2026-03-01 09:05 UTC"),
        *("1,700 train images", "100 test images", "placed by: ['nearest', 'centre']"),
        *("[8, 16]", "not set", "0123abcd" * 8, "2.2.1", "Of the 20 here, 3 are dead"),
    ],
)
def test_says_what_the_run_folder_says(run, text):
    assert text in " ".join(page_of(run).text.split())


def test_chance_comes_from_the_confusion_matrix(run):
    text = page_of(run).text
    assert "always the commonest label: 75.0%" in text
    assert "for all test images together it is 0.375" in text  # 1 - 0.75² - 0.25²


def test_no_chance_without_a_confusion_matrix(tmp_path):
    metrics = changed(probe={"logistic_ovr": {"train": 0.9, "test": 0.8}})
    text = page_of(make_run(tmp_path / "run", metrics)).text
    assert "always the commonest" not in text
    assert "by chance" not in text
    assert "at random: about" not in text


def test_clusters_are_in_numerical_order(run):
    metrics = changed(clusters={"k": 3, "sizes": {"10": 2, "9": 1, "0": 1}})
    text = page_of(make_run(run / "again", metrics)).text
    assert re.findall(r"Cluster (\d+)", text) == ["0", "1", "10"]
    table = text[text.index("The clusters") :]
    assert re.findall(r"[\d.]+", table)[:9] == ["0", "1", "25.0", "1", "9", "1", "25.0", "10", "2"]


def test_text_from_files_is_escaped(run):
    page, html = page_of(run), (run / "report.html").read_text("utf-8")
    assert "<script" not in html
    assert page.text.count(EVIL) == 4  # title, heading, label, option
    assert "script" not in page.tags


def test_text_without_utf8_is_written(tmp_path):
    report = {"\ud800": {"precision": 1.0, "recall": 1.0, "f1-score": 1.0, "support": 1.0}}
    folder = make_run(tmp_path / "run", changed(probe={"logistic_ovr": {"report": report}}))
    assert page_of(folder)


def test_without_labels_says_which_judgements_need_them(tmp_path):
    clusters = {name: value for name, value in METRICS["clusters"].items() if name not in NEED_LABELS}
    metrics = changed(probe=None, matched=None, clusters=clusters)
    figures = [name for name in FIGURES if name not in ("confusion", "gini", "map_labels", "cluster_labels")]
    page = page_of(make_run(tmp_path / "run", metrics, figures=figures))
    assert "--labels\xa0FILE" in page.text
    assert "Probes" not in page.titles
    assert "Gini" not in page.text.replace("(Gini, entropy, purity)", "")
    assert "Matched" not in page.text


def test_with_labels_does_not_ask_for_them(run):
    assert "--labels" not in page_of(run).text


@pytest.mark.parametrize("section", list(METRICS))
def test_absent_sections_are_left_out(tmp_path, section):
    page = page_of(make_run(tmp_path / "run", changed(**{section: None}), figures=()))
    whole = page_of(make_run(tmp_path / "whole", figures=()))
    assert len(page.text) < len(whole.text)
    assert "Undefined" not in page.text


def test_an_almost_empty_run_gives_a_page(tmp_path):
    page = page_of(make_run(tmp_path / "run", {}, {}, figures=()))
    assert page.titles == ["In short", "Contents"]
    assert page.images == []


def test_null_counts_as_absent(tmp_path):
    metrics = changed(latents={"features": 20, "dead": None})
    text = page_of(make_run(tmp_path / "run", metrics)).text
    assert "Dead latents" not in text
    assert "None" not in text


def test_not_a_number_is_a_dash_and_infinity_is_written(tmp_path):
    quality = {"mse": 0.0, "psnr": float("inf"), "ssim": float("nan")}
    text = page_of(make_run(tmp_path / "run", changed(reconstruction={"test": quality}))).text
    assert "∞" in text
    assert "nan" not in text


@pytest.mark.parametrize(("n", "open_sheets"), [(20, 20), (21, 0)])
def test_many_sheets_are_folded(tmp_path, n, open_sheets):
    folder = make_run(tmp_path / "run", figures=[f"cluster_{i:02d}" for i in range(n)])
    assert write_report(folder).read_text("utf-8").count("<details open>") == open_sheets
    assert page_of(folder).tags.count("details") == n


def test_a_probe_that_did_not_converge_is_told(tmp_path):
    probe = {"logistic_ovr": {"train": 0.9, "test": 0.8, "converged": False}}
    assert "before it had converged" in page_of(make_run(tmp_path / "run", changed(probe=probe))).text


def test_the_command_is_shown(tmp_path):
    command = "caescope run a&b --out runs/ab"
    assert command in page_of(make_run(tmp_path / "run", facts={**RUN, "command": command})).text


def test_a_time_that_yaml_has_parsed_is_shown(run):
    text = (run / "run.yaml").read_text().replace("'2026-03-01T09:05:07+00:00'", "2026-03-01T09:05:07Z")
    (run / "run.yaml").write_text(text)
    assert "2026-03-01 09:05 UTC" in page_of(run).text


@pytest.mark.parametrize("name", ["metrics.json", "run.yaml"])
def test_a_folder_without_its_files_is_no_run_folder(run, name):
    (run / name).unlink()
    with pytest.raises(
        FileFormatError, match=rf"^RUN must be a run folder\. Received .*, which has no {name}"
    ):
        write_report(run)
    assert not (run / "report.html").exists()


def test_a_file_is_no_run_folder(tmp_path):
    (tmp_path / "a").write_text("a")
    with pytest.raises(FileFormatError, match="RUN must be a run folder"):
        write_report(tmp_path / "a")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("metrics.json", b"{", "must be readable as JSON"),
        ("metrics.json", b"\xff\xfe\x00", "must be readable as JSON"),
        ("metrics.json", b"[" * 100_000, "must be readable as JSON"),
        ("metrics.json", b"[1, 2]", "must hold a mapping. Received list"),
        (
            "metrics.json",
            b'{"latents": {"dead": "three"}}',
            "must hold a number at latents.dead. Received str three",
        ),
        ("metrics.json", b'{"clusters": {"sizes": {"0": [1]}}}', "a number at clusters.sizes.0"),
        (
            "metrics.json",
            b'{"probe": {"logistic_ovr": {"confusion": [[1], 2]}}}',
            r"a list at .*confusion\[1\]",
        ),
        (
            "metrics.json",
            b'{"probe": {"knn": {"interval": {"test": [0.5]}}}}',
            r"must hold a list of 2 at probe\.knn\.interval\.test\. Received list \[0\.5\]",
        ),
        ("metrics.json", b'{"confounders": {"columns": {"slide": 1}}}', "a mapping at .*columns.slide"),
        ("metrics.json", b'{"clusterings": {}}', "must hold a list at clusterings"),
        ("metrics.json", b'{"clusters": {"k": 1' + b"0" * 400 + b"}}", "a number at clusters.k"),
        ("metrics.json", b'{"clusters": {"k": 1' + b"0" * 5000 + b"}}", "must be readable as JSON"),
        ("run.yaml", b"a: [", "must be readable as YAML"),
        ("run.yaml", b"a: !!python/object/apply:os.getcwd []", "must be readable as YAML"),
        ("run.yaml", b"", "must hold a mapping. Received NoneType"),
        ("run.yaml", b"versions: 3", "must hold a mapping at versions"),
        ("run.yaml", b"source: " + b"a" * 2**20, "must hold at most 1 MiB"),
        ("figures/loss.png", b"GIF89a", "must be readable as a PNG image"),
        ("figures/loss.png", png(3)[:-20], "must be readable as a PNG image"),
    ],
)
def test_a_damaged_file_ends_in_one_sentence_and_no_report(run, name, content, message):
    (run / name).write_bytes(content)
    with pytest.raises(FileFormatError, match=message) as caught:
        write_report(run)
    assert name in str(caught.value)
    assert len(str(caught.value)) < 700 + len(str(run))
    assert not (run / "report.html").exists()


def test_a_yaml_that_repeats_itself_without_end_stays_small(run):
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)
    )
    facts = bomb + "loop: &loop [*loop]\n"
    (run / "run.yaml").write_text("options:\n" + "".join(f"  {line}\n" for line in facts.splitlines()))
    assert write_report(run).stat().st_size < 10**6


def test_an_earlier_report_survives_a_failure(run, monkeypatch):
    def fail(*_, **__):
        raise OSError("no space left on device")

    before = write_report(run).read_bytes()
    (run / "metrics.json").write_text(json.dumps(changed(matched=None)))
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OutputError, match=r"report\.html \(no space left"):
        write_report(run)
    assert (run / "report.html").read_bytes() == before
    assert {path.name for path in run.iterdir()} == {"figures", "metrics.json", "run.yaml", "report.html"}


def test_readings_are_honest_about_the_method(tmp_path):
    pca = changed(projection={"map": {"method": "pca"}})
    assert "distances between far groups" not in page_of(make_run(tmp_path / "pca", pca)).text
    assert "distances between far groups" in page_of(make_run(tmp_path / "tsne")).text


@pytest.fixture
def audit(tmp_path):
    return make_run(tmp_path / "audit", AUDIT, figures=AUDIT_FIGURES)


def test_an_audit_has_every_section_in_order(audit):
    assert page_of(audit).titles == [
        *("In short", "Contents", "The images", "Reconstruction", "Latents", "Probes", "Maps", "Clusters"),
        *("Stability", "Confounders", "Each slide as a whole", "Cluster by cluster", "How it was measured"),
        "How to do it again",
    ]


@pytest.mark.parametrize(
    "text",
    [
        *("12 images have none", "0.0129 to 0.0142", "18.41 to 18.92", "0.848 to 0.860", "0.01822"),
        *("1 pair of latents says the same as each other: z003 and z007", "9.3", "of at most 20", "0.83"),
        *("85.1% to 94.2%", "75.1% to 84.2%", "91.5%", "81.1%", "75.2% to 86.3%", "64.4%", "16 numbers"),
        *(
            "each slide is either among",
            "(9 for train, 3 for test)",
            "12 images without a label are left out",
        ),
        *("multinomial, stopped before it had converged", "50.0%"),
        *("0.987", "61.2%", "0.871", "21.4%", "fitted on 1,690 images"),
        *("Gaussian mixture divided the images on the map into 3 groups", "stand apart best"),
        *(
            "HDBSCAN",
            "18.3%",
            "0.484",
            "0.665",
            "0.444",
            "0.777",
            "0.482",
            "0.173",
            "0.517",
            "-0.039",
            "41.1%",
        ),
        *("73.1%", "0.702", "0.598", "c.png"),
        *(
            "clustering again with 5 seeds",
            "0.846",
            "0.771",
            "training again with 3 models",
            "0.621",
            "0.567",
        ),
        *("Cluster 10 does not come back in 20 resamples of the images.", "0.943", "0.433"),
        *("The clusters follow slide rather than the label.", "agreement with slide is 0.911", "it is 0.123"),
        *("0.612", "0.550 to 0.660", "0.083", "12 different values, missing for 4 images", "1.234"),
        *(
            "70.1%",
            "93.2%",
            "65.4%",
            "74.3%",
            "site (the same for every image)",
            "knowing the slide is knowing the label",
        ),
        *("92.3% of 13 slides", "66.7% to 98.6%", "probability of about 2.5%: this is hardly luck"),
        *("Their labels are benign (7), ", "50.7% to 92.8%", "77.9%", "49.5%", "15.1% to 83.2%"),
        *("13 slides are few: one more right or wrong moves the accuracy by 8%", "2 slides without a label"),
        *("Always guessing the commonest label does badly here", "the label of a single slide: rare"),
        *("K = 3.", "Seed 7.", "Measured on the fifth left out.", "Measured on the slides left out."),
    ],
)
def test_says_what_the_audit_says(audit, text):
    assert text in " ".join(page_of(audit).text.split())


def test_marks_are_words_beside_the_clusters_that_they_are_about(audit):
    table = page_of(audit).text.split("The clusters one by one")[1].split("Jaccard, other models")[1]
    rows = " ".join(table.split())
    assert re.search(r" 10 not in the latents does not come back 200 ", rows)
    assert rows.split(" 10 not in")[0].count("does not come back") == 0


def test_every_figure_of_an_audit_is_inlined_once_and_says_how_to_read_it(audit):
    page = page_of(audit)
    assert sorted(page.images) == sorted(png(shade) for shade in range(len(AUDIT_FIGURES)))
    assert len(set(page.alts)) == len(page.alts)
    sheets = sum(name.startswith("cluster_0") or name == "cluster_10" for name in AUDIT_FIGURES)
    assert page.tags.count("figcaption") == len(AUDIT_FIGURES) - sheets


def test_both_kinds_of_figure_are_told_apart(audit):
    page = page_of(audit)
    assert "Do not set inductive figures beside transductive ones" in " ".join(page.text.split())
    assert page.text.count("Two kinds of figure stand side by side here.") == 2  # matched, confounders
    assert "kinds" in page.ids


def test_one_kind_of_figure_needs_no_telling(tmp_path):
    protocol = {name: {**by, "kind": "inductive"} for name, by in AUDIT["protocol"].items()}
    text = page_of(make_run(tmp_path / "run", {**AUDIT, "protocol": protocol})).text
    assert "Two kinds" not in text
    assert "Do not set" not in text


def test_text_of_an_audit_is_escaped_and_visible(audit):
    page, html = page_of(audit), (audit / "report.html").read_text("utf-8")
    assert "<script" not in html
    assert "script" not in page.tags
    assert (
        page.text.count(EVIL) == 11
    )  # title, heading, option, labels, medoid, column twice, group, slides twice
    assert "\u202e" not in html
    assert r"left\u202eright" in page.text


def test_a_leaking_split_is_a_warning(tmp_path):
    split = {"kind": "given", "group": "slide", "groups": {"train": 9, "test": 3}, "leaking": 2}
    text = page_of(make_run(tmp_path / "run", {**AUDIT, "probe": {**AUDIT["probe"], "split": split}})).text
    assert "the split leaks" in text
    assert "Images of 2 groups (slide)" in text
    assert "each slide is either among" not in text


@pytest.mark.parametrize(
    ("slides", "sentence"),
    [
        (
            {"skipped": "too few of them", "labels": {EVIL: 2, "b": 1}},
            f"too few of them. Their labels here are {EVIL} (2), b (1).",
        ),
        (
            {"latents": whole(0.5, 0.1, 0.9), "groups": 40, "shuffled": {"p": 0.4}},
            "about 40%: this may be luck",
        ),
    ],
)
def test_too_few_slides_and_luck_are_told(tmp_path, slides, sentence):
    page = page_of(make_run(tmp_path / "run", changed(slides={"group": EVIL, **slides}), figures=()))
    assert sentence in " ".join(page.text.split()).replace(" .", ".")
    assert f"Each {EVIL} as a whole" in page.titles
    assert not {"Undefined", "None"} & set(re.findall(r"\w+", page.text))


def test_no_section_where_the_label_is_not_one_of_slides(run):
    assert not any("as a whole" in title for title in page_of(run).titles)


def test_an_audit_without_labels_is_shorter_and_makes_sense(tmp_path):
    metrics = copy.deepcopy(
        {name: AUDIT[name] for name in AUDIT if name not in ("labels", "probe", "matched")}
    )
    for name in (*NEED_LABELS, "entropy", "purities"):
        del metrics["clusters"][name]
    metrics["clusterings"] = [{"method": "kmeans", "on": "map", "k": 3, "silhouette": 0.4841}]
    metrics["confounders"] = {
        "columns": {"brightness": {"kind": "number", "score": 0.9}},
        "followed": [],
    }
    need_labels = ("confusion", "gini", "map_labels", "cluster_labels", "probes")
    figures = [name for name in AUDIT_FIGURES if name not in need_labels]
    page = page_of(make_run(tmp_path / "run", metrics, figures=figures))
    text = " ".join(page.text.split())
    assert "Probes" not in page.titles
    assert "The clusters do not follow brightness." in text
    assert "Undefined" not in text
    assert not re.search(r"Gini|Matched|rather than the label", text.replace("(Gini, entropy, purity)", ""))


@pytest.mark.parametrize("section", list(AUDIT))
def test_absent_sections_of_an_audit_are_left_out(tmp_path, section):
    metrics = {name: value for name, value in AUDIT.items() if name != section}
    page = page_of(make_run(tmp_path / "run", metrics))
    assert "Undefined" not in page.text
    assert "None" not in page.text


def test_headings_do_not_skip_a_level(audit):
    levels = [int(tag[1]) for tag in page_of(audit).tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_keyboard_and_screen_readers_find_their_way(audit):
    html = write_report(audit).read_text("utf-8")
    page = Page(html)
    assert {"header", "nav", "main", "footer"} <= set(page.tags)
    assert page.links[0] == "#main"
    assert html.count('<div class="scroll"') == html.count(
        '<div class="scroll" role="region" tabindex="0" aria-label='
    )


def test_exports():
    assert report.__all__ == ["write_report"]


def test_photographs_are_inlined_as_jpeg(tmp_path):
    folder = make_run(tmp_path / "run", figures=())
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    pixels = np.kron(noise, np.ones((4, 4, 1), np.uint8))
    for name, image in (("samples", pixels), ("pairs", pixels[:8, :8]), ("loss", pixels[..., 0])):
        Image.fromarray(image).save(folder / "figures" / f"{name}.png", compress_level=0)
    html = write_report(folder).read_text("utf-8")
    assert html.count("data:image/jpeg;base64,") == 1
    assert html.count("data:image/png;base64,") == 2
    data = re.search(r"data:image/jpeg;base64,([^\"]*)", html)
    shown = np.asarray(Image.open(BytesIO(base64.b64decode(data[1]))))
    assert shown.shape == pixels.shape
    assert np.abs(shown.astype(int) - pixels).mean() < 20
