import gzip
import json
import pickle
import weakref

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from sklearn.decomposition import PCA

from caescope import CAE, metrics
from caescope.data import FolderSource
from caescope.errors import CaescopeError, DataError, FileFormatError, OptionError
from caescope.pipeline import analyze, encode, fit, run
from caescope.table import read_latents

QUICK = {"epochs": 2, "latent_features": 4, "filters": (4,), "clusters": 5, "verbose": 0, "device": "cpu"}
LONGER = {"epochs": 40, "batch_size": 16}
KINDS = np.array(["bar", "dot", "ring"])


def draw(n, rng) -> tuple[np.ndarray, np.ndarray]:
    """Bars, dots and rings with some noise, and which of them each image is."""
    y, x = np.mgrid[:12, :12] - 5.5
    radius = np.hypot(x, y)
    shapes = np.stack([np.abs(x) < 1.5, radius < 2, np.abs(radius - 4) < 1]).astype(np.float32)
    kinds = rng.integers(0, 3, n)
    noise = rng.uniform(0, 0.3, (n, 12, 12)).astype(np.float32)
    return (0.7 * shapes[kinds] + noise)[..., None], KINDS[kinds]


@pytest.fixture(scope="module")
def drawn():
    return draw(150, np.random.default_rng(0))


@pytest.fixture(scope="module")
def made(drawn, tmp_path_factory):
    """One run with labels, used by many tests and changed by none."""
    images, labels = drawn
    return run(images, tmp_path_factory.mktemp("runs") / "shapes", labels=labels, **QUICK | LONGER)


def test_a_run_folder_holds_what_the_contract_says(made):
    assert {file.name for file in made.path.iterdir()} == {
        "run.yaml",
        "model",
        "latents.parquet",
        "metrics.json",
        "figures",
        "report.html",
        "logs",
    }
    assert {file.name for file in (made.path / "model").iterdir()} == {
        "params.yaml",
        "encoder.h5",
        "decoder.h5",
    }
    figures = {file.stem for file in (made.path / "figures").iterdir()}
    expected = (
        "samples pairs loss errors extremes latent_std explained_variance correlation sweeps pca_map "
        "map_labels map_clusters map_error map_column_0 probes confusion cluster_labels gini "
        "clusterings stability confounders"
    )
    assert figures == set(expected.split()) | {f"cluster_{i:02d}" for i in range(5)}
    assert list(made.path.glob("logs/events.out.tfevents.*"))


def test_latents_parquet_has_a_row_for_each_image(made, drawn):
    table = pq.read_table(made.path / "latents.parquet")
    columns = ["id", "split", "label", "z000", "z001", "z002", "z003", "map_x", "map_y", "cluster", "error"]
    assert table.column_names == [*columns, "brightness"]
    np.testing.assert_allclose(table["brightness"].to_numpy(), drawn[0].mean(axis=(1, 2, 3)), atol=1e-6)
    assert len(table) == 150
    assert table["label"].to_pylist() == drawn[1].tolist()
    assert {name: table["split"].to_pylist().count(name) for name in ("train", "validation", "test")} == {
        "train": 120,
        "validation": 15,
        "test": 15,
    }


