"""The audit tells the truth about cases whose truth is known, and survives what it cannot judge."""

import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from caescope.errors import CaescopeError, DataError, FileFormatError, OptionError
from caescope.pipeline import analyze, run

EVIL = "<script>alert('a, \"b\"')</script>"


def judge(latents, tmp_path, **options):
    """Judge an array quickly, and return the run."""
    options = {"map": "pca", "clusters": 4, "stability": 2, "verbose": 0} | options
    return analyze(latents, tmp_path / "run", **options)


def words(made) -> str:
    """Return the text of a report without its markup."""
    page = re.sub(r"<style>.*?</style>", " ", made.report.read_text(), flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page))


def labelled_blobs(rng, n=600, k=3, features=6, spread=12.0):
    """Return latents in k blobs, and which one each image is in."""
    labels = rng.integers(0, k, n)
    return rng.normal(size=(n, features)) + spread * np.eye(k, features)[labels], labels


# --- planted cases


def test_noise_is_called_noise(rng, tmp_path):
    latents, labels = rng.normal(size=(900, 10)), rng.integers(0, 3, 900)
    made = judge(latents, tmp_path, labels=labels, map="tsne", clusters=12, stability=5)
    for probe in ("logistic_ovr", "logistic_multinomial", "knn"):
        low, high = made.metrics["probe"][probe]["interval"]["balanced"]
        assert low <= 1 / 3 <= high
    stability = made.metrics["stability"]
    assert stability["ari_mean"] < 0.9
    assert len(stability["unstable"]) > 6
    assert len(made.metrics["clusters"]["invented"]) > 6
    assert "say nothing about the labels" in words(made)


def test_clusters_of_slides_are_called_so(rng, tmp_path):
    latents, labels = labelled_blobs(rng, spread=3.0)
    slides = rng.integers(0, 8, len(latents))
    latents[:, 3:] += 14 * ((slides[:, None] >> np.arange(3)) & 1)  # the corners of a cube
    names = np.array([f"s{i}" for i in range(8)])
    columns = {"slide": names[slides], "noise": rng.normal(size=len(latents))}
    made = judge(latents, tmp_path, labels=labels, columns=columns, map="tsne")
    found = made.metrics["confounders"]
    assert found["followed"] == ["slide"]
    assert found["columns"]["slide"]["score"] > 0.95
    assert found["columns"]["noise"]["interval"][0] <= 0.02
    assert len(found["columns"]["slide"]["left_out"]["groups"]) == 6  # the other two validate and test
    assert (
        made.metrics["probe"]["split"]["kind"] == "grouped"
    )  # slides are kept together without being asked for
    assert "follow slide" in words(made) or "follow the column slide" in words(made)


def test_clusters_of_labels_are_not_blamed_on_slides(rng, tmp_path):
    latents, labels = labelled_blobs(rng)
    slides = rng.integers(0, 4, len(latents))
    made = judge(latents, tmp_path, labels=labels, columns={"slide": slides}, clusters=3)
    assert made.metrics["confounders"]["followed"] == []
    assert made.metrics["matched"]["accuracy"] > 0.95
    assert made.metrics["stability"]["unstable"] == []
    assert made.metrics["clusters"]["invented"] == []


def test_two_blobs_cut_in_three_are_unstable(rng, tmp_path):
    latents = rng.normal(size=(600, 6)) + 30.0 * (np.arange(600) % 2)[:, None]
    made = judge(latents, tmp_path, clusters=3, stability=5)
    stability = made.metrics["stability"]
    assert stability["unstable"]
    assert "do not come back" in words(made) or "does not come back" in words(made)
    whole = analyze(latents, tmp_path / "two", map="pca", clusters=2, verbose=0).metrics["stability"]
    assert whole["unstable"] == []
    assert min(whole["jaccard"].values()) > 0.99


def test_k_is_chosen_by_the_silhouette(rng, tmp_path):
    latents, _ = labelled_blobs(rng, k=5, spread=40.0)
    found = judge(latents, tmp_path, clusters=None, map="tsne").metrics["clusters"]
    assert (found["chosen"], found["k"]) == (True, 5)
    assert len(found["silhouette_curve"]["k"]) == len(found["silhouette_curve"]["silhouette"]) > 5


@pytest.mark.parametrize("method", ["mixture", "hdbscan"])
def test_other_methods_find_blobs(rng, tmp_path, method):
    latents, labels = labelled_blobs(rng, spread=30.0)
    found = judge(latents, tmp_path, labels=labels, cluster_method=method, clusters=3).metrics
    assert (found["clusters"]["method"], found["clusters"]["k"]) == (method, 3)
    assert found["clusters"]["purity"] == 1.0
    rows = {(row["method"], row["on"]): row for row in found["clusterings"]}
    assert len(rows) == 6
    assert rows["kmeans", "latents"]["ari"] == 1.0


# --- groups


