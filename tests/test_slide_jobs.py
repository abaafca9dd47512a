"""From slides to clusters and back onto the slides, as a pathologist would."""

import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import tifffile
import yaml
from click.testing import CliRunner
from PIL import Image

from caescope.cli import main
from caescope.data import find_source, load_tissue
from caescope.errors import DataError, FileFormatError, OptionError
from caescope.figures.overlays import _values_of
from caescope.pipeline import analyze, encode, run
from caescope.slide_jobs import export, tile
from caescope.source_options import SourceOptions
from caescope.table import LatentTable, read_latents

QUICK = {"epochs": 2, "latent_features": 3, "filters": (4,), "clusters": 3, "stability": 0, "map": "pca"}
QUICK |= {"verbose": 0, "device": "cpu"}
TILES = {"tile_size": 16, "tissue_rule": "none"}


def call(*arguments, code=0) -> str:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Six slides of 64×48 pixels: the left half of each is bright; every second one is striped."""
    folder = tmp_path_factory.mktemp("study")
    for i in range(6):
        pixels = np.random.default_rng(i).integers(0, 60, (48, 64, 3), dtype=np.uint8)
        pixels[:, :32] += 120
        pixels[::2] += 60 * (i % 2)
        options = {"resolution": (20_000, 20_000), "resolutionunit": "CENTIMETER"}
        name = f"s{i}.tif"
        options |= {"tile": (64, 64), "photometric": "rgb", "compression": "zlib", "metadata": None}
        tifffile.imwrite(folder / name, pixels, **options)
    return folder


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    """One label for each slide."""
    path = tmp_path_factory.mktemp("labels") / "slides.csv"
    rows = [f"s{i}.tif,{'striped' if i % 2 else 'plain'},scanner {i % 3}" for i in range(6)]
    path.write_text("slide,label,scanner\n" + "\n".join(rows) + "\n")
    return path


@pytest.fixture(scope="module")
def made(study, labels, tmp_path_factory):
    return run(study, tmp_path_factory.mktemp("runs") / "run", labels=labels, **QUICK, **TILES)


def test_tiles_know_their_slide_and_what_is_known_about_it(made):
    table = pq.read_table(made.path / "latents.parquet")
    assert len(table) == 6 * 12
    assert table["id"][1].as_py() == "s0.tif/16_0"
    assert table["slide"].to_pylist() == [f"s{i}.tif" for i in range(6) for _ in range(12)]
    assert table["label"].to_pylist() == [("plain", "striped")[i % 2] for i in range(6) for _ in range(12)]
    assert table["scanner"][0].as_py() == "scanner 0"
    assert set(table["size"].to_pylist()) == {16}
    assert set(table["mpp"].to_pylist()) == {0.5}
    brightness = np.mean([table[name].to_numpy() for name in ("red", "green", "blue")], axis=0)
    x = table["x"].to_numpy()
    assert brightness[x < 32].min() > brightness[x >= 32].max()


def test_no_slide_is_on_both_sides_of_the_split(made):
    assert made.facts["split"] == "grouped"
    assert made.metrics["probe"]["split"] == {
        "kind": "grouped",
        "group": "slide",
        "groups": {"train": 4, "validation": 1, "test": 1},
        "leaking": 0,
    }
    table = read_latents(made.path / "latents.parquet")
    assert len({(slide, side) for slide, side in zip(table.columns["slide"], table.split, strict=True)}) == 6


def test_where_a_tile_lies_is_no_confounder(made):
    found = made.metrics["confounders"]
    assert not {"x", "y", "size", "mpp"} & (set(found["columns"]) | set(found["skipped"]))
    assert {"slide", "red"} <= set(found["columns"]) | set(found["skipped"])


def test_the_report_shows_the_slides(made, tmp_path):
    overlays = {file.name for file in (made.path / "figures").glob("overlay_*")}
    assert overlays == {f"overlay_{i:02d}_{k}.png" for i in range(6) for k in range(2)}
    assert "On the slides" in made.report.read_text()
    again = analyze(made.path, tmp_path / "again", clusters=2, verbose=0)
    assert {file.name for file in (again.path / "figures").glob("overlay_*")} == overlays


def test_tiles_that_were_saved_train_as_those_read_from_the_slide(study, made, tmp_path):
    table = tile(study, tmp_path / "plan", save=True, verbose=0, **TILES)
    assert len(list((tmp_path / "plan" / "tiles").rglob("*.png"))) == 72
    assert len(list((tmp_path / "plan").glob("plan_*.png"))) == 6
    from_files, from_slides = find_source(table), SourceOptions(**TILES).find(study)
    np.testing.assert_array_equal(from_files.read(slice(None)), from_slides.read(slice(None)))
    assert from_files.columns["slide"].tolist() == from_slides.columns["slide"].tolist()
    encode(made.path / "model", study, tmp_path / "z.parquet", verbose=0, device="cpu", **TILES)
    encode(made.path / "model", table, tmp_path / "y.parquet", verbose=0, device="cpu")
    ours, theirs = (read_latents(tmp_path / name) for name in ("z.parquet", "y.parquet"))
    np.testing.assert_array_equal(ours.latents, theirs.latents)
    np.testing.assert_allclose(ours.latents, read_latents(made.path / "latents.parquet").latents, atol=1e-5)


def test_nothing_is_saved_that_was_not_asked_for(study, tmp_path):
    out = call("tile", study, "--out", tmp_path / "plan", "--tile-size", 16, "--tissue-rule", "none")
    assert out.splitlines()[-1] == f"tiles: {tmp_path / 'plan' / 'tiles.parquet'}"
    assert not (tmp_path / "plan" / "tiles").exists()
    assert "overwrite" in call("tile", study, "--out", tmp_path / "plan", code=1)


def test_exports_of_a_run(made, tmp_path):
    paths = export(made.path, tmp_path / "qupath", dissolve=True)
    assert [path.name for path in paths] == [f"s{i}.geojson" for i in range(6)]
    features = json.loads(paths[0].read_text())["features"]
    assert {feature["properties"]["objectType"] for feature in features} == {"annotation"}
    assert export(made.path / "latents.parquet", tmp_path / "a.h5ad", "h5ad") == [tmp_path / "a.h5ad"]
    assert len(export(made.path, tmp_path / "features", "features")) == 6
    out = call("export", made.path, "--out", tmp_path / "again", "--value", "label")
    assert out.count(".geojson") == 12
    with pytest.raises(OptionError, match="must be one of geojson, h5ad, features"):
        export(made.path, tmp_path / "x", "svg")


@pytest.mark.usefixtures("undrawn")
def test_a_damaged_slide_is_left_out_where_that_is_allowed(study, tmp_path):
    folder = tmp_path / "study"
    folder.mkdir()
    for file in study.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "s3.tif").write_bytes(b"II*\x00 no slide")
    with pytest.raises(FileFormatError, match=r"s3\.tif"):
        tile(folder, tmp_path / "plan", verbose=0, **TILES)
    assert not (tmp_path / "plan").exists()
    made = run(folder, tmp_path / "run", skip_unreadable=1.0, **QUICK, **TILES)
    assert [name for name, _ in yaml.safe_load((made.path / "run.yaml").read_text())["skipped"]] == ["s3.tif"]
    assert sum(made.facts["n_images"].values()) == 60


# --- folders


@pytest.fixture
def photos(tmp_path):
    """40 photographs, larger to the end of the alphabet, in two classes."""
    rng = np.random.default_rng(0)
    for i in range(40):
        file = tmp_path / "photos" / "ab"[i // 20] / f"{i:02d}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (12 + i // 20, 14, 3), dtype=np.uint8)).save(file)
    return tmp_path / "photos"


def test_mixed_sizes_are_brought_to_one(photos, tmp_path):
    assert "must all have one size" in call("fit", photos, "--out", tmp_path / "m", code=1)
    options = ["--epochs", 1, "--latent-features", 2, "--filters", 4, "--device", "cpu", "--quiet"]
    call("fit", photos, "--out", tmp_path / "m", "--crop", "12,12", "--resize", 8, "--grey", *options)
    assert "input_shape: [8, 8, 1]" in call("inspect", tmp_path / "m")
    sized = ["--crop", "12,12", "--resize", 8, "--grey", "--quiet"]
    call("encode", tmp_path / "m", photos, "--out", tmp_path / "z.parquet", *sized)
    assert len(read_latents(tmp_path / "z.parquet")) == 40


@pytest.mark.usefixtures("undrawn")
def test_unreadable_images_are_listed_or_left_out(photos, tmp_path):
    for name in ("a/03.png", "b/30.png"):
        (photos / name).write_bytes(b"not a picture")
    options = QUICK | {"resize": 8}
    with pytest.raises(DataError, match=r"(?s)2 of 40 images that cannot be read.*a/03\.png.*b/30\.png"):
        run(photos, tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()
    with pytest.raises(DataError, match=r"At most 0\.01 of the images"):
        run(photos, tmp_path / "run", skip_unreadable=0.01, **options)
    made = run(photos, tmp_path / "run", skip_unreadable=0.05, **options)
    assert sum(made.facts["n_images"].values()) == 38
    assert [name for name, _ in made.facts["skipped"]] == ["a/03.png", "b/30.png"]
    again = analyze(made.path, clusters=2, verbose=0)
    assert (again.path / "figures" / "samples.png").exists()


@pytest.mark.usefixtures("undrawn")
def test_a_collection_that_is_streamed_gives_the_same_run(photos, tmp_path, monkeypatch):
    in_memory = run(photos, tmp_path / "a", resize=8, **QUICK)
    monkeypatch.setattr("caescope.source_options.IN_MEMORY", 0)
    streamed = run(photos, tmp_path / "b", resize=8, models=2, **QUICK)
    first, second = (read_latents(made.path / "latents.parquet") for made in (in_memory, streamed))
    np.testing.assert_array_equal(first.latents, second.latents)
    assert first.split.tolist() == second.split.tolist()
    assert streamed.facts["fingerprint"] == in_memory.facts["fingerprint"]
    assert streamed.metrics["pca_floor"] == in_memory.metrics["pca_floor"]
    assert streamed.metrics["probe"] == in_memory.metrics["probe"]


def test_any_latent_can_colour_the_tiles_on_their_slides(made, tmp_path):
    names = ("z001", "label", "red")
    again = analyze(made.path, tmp_path / "again", clusters=2, stability=0, verbose=0, overlay=names)
    figures = {file.name for file in (again.path / "figures").glob("overlay_*")}
    assert figures == {f"overlay_{i:02d}_{k}.png" for i in range(6) for k in range(len(names))}
    report = again.report.read_text()
    assert all(f"Each tile&#39;s {name}." in report for name in names)
    assert "The cluster of each tile." not in report
    table = read_latents(again.path / "latents.parquet")
    np.testing.assert_array_equal(table.column("z001"), table.latents[:, 1])


def test_errors_and_latents_of_few_tiles_are_still_numbers():
    table = LatentTable(np.array(["a", "b"]), np.array([[0.25], [1.5]], np.float32), errors=np.ones(2))
    assert {name: _values_of(table, name)[1].get("kind") for name in ("error", "z000")} == {
        "error": "number",
        "z000": "number",
    }
    few = replace(table, columns={"grade": np.array([1, 2])}, clusters=np.array([0, -1]))
    assert _values_of(few, "grade")[1]["categories"] == [1, 2]
    assert _values_of(few, "cluster")[1]["categories"] == [0]


@pytest.mark.parametrize("name", ["z999", "nothing"])
def test_an_overlay_of_nothing_known_is_refused_before_any_work(made, tmp_path, name):
    with pytest.raises(OptionError, match=r"overlay must be among cluster, error, label, z000 to z.*slide"):
        analyze(made.path, tmp_path / "again", overlay=(name,), verbose=0)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tile_size": 16}, "are for a slide or a folder of slides"),
        ({"resize": 0}, "resize must be an integer from 1"),
        ({"skip_unreadable": 2}, "must be a share from 0 to 1"),
    ],
)
def test_source_options_that_do_not_fit_get_a_sentence(tmp_path, options, message):
    with pytest.raises(OptionError, match=message):
        run(np.zeros((30, 8, 8)), tmp_path / "run", **QUICK, **options)
    assert not list(tmp_path.iterdir())


def test_the_demo_of_tissue_ends_on_the_section(tmp_path):
    made = run("tissue", tmp_path / "run", **QUICK)
    assert sum(made.facts["n_images"].values()) == 1024
    assert {file.name for file in (made.path / "figures").glob("overlay_*")} == {
        "overlay_00_0.png",
        "overlay_00_1.png",
    }
    table = read_latents(made.path / "latents.parquet")
    tiles, picture = load_tissue(), load_tissue().picture
    for i in (0, 33, 1023):
        x, y = (int(table.columns[name][i]) for name in ("x", "y"))
        np.testing.assert_array_equal(tiles.read([i])[0], picture[y : y + 16, x : x + 16])
    again = analyze(made.path, tmp_path / "again", clusters=4, verbose=0)
    assert (again.path / "figures" / "overlay_00_0.png").exists()