def test_the_figures_are_those_of_the_latents(made, drawn):
    images, labels = drawn
    table = read_latents(made.path / "latents.parquet")
    cae = CAE(path=made.path / "model", load=True)
    np.testing.assert_allclose(table.latents, cae.encoder.predict(images), atol=1e-5)
    found = made.metrics
    for name in ("train", "validation", "test"):
        rows = table.split == name
        assert found["reconstruction"][name]["mse"] == pytest.approx(
            cae.model.evaluate(images[rows]), rel=1e-4
        )
        assert found["reconstruction"][name]["mse"] == pytest.approx(table.errors[rows].mean(), rel=1e-4)
    train = table.split == "train"
    ginis = metrics.cluster_gini(table.clusters[train], labels[train])
    assert found["clusters"]["gini"] == pytest.approx({str(name): value for name, value in ginis.items()})
    assert found["clusters"]["gini_mean"] == pytest.approx(np.mean(list(ginis.values())))
    assert found["clusters"]["purity"] == pytest.approx(metrics.purity(table.clusters[train], labels[train]))
    assert found["clusters"]["sizes"] == {str(i): int((table.clusters[train] == i).sum()) for i in range(5)}
    assert (found["clusters"]["k"], found["matched"]["k"]) == (5, 3)
    assert len(found["projection"]["pca"]["explained_variance_ratio"]) == 4
    assert (found["latents"]["features"], found["latents"]["dead"]) == (4, 0)
    assert sum(found["latents"]["spectrum"]) == pytest.approx(1)
    for name, quality in found["reconstruction"].items():
        assert quality["interval"]["mse"][0] < quality["mse"] < quality["interval"]["mse"][1]
        pixels = images.reshape(len(images), -1)
        kept = PCA(4).fit(pixels[train])
        floor = np.square(pixels - kept.inverse_transform(kept.transform(pixels)))[table.split == name].mean()
        assert found["pca_floor"][name]["mse"] == pytest.approx(floor, rel=1e-3)
    # Three shapes as plain as these are told apart by every method
    assert found["probe"]["logistic_ovr"]["test"] == 1.0
    assert found["probe"]["knn"]["test"] == 1.0
    assert found["clusters"]["purity"] > 0.95


def test_every_figure_says_what_it_was_measured_on(made):
    assert set(made.metrics["protocol"]) == {
        "reconstruction",
        "pca_floor",
        "latents",
        "probe.logistic_ovr",
        "probe.logistic_multinomial",
        "probe.knn",
        "probe.baselines",
        "projection.pca",
        "projection.map",
        "clusters",
        "clusterings",
        "matched",
        "stability",
        "confounders",
    }
    for name, facts in made.metrics["protocol"].items():
        assert "120 train images" in facts["fitted_on"]
        assert facts["measured_on"]
        assert facts["seed"] == 0
        on_new_images = name.startswith(("reconstruction", "pca_floor", "probe", "confounders"))
        assert facts["kind"] == ("inductive" if on_new_images else "transductive")
    assert [made.metrics["protocol"][name]["k"] for name in ("clusters", "matched")] == [5, 3]


def test_seconds_cover_every_stage(made):
    seconds = made.metrics["seconds"]
    assert {"train", "encode", "probe", "map", "cluster", "total"} <= set(seconds)
    assert seconds["total"] >= sum(value for name, value in seconds.items() if name != "total") > 0


def test_run_yaml_says_how_to_do_it_again(made, drawn, tmp_path):
    facts = yaml.safe_load((made.path / "run.yaml").read_text())
    assert facts["n_images"] == {"train": 120, "validation": 15, "test": 15}
    assert facts["image_shape"] == [12, 12, 1]
    assert facts["seed"] == 0
    assert {"caescope", "torch", "numpy"} <= set(facts["versions"])
    again = run(drawn[0], tmp_path / "again", labels=drawn[1], verbose=0, **facts["options"])
    first, second = (read_latents(folder / "latents.parquet") for folder in (made.path, again.path))
    assert np.array_equal(first.split, second.split)
    np.testing.assert_allclose(first.latents, second.latents, atol=1e-5)
    assert again.facts["fingerprint"] == facts["fingerprint"]


def test_without_labels_what_needs_them_is_absent(drawn, tmp_path):
    found = run(drawn[0], tmp_path / "run", **QUICK).metrics
    assert "probe" not in found
    assert "matched" not in found
    assert not {"gini", "entropy", "purity", "purities"} & set(found["clusters"])
    assert "label" not in found["confounders"]
    assert {"probe.knn", "matched"}.isdisjoint(found["protocol"])
    assert "label" not in pq.read_schema(tmp_path / "run" / "latents.parquet").names
    assert not (tmp_path / "run" / "figures" / "gini.png").exists()