def test_no_group_is_on_both_sides_of_the_probes(rng, tmp_path):
    latents, labels = labelled_blobs(rng)
    slides = np.arange(len(latents)) % 12
    made = judge(latents, tmp_path, labels=labels, columns={"slide": slides}, group="slide")
    table = pq.read_table(tmp_path / "run" / "latents.parquet")
    sides = {}
    for slide, side in zip(table["slide"].to_pylist(), table["split"].to_pylist(), strict=True):
        sides.setdefault(slide, set()).add(side)
    assert {len(found) for found in sides.values()} == {1}
    assert made.metrics["probe"]["split"] == {
        "kind": "grouped",
        "group": "slide",
        "groups": {"train": 10, "validation": 1, "test": 1},
        "leaking": 0,
    }
    assert "slide" in words(made)


def test_a_split_that_divides_groups_is_not_used_for_the_probes(rng, tmp_path):
    n_slides, per_slide = 12, 30
    slides = np.repeat(np.arange(n_slides), per_slide)
    labels = (np.arange(n_slides) % 2)[slides]  # a label of the slide
    latents = rng.normal(size=(n_slides, 8))[slides] + 0.01 * rng.normal(size=(len(slides), 8))
    split = np.where(np.arange(len(slides)) % 3 == 0, "test", "train")
    columns = {f"z{i:03d}": latents[:, i].astype(np.float32) for i in range(8)}
    pq.write_table(
        pa.table({"split": split, "label": labels, "site": slides, **columns}), tmp_path / "z.parquet"
    )
    options = {"map": "pca", "clusters": 4, "stability": 0, "verbose": 0}
    leaking = analyze(tmp_path / "z.parquet", tmp_path / "a", **options).metrics["probe"]
    assert leaking["split"] == {"kind": "given"}
    assert leaking["knn"]["test"] == 1.0  # each test tile has its slide's others beside it
    honest = analyze(tmp_path / "z.parquet", tmp_path / "b", group="site", **options)
    assert honest.metrics["probe"]["split"]["kind"] == "grouped"
    assert honest.metrics["probe"]["split"]["leaking"] > n_slides - 2  # validation may have drawn a whole one
    assert honest.metrics["probe"]["knn"]["test"] < 1.0
    assert "of a split of the probes' own" in honest.metrics["protocol"]["probe.knn"]["measured_on"]


# --- latents of other models


def test_parquet_of_another_model(rng, tmp_path):
    latents, labels = labelled_blobs(rng)
    table = {f"emb_{i}": latents[:, i] for i in range(6)}
    pq.write_table(pa.table({**table, "kind": labels, "age": rng.normal(size=600)}), tmp_path / "a.parquet")
    lists = pa.table(
        {"path": [f"{i}.png" for i in range(600)], "embedding": latents.tolist(), "label": labels}
    )
    pq.write_table(lists, tmp_path / "b.parquet")
    np.save(tmp_path / "c.npy", latents)
    np.save(tmp_path / "labels.npy", labels)
    options = {"map": "pca", "clusters": 3, "stability": 0, "verbose": 0}
    found = [
        analyze(tmp_path / "a.parquet", labels="kind", **options),
        analyze(tmp_path / "b.parquet", **options),
        analyze(tmp_path / "c.npy", labels=tmp_path / "labels.npy", **options),
        analyze(latents, tmp_path / "d", labels=labels, **options),
    ]
    assert [made.facts["latents_from"] for made in found] == [
        "emb_0 to emb_5",
        "embedding",
        "the array",
        "the array",
    ]
    scores = [made.metrics["probe"]["logistic_ovr"]["test"] for made in found]
    assert scores == [pytest.approx(scores[0])] * 4
    assert found[0].metrics["confounders"]["columns"].keys() == {"age"}
    assert pq.read_table(tmp_path / "b-analysis" / "latents.parquet")["id"][3].as_py() == "3.png"


def test_labels_must_be_a_column_or_a_file(rng, tmp_path):
    table = pa.table({"z000": [1.0, 2.0, 3.0], "site": ["a", "b", "a"]})
    pq.write_table(table, tmp_path / "z.parquet")
    with pytest.raises(OptionError, match="'klass', which is no file and none of the columns site"):
        analyze(tmp_path / "z.parquet", labels="klass", verbose=0)
    assert [file.name for file in tmp_path.iterdir()] == ["z.parquet"]


@pytest.mark.parametrize(
    "table",
    [
        {"a": [1.0, 2.0], "b": [1.0, 2.0]},
        {"z001": [1.0, 2.0]},
        {"label": ["a", "b"]},
        {"x": [[1.0], [1.0, 2.0]]},
        {"z000": [1.0, None]},
    ],
)
def test_tables_without_latents_get_a_sentence(tmp_path, table):
    pq.write_table(pa.table(table), tmp_path / "z.parquet")
    with pytest.raises(FileFormatError, match=r"must (hold latents|be readable as a Parquet file)"):
        analyze(tmp_path / "z.parquet", verbose=0)


# --- what cannot be judged


