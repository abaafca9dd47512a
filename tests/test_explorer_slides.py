"""Slides in the explorer: small pictures, surroundings, the deep zoom, and exports."""

import io
import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from browsing import needs_browser, opened, until
from caescope.data import load_tissue
from caescope.explorer import export, open_collection
from caescope.explorer.content import Content
from caescope.explorer.slides import Slides
from caescope.run_folder import describe, fingerprint_source, write_record
from caescope.source_options import SourceOptions
from caescope.table import LatentTable
from explored import ask, change, served


def make_run(folder, source, path, **options):
    """Write a run folder of tiles, whose latents are their mean colours."""
    latents = source.load().images if hasattr(source, "load") else source.images
    latents = latents.mean(axis=(1, 2)).astype(np.float32)
    n, split = len(latents), np.resize(["train", "test"], len(latents))
    folder.mkdir(parents=True)
    table = LatentTable(source.ids, latents, split, None, latents[:, :2].copy(), columns=dict(source.columns))
    clusters = (latents[:, 0] > np.median(latents[:, 0])).astype(np.int32)
    table = LatentTable(table.ids, latents, split, None, table.map, clusters, columns=table.columns)
    table.write(folder / "latents.parquet")
    facts = describe(source.name, split, {"seed": 0, "map": "pca"}, fingerprint_source(source))
    write_record(folder, facts | {"source_path": str(path), "source_options": options}, {})
    assert n == len(table)
    return folder


@pytest.fixture(scope="module")
def tissue(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("tissue") / "run", load_tissue(), "tissue")


@pytest.fixture(scope="module")
def slide(shared_data, tmp_path_factory):
    path = shared_data / "slides" / "CMU-1-Small-Region.svs"
    source = SourceOptions(tile_size=128).find(path)
    return make_run(tmp_path_factory.mktemp("slide") / "run", source, path, tile_size=128)


@pytest.fixture(scope="module")
def content(slide):
    return Content(open_collection(slide))


def pixels(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)


def apart(one, other) -> float:
    """Return the mean difference of two pictures in grey levels; JPEG changes a few."""
    assert one.shape == other.shape
    return float(np.abs(one - np.asarray(other, int)).mean())


def test_a_slide_says_how_large_it_is(content):
    (facts,) = content.describe()["slides"]
    assert (facts["name"], facts["width"], facts["height"]) == ("CMU-1-Small-Region.svs", 2220, 2967)
    assert facts["zoom"] == {"tile": 256, "levels": 13}
    assert facts["mpp"] == pytest.approx(0.499)
    assert pixels(content.thumbnail(0)).shape == (*facts["thumbnail"][::-1], 3)
    assert content.thumbnail(1) is None


def test_the_tile_is_in_the_middle_of_its_surroundings(content):
    shown, tile = pixels(content.surroundings(40)), content.pictures.original(40)
    assert shown.shape == (384, 384, 3)
    assert apart(shown[128:256, 128:256], tile) < 9
    assert content.surroundings(10**6) is None


def test_pieces_of_the_last_level_are_the_slide_itself(content):
    planned = content.collection.source.slides[0].slide
    piece = pixels(content.piece(0, 12, 3, 5))
    region = planned.read_region(0, 3 * 256, 5 * 256, 256, 256)
    assert apart(piece, np.asarray(region)) < 6
    edge = pixels(content.piece(0, 12, 8, 11))
    assert edge.shape == (2967 - 11 * 256, 2220 - 8 * 256, 3)


def test_pieces_of_other_levels_are_the_slide_made_smaller(content):
    assert pixels(content.piece(0, 0, 0, 0)).shape == (1, 1, 3)
    whole = pixels(content.piece(0, 8, 0, 0))  # 16 pixels of level 0 for each
    assert whole.shape == (186, 139, 3)
    planned = content.collection.source.slides[0].slide
    region = planned.read_region(0, 0, 0, 2220, 2967).resize((139, 185), Image.Resampling.BOX)
    assert apart(whole[:180], np.asarray(region)[:180]) < 12


@pytest.mark.parametrize("place", [(0, 13, 0, 0), (0, 12, 9, 0), (0, 12, 0, 12), (0, 0, 1, 0), (1, 0, 0, 0)])
def test_pieces_that_are_nowhere_are_none(content, place):
    assert content.piece(*place) is None


def test_a_section_in_memory_stands_for_a_slide(tissue):
    content, source = Content(open_collection(tissue)), load_tissue()
    (facts,) = content.describe()["slides"]
    assert (facts["name"], facts["width"], facts["zoom"]) == ("tissue", 512, None)
    assert apart(pixels(content.thumbnail(0)), source.picture) < 6
    shown = pixels(content.surroundings(33))  # the second of the second row
    assert apart(shown, source.picture[0:48, 0:48]) < 9
    corner = pixels(content.surroundings(0))
    assert (corner[:14, :14] > 245).all()  # beyond the picture it is white
    assert content.piece(0, 0, 0, 0) is None