def test_labels_that_say_nothing_are_kept_and_not_judged(drawn, tmp_path, capsys):
    found = run(drawn[0], tmp_path / "run", labels=["all"] * 150, **QUICK | {"verbose": "auto"}).metrics
    assert "probe" not in found
    assert "left out of the judgement" in capsys.readouterr().err
    assert "label" in pq.read_schema(tmp_path / "run" / "latents.parquet").names


def test_progress_goes_to_standard_error_alone(drawn, tmp_path, capsys):
    run(drawn[0], tmp_path / "run", **QUICK | {"verbose": "auto"})
    out, err = capsys.readouterr()
    assert out == ""
    for stage in ("train", "epoch 2/2", "encode", "baselines", "map", "cluster", "stability", "figures"):
        assert stage in err


def test_fit_and_encode_give_what_run_gives(drawn, tmp_path):
    first = read_latents(run(drawn[0], tmp_path / "run", **QUICK).path / "latents.parquet")
    cae = fit(drawn[0], tmp_path / "model", **QUICK)
    assert sorted(file.name for file in cae.path.iterdir()) == ["decoder.h5", "encoder.h5", "params.yaml"]
    table = read_latents(encode(tmp_path / "model", drawn[0], tmp_path / "z.parquet", verbose=0))
    again = read_latents(tmp_path / "z.parquet")
    for found in (table, again):
        np.testing.assert_allclose(found.latents, first.latents, atol=1e-5)
        np.testing.assert_allclose(found.errors, first.errors, atol=1e-5)
        assert found.labels is None
        assert found.split is None