def test_missing_labels_are_counted_and_left_out(rng, tmp_path, capsys):
    latents, labels = labelled_blobs(rng)
    some = np.where(rng.uniform(size=600) < 0.25, None, labels.astype(object))
    missing = sum(value is None for value in some)
    made = judge(latents, tmp_path, labels=some, clusters=3, verbose="auto")
    assert made.metrics["labels"] == {"classes": 3, "missing": missing}
    assert f"labels: missing for {missing} images" in capsys.readouterr().err
    assert made.metrics["clusters"]["purity"] == 1.0
    assert pq.read_table(made.path / "latents.parquet")["label"].null_count == missing
    assert f"{missing} images" in words(made)
    again = analyze(made.path, clusters=4, verbose=0)
    assert again.metrics["labels"]["missing"] == missing


def test_one_class_is_left_out(rng, tmp_path, capsys):
    made = judge(rng.normal(size=(60, 3)), tmp_path, labels=["same"] * 60, verbose="auto")
    assert "probe" not in made.metrics
    assert "needs 2 to 200 different ones" in capsys.readouterr().err


@pytest.mark.parametrize("method", ["tsne", "pca"])
def test_constant_latents_are_called_so(tmp_path, capsys, method):
    made = judge(np.ones((50, 4)), tmp_path, labels=[0, 1] * 25, map=method, verbose="auto")
    assert made.metrics["latents"]["dead"] == 4
    assert "clusters" not in made.metrics
    assert "every one is constant" in capsys.readouterr().err
    assert "4" in words(made)


@pytest.mark.parametrize("n_images", [8, 13, 40])
def test_fewer_images_than_neighbours(rng, tmp_path, n_images):
    labels = np.arange(n_images) % 2
    made = judge(rng.normal(size=(n_images, 3)), tmp_path, labels=labels, clusters=2, map="tsne")
    assert made.metrics["projection"]["map"]["neighbours"] < 15 or n_images == 40
    assert made.report.is_file()


def test_few_different_latents(tmp_path):
    labels = np.repeat([0, 1, 2], 40)
    made = judge(np.eye(3)[labels], tmp_path, labels=labels, map="tsne", clusters=8)
    assert made.metrics["matched"]["latents"]["accuracy"] == 1.0


def test_hostile_names_are_text(rng, tmp_path):
    latents, labels = labelled_blobs(rng, n=120)
    columns = {EVIL: [EVIL, "b"] * 60, "a,b": rng.normal(size=120)}
    made = judge(latents, tmp_path, labels=np.array([EVIL, "it's", 'a "b", c'])[labels], columns=columns)
    page = made.report.read_text()
    assert page.count("<script") == 1  # the page's own
    assert "&lt;script&gt;alert" in page
    assert {file.suffix for file in (made.path / "figures").iterdir()} == {".png"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"group": "slide"}, "group must be a column that is known .* Received group='slide'"),
        ({"confounders": ("slide",)}, "confounders must be among .* Received 'slide'"),
        ({"columns": {"slide": [1, 2]}}, "column slide must hold one value for each image"),
        ({"columns": {"slide": [None] + [1] * 29}, "group": "slide"}, "must be known for every image"),
        ({"columns": {"slide": [1, 2] * 15}, "group": "slide"}, "2 groups"),
        ({"clusters": 0}, "clusters must be an integer of at least 1"),
        ({"clusters": 31}, "number of clusters must be at least 1 and at most"),
        ({"cluster_method": "birch"}, "cluster_method must be one of kmeans, mixture, hdbscan"),
        ({"stability": 1}, "stability must be 0 or at least 2 seeds"),
        ({"labels": [1, 2]}, "labels must hold one value for each image"),
    ],
)
def test_bad_input_gets_a_sentence_and_leaves_nothing(rng, tmp_path, arguments, message):
    with pytest.raises(CaescopeError, match=message):
        judge(rng.normal(size=(30, 3)), tmp_path, **arguments)
    assert not list(tmp_path.iterdir())


def test_nan_latents_and_arrays_without_a_place(tmp_path):
    with pytest.raises(DataError, match="latents must be finite"):
        judge(np.full((30, 3), np.nan), tmp_path)
    with pytest.raises(OptionError, match="out must be given for latents in an array"):
        analyze(np.zeros((30, 3)), verbose=0)


# --- models trained again


def test_models_with_other_seeds_are_compared(tmp_path):
    rng = np.random.default_rng(0)
    kinds = rng.integers(0, 2, 200)
    images = np.zeros((200, 8, 8, 1), np.float32)
    images[kinds == 0, 2:6, 2:6] = 0.9
    images[kinds == 1, :, :2] = 0.9
    images += rng.uniform(0, 0.1, images.shape).astype(np.float32)
    options = {"epochs": 20, "latent_features": 3, "filters": (4,), "clusters": 2, "verbose": 0}
    made = run(images, tmp_path / "run", models=3, stability=0, map="pca", batch_size=16, **options)
    models = made.metrics["stability"]["models"]
    assert models["n"] == 3
    assert models["ari_least"] == 1.0
    assert models["jaccard"] == {"0": 1.0, "1": 1.0}