def test_places_of_tiles_are_numbers_however_few_they_are(tissue):
    content = Content(open_collection(tissue))
    facts = content.describe()
    for number, name in zip(facts["place"], ("x", "y", "size"), strict=True):
        values = np.frombuffer(content.column(number, "f32"), "<f4")
        np.testing.assert_array_equal(values, load_tissue().columns[name])


def test_slides_that_are_gone_are_told(tissue):
    collection = open_collection(tissue)
    collection.source.__dict__["picture"] = None
    object.__setattr__(collection, "source", None)
    facts = Content(collection).describe()
    assert facts["slides"] == []
    assert facts["off"]["slides"] == "Slides cannot be shown: they are not where they were."
    assert Content(collection).surroundings(0) is None


def test_a_name_that_no_slide_has_shows_nothing(tissue):
    slides = Slides(open_collection(tissue), ["other"])
    assert slides.describe()[0]["width"] == 0
    assert slides.thumbnail(0) is None
    assert slides.surroundings(0) is not None
    assert slides.piece(0, 0, 0, 0) is None


def test_a_tile_of_a_slide_that_is_gone_has_no_surroundings(tmp_path):
    source = load_tissue()
    run = make_run(tmp_path / "run", source, "tissue")
    columns = source.columns | {"slide": np.resize(["gone"], len(source))}
    table = LatentTable(
        source.ids, np.zeros((len(source), 2)), map=np.zeros((len(source), 2)), columns=columns
    )
    table.write(run / "latents.parquet")
    assert Content(open_collection(run)).surroundings(3) is None


def test_tiles_of_a_slide_come_as_geojson_with_the_names_of_clusters(tissue):
    with served(tissue) as port:
        change(port, "/notes.json", b'{"revision": 0, "clusters": {"1": "stroma"}}', "PUT")
        _, headers, body = ask(port, "/notes.geojson")
    assert headers["content-disposition"] == 'attachment; filename="notes.geojson"'
    names = {item["properties"]["classification"]["name"] for item in json.loads(body)["features"]}
    assert names == {"cluster 0", "stroma"}


def test_tiles_of_several_slides_come_in_an_archive(tmp_path):
    source = load_tissue()
    columns = source.columns | {"slide": np.resize(["a.svs", "b.svs"], len(source))}
    run = make_run(tmp_path / "run", source, "tissue")
    table = LatentTable(
        source.ids, np.zeros((len(source), 2)), map=np.zeros((len(source), 2)), columns=columns
    )
    LatentTable(**{**vars(table), "clusters": np.zeros(len(source), np.int32)}).write(run / "latents.parquet")
    with served(run) as port:
        _, headers, body = ask(port, "/notes.geojson")
    assert headers["content-disposition"] == 'attachment; filename="notes.geojson.zip"'
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        assert archive.namelist() == ["a.geojson", "b.geojson"]


def test_an_export_holds_the_slide_and_no_deep_zoom(slide, tmp_path, monkeypatch):
    monkeypatch.setattr("caescope.explorer.as_files.MOST_WHOLE", 1)
    folder = export(open_collection(slide), tmp_path / "page", verbose=0)
    facts = json.loads((folder / "collection.json").read_text())
    assert facts["slides"][0]["zoom"] is None
    assert pixels((folder / "slides" / "0" / "thumbnail.jpg").read_bytes()).shape[2] == 3


@needs_browser
def test_pointing_at_a_tile_on_the_slide_lights_its_point_and_a_click_opens_it(browser, tissue):
    with served(tissue) as port, opened(browser, f"http://127.0.0.1:{port}/#panel=slides") as page:
        canvas = page.locator("#slides canvas").first
        page.wait_for_timeout(1000)
        box = canvas.bounding_box()
        page.mouse.move(box["x"] + box["width"] / 2 + 3, box["y"] + box["height"] / 2 + 3)
        until(page, "document.querySelector('#hover').textContent.includes('tissue/256_256')")
        page.mouse.click(box["x"] + box["width"] / 2 + 3, box["y"] + box["height"] / 2 + 3)
        until(page, "document.querySelector('#image h2')?.textContent === 'tissue/256_256'")
        until(page, "document.querySelectorAll('#image .tile-place img').length > 0")
        page.click("#tab-slides")
        page.locator("#points").focus()
        box = page.locator("#points").bounding_box()
        said = "document.querySelector('#slides .caption').textContent"
        for across in np.linspace(0.2, 0.8, 40).tolist():
            page.mouse.move(box["x"] + across * box["width"], box["y"] + (1 - across) * box["height"])
            page.wait_for_timeout(100)
            if page.evaluate(f"{said}.includes('tissue/')"):
                break
        else:
            pytest.fail("pointing at the map lights no tile")