@pytest.fixture
def tiles(tmp_path):
    """A folder of 40 images in two classes, which hold noise of their own, and the images in its order."""
    from PIL import Image

    images = np.random.default_rng(0).integers(0, 256, (40, 12, 12, 1), np.uint8)
    for i, image in enumerate(images):
        file = tmp_path / "tiles" / "ab"[i // 20] / f"{i:02d}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[..., 0]).save(file)
    return tmp_path / "tiles", images


def test_encoding_a_folder_gives_what_its_images_in_memory_give(made, tiles, tmp_path, monkeypatch):
    folder, images = tiles
    monkeypatch.setattr(
        "caescope.encoding.images_at_a_time", lambda *_: 3
    )  # many blocks, the last one smaller
    streamed = read_latents(encode(made.path / "model", folder, tmp_path / "z.parquet", verbose=0))
    cae = CAE(path=made.path / "model", load=True)
    np.testing.assert_allclose(streamed.latents, cae.encoder.predict(images), atol=1e-5)
    errors = np.square(cae.model.predict(images) - images / 255).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(streamed.errors, errors, rtol=1e-5)
    assert streamed.ids.tolist() == [f"{'ab'[i // 20]}/{i:02d}.png" for i in range(40)]
    assert streamed.labels.tolist() == ["a"] * 20 + ["b"] * 20


def test_encoding_a_folder_holds_a_few_blocks_at_a_time(made, tiles, tmp_path, monkeypatch):
    held, most, read = weakref.WeakSet(), [], FolderSource.read

    def watched_read(source, indices):
        images = read(source, indices)
        block = Block(images.shape, images.dtype)
        block[...] = images
        held.add(block)
        most.append(sum(len(images) for images in held))
        return block

    class Block(np.ndarray):
        __hash__ = object.__hash__

    monkeypatch.setattr(FolderSource, "read", watched_read)
    monkeypatch.setattr("caescope.parallel.count_cores", lambda: 2)
    monkeypatch.setattr("caescope.encoding.images_at_a_time", lambda *_: 2)
    encode(made.path / "model", tiles[0], tmp_path / "z.parquet", verbose=0)
    assert len(most) == 20
    assert max(most) <= 2 * 2  # two threads with two images each


def test_encoding_refuses_mixed_sizes_before_it_encodes(made, tiles, tmp_path, monkeypatch):
    from PIL import Image

    Image.new("L", (12, 13)).save(tiles[0] / "b" / "99.png")
    monkeypatch.setattr("caescope.encoding.map_in_order", None)
    with pytest.raises(DataError, match=r"40 of 41 with 12×12 pixels .* but b/99.png with 13×12"):
        encode(made.path / "model", tiles[0], tmp_path / "z.parquet", verbose=0)
    assert not (tmp_path / "z.parquet").exists()


def test_a_damaged_image_on_the_way_leaves_no_file(made, tiles, tmp_path):
    for name in ("b/35.png", "a/12.png"):
        content = (tiles[0] / name).read_bytes()
        (tiles[0] / name).write_bytes(content[:60])
    with pytest.raises(FileFormatError, match=r"a/12.png must be readable"):
        encode(made.path / "model", tiles[0], tmp_path / "z.parquet", verbose=0)
    assert not (tmp_path / "z.parquet").exists()


def test_encoding_leaves_the_number_of_threads_as_it_was(made, tiles, tmp_path, monkeypatch):
    seen, before, read = set(), torch.get_num_threads(), FolderSource.read

    def watched_read(source, indices):
        seen.add(torch.get_num_threads())
        return read(source, indices)

    monkeypatch.setattr(FolderSource, "read", watched_read)
    torch.set_num_threads(3)
    try:
        encode(made.path / "model", tiles[0], tmp_path / "z.parquet", verbose=0)
        assert (seen, torch.get_num_threads()) == ({1}, 3)
    finally:
        torch.set_num_threads(before)


def test_analyze_judges_a_file_with_labels_given_later(made, drawn, tmp_path):
    encode(made.path / "model", drawn[0], tmp_path / "z.parquet", verbose=0)
    np.save(tmp_path / "y.npy", drawn[1])
    result = analyze(tmp_path / "z.parquet", labels=tmp_path / "y.npy", clusters=4, verbose=0)
    assert result.path == tmp_path / "z-analysis"
    assert result.metrics["clusters"]["k"] == 4
    assert result.metrics["probe"]["logistic_ovr"]["test"] == 1.0
    assert "reconstruction" not in result.metrics
    assert result.report.is_file()


def test_analyze_judges_a_run_anew_and_keeps_the_rest(drawn, tmp_path):
    np.savez(tmp_path / "shapes.npz", images=drawn[0], labels=drawn[1])
    first = run(tmp_path / "shapes.npz", tmp_path / "run", **QUICK)
    second = analyze(tmp_path / "run", clusters=3, verbose=0)
    assert second.path == first.path
    assert second.metrics["clusters"]["k"] == 3
    assert second.metrics["reconstruction"] == first.metrics["reconstruction"]
    assert second.facts["options"] == first.facts["options"] | {"clusters": 3}
    assert (tmp_path / "run" / "model" / "encoder.h5").is_file()
    sheets = {file.name for file in (tmp_path / "run" / "figures").glob("cluster_0*")}
    assert sheets == {"cluster_00.png", "cluster_01.png", "cluster_02.png"}
    assert sorted(file.name for file in tmp_path.iterdir()) == ["run", "shapes.npz"]


def mnist_like(path, content: bytes):
    path.write_bytes(content)
    return path


def bad_inputs(tmp_path, images):
    """Yield a name, a source, further arguments and a piece of the sentence for each kind of bad input."""
    from PIL import Image

    yield "no file", tmp_path / "nothing.npz", {}, "must exist"
    evil = gzip.compress(pickle.dumps(print))
    yield "pickle", mnist_like(tmp_path / "evil.pkl.gz", evil), {}, "Received"
    whole = gzip.compress(np.random.default_rng(0).bytes(10_000))
    yield (
        "truncated gzip",
        mnist_like(tmp_path / "cut.pkl.gz", whole[:5000]),
        {},
        "cut.pkl.gz must be readable",
    )
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    for i, size in enumerate([(8, 8), (8, 8), (9, 8)]):
        Image.new("L", size).save(mixed / f"{i}.png")
    yield "mixed sizes", mixed, {}, "size"
    yield "NaN", np.full((30, 8, 8), np.nan), {}, "must be finite"
    yield "infinite", np.full((30, 8, 8), np.inf), {}, "must be finite"
    yield "range", images * 3, {}, "must lie in [0, 1]"
    yield "labels", images, {"labels": [1, 2, 3]}, "labels must hold one value for each image"
    (tmp_path / "empty").mkdir()
    yield "empty folder", tmp_path / "empty", {}, "must hold images"
    yield "K", images[:20], {"clusters": 21}, "The number of clusters must be at least 1 and at most"
    yield "option", images, {"perplexity": 0}, "perplexity must be"
    yield "name", images, {"latents": 3}, "An option must be one of latent_features"
    yield "map", images, {"map": "som"}, "The map must be one of tsne, pca, umap"


def test_bad_input_gets_a_sentence_and_leaves_nothing(tmp_path, drawn):
    for name, source, arguments, piece in bad_inputs(tmp_path, drawn[0]):
        before = sorted(tmp_path.iterdir())
        with pytest.raises(CaescopeError) as caught:
            run(source, tmp_path / "out", **QUICK | arguments)
        message = str(caught.value)
        assert piece in message, name
        assert ". Received " in message, name
        assert sorted(tmp_path.iterdir()) == before, name


def test_a_failure_on_the_way_leaves_the_earlier_run(drawn, tmp_path, monkeypatch):
    images, _ = drawn
    run(images, tmp_path / "run", **QUICK)
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "run").rglob("*")}

    def fail(_):
        raise DataError("The report must fail", "a test", "Nothing to do.")

    monkeypatch.setattr("caescope.auditing.write_report", fail)
    with pytest.raises(DataError):
        run(images, tmp_path / "run", overwrite=True, **QUICK)
    with pytest.raises(DataError):
        run(images, tmp_path / "new", **QUICK)
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "run").rglob("*")} == before
    assert [file.name for file in tmp_path.iterdir()] == ["run"]


NOTES = '{"format_version": 1, "revision": 1, "clusters": {}, "tags": [], "remarks": [], "clustering": ""}'


def test_an_earlier_run_is_replaced_only_when_asked(drawn, tmp_path):
    images, _ = drawn
    run(images, tmp_path / "run", **QUICK)
    with pytest.raises(OptionError, match="must be new or empty"):
        run(images, tmp_path / "run", **QUICK)
    (tmp_path / "run" / "notes.json").write_text(NOTES)
    replaced = run(images, tmp_path / "run", overwrite=True, **QUICK | {"clusters": 3})
    assert replaced.metrics["clusters"]["k"] == 3
    assert (tmp_path / "run" / "notes.json").read_text() == NOTES  # nobody can compute them again


def test_a_folder_of_something_else_is_never_replaced(drawn, tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(OptionError, match="which holds something else"):
        run(drawn[0], tmp_path, overwrite=True, **QUICK)
    assert (tmp_path / "thesis.tex").read_text() == "precious"


def test_encode_refuses_images_of_another_shape(made, tmp_path):
    with pytest.raises(DataError, match="must have shape"):
        encode(made.path / "model", np.zeros((3, 8, 8)), tmp_path / "z.parquet", verbose=0)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("missing", ["params.yaml", "encoder.h5", "decoder.h5"])
def test_a_model_folder_with_a_file_missing_gets_a_sentence(drawn, tmp_path, missing):
    CAE((12, 12, 1), 2, [2], path=tmp_path / "model").save()
    (tmp_path / "model" / missing).unlink()
    with pytest.raises(CaescopeError, match=missing):
        encode(tmp_path / "model", drawn[0], tmp_path / "z.parquet", verbose=0)
    assert [file.name for file in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("folder", ["nothing", "empty"])
def test_analyze_refuses_what_is_no_run(tmp_path, folder):
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileFormatError):
        analyze(tmp_path / folder, verbose=0)


def test_metrics_are_plain_json(made):
    text = (made.path / "metrics.json").read_text()
    assert json.loads(text) == made.metrics
    assert "NaN" not in text
    assert "null" not in text
