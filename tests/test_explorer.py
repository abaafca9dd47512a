"""What the explorer's server tells of a run folder, and what it keeps."""

import csv
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import webbrowser
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from caescope.analysis.pca import PCAMap
from caescope.cae import CAE
from caescope.errors import DataError, FileFormatError, MissingDependencyError, OptionError
from caescope.explorer import export, open_collection, serve
from caescope.explorer.atlas import THUMB, Atlas, along_curve, draw_page, shrink
from caescope.explorer.content import Content
from caescope.explorer.notes import Notes, cluster_names, parse_notes
from caescope.explorer.pages import static_files
from caescope.explorer.payload import Payload
from caescope.explorer.pictures import Pictures
from caescope.explorer.selecting import from_the_medoid, neighbours
from caescope.explorer.server import address_of, is_loopback, listening, open_browser
from caescope.table import LatentTable, read_latents
from explored import NAUGHTY, SIDE, N, ask, change, make_images, make_run, served


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("explored"))


@pytest.fixture
def own_run(tmp_path):
    return make_run(tmp_path)


@pytest.fixture(scope="module")
def port(run):
    with served(run) as port:
        yield port


@pytest.fixture(scope="module")
def facts(port):
    return json.loads(ask(port, "/collection.json")[2])


def picture(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)))


def values(port, path, dtype):
    return np.frombuffer(ask(port, path)[2], dtype)


def test_maps_come_as_pairs_of_floats_the_run_s_own_first(port, run, facts):
    table = read_latents(run / "latents.parquet")
    assert [each["title"] for each in facts["maps"]] == ["t-SNE", "PCA"]
    np.testing.assert_array_equal(values(port, "/maps/0.f32", "<f4").reshape(-1, 2), table.map)
    expected = PCAMap().fit_transform(table.latents)
    np.testing.assert_array_equal(values(port, "/maps/1.f32", "<f4").reshape(-1, 2), expected)
    low, high = table.map.min(axis=0), table.map.max(axis=0)
    np.testing.assert_allclose(facts["maps"][0]["bounds"], [*low, *high], rtol=1e-6)


def test_columns_tell_categories_from_numbers_and_what_is_missing(port, facts):
    by_name = {column["name"]: (i, column) for i, column in enumerate(facts["columns"])}
    i, cluster = by_name["cluster"]
    assert (cluster["kind"], cluster["categories"], cluster["type"]) == ("category", ["0", "1", "2"], "u8")
    np.testing.assert_array_equal(values(port, f"/columns/{i}.u8", "u1"), np.resize([0, 1, 2, 255], N))
    assert by_name["label"][1]["categories"] == [NAUGHTY, "cat", "dog"]
    i, age = by_name["age"]
    assert (age["kind"], age["min"], age["max"]) == ("number", 20.0, 80.0)
    np.testing.assert_allclose(values(port, f"/columns/{i}.f32", "<f4"), np.linspace(20, 80, N), rtol=1e-6)
    assert by_name["site"][1]["categories"] == ["north", "south"]
    assert [facts["columns"][i]["name"] for i in facts["latent_columns"]] == ["z000", "z001", "z002", "z003"]


def test_ids_and_latents_come_in_blocks(port, run):
    table = read_latents(run / "latents.parquet")
    assert json.loads(ask(port, "/ids/0.json")[2]) == table.ids.tolist()
    np.testing.assert_array_equal(values(port, "/latents/0.f32", "<f4").reshape(N, 4), table.latents)


def test_originals_reconstructions_and_differences_belong_together(port, run):
    table, cae = read_latents(run / "latents.parquet"), CAE(path=run / "model", load=True)
    original = picture(ask(port, "/images/7.png")[2])
    np.testing.assert_array_equal(original, np.asarray(Image.open(run.parent / "images" / "007.png")))
    expected = np.rint(255 * cae.decoder.predict(table.latents[7:8])[0, ..., 0])
    made = picture(ask(port, "/reconstructions/7.png")[2])
    np.testing.assert_allclose(made, expected, atol=1)
    difference = picture(ask(port, "/differences/7.png")[2])
    np.testing.assert_array_equal(difference, np.abs(original.astype(int) - made))


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/main.js", "/collection.json", "/maps/0.f32", "/order/0.u32", "/columns/0.u8", "/ids/0.json"),
        *("/latents/0.f32", "/atlas/0/0.png", "/images/0.png", "/reconstructions/0.png", "/notes.csv"),
        *("/neighbours/0.json", "/notes.json"),
    ],
)
def test_no_answer_is_kept_by_the_browser_where_the_next_run_has_the_same_address(port, path):
    status, headers, _ = ask(port, path)
    assert (status, headers["cache-control"]) == (200, "no-store")


def test_latents_that_are_moved_are_decoded(port, run):
    table, cae = read_latents(run / "latents.parquet"), CAE(path=run / "model", load=True)
    moved = (table.latents[7] + 1).astype("<f4")
    status, headers, content = change(port, "/decode", moved.tobytes())
    assert (status, headers["content-type"]) == (200, "image/png")
    expected = np.rint(255 * cae.decoder.predict(moved[None])[0, ..., 0])
    np.testing.assert_allclose(picture(content), expected, atol=1)


@pytest.mark.parametrize(
    "latents", [[1.0, 2.0, 3.0], [1.0] * 5, [], [1.0, 2.0, 3.0, np.nan], [1.0, 2.0, 3.0, np.inf]]
)
def test_latents_that_no_model_has_are_refused(port, latents):
    status, _, content = change(port, "/decode", np.array(latents, "<f4").tobytes())
    assert status == 400
    assert content.startswith(b"Latents must be finite, and as many as the model has.")


def test_half_a_number_is_refused(port):
    status, _, content = change(port, "/decode", b"abc")
    assert (status, content[:24]) == (400, b"A list of numbers must h")


def test_neighbours_are_those_of_an_exhaustive_search(port, run):
    latents = read_latents(run / "latents.parquet").latents.astype(np.float64)
    found = json.loads(ask(port, "/neighbours/11.json")[2])
    distances = np.linalg.norm(latents - latents[11], axis=1)
    expected = [row for row in np.argsort(distances, kind="stable") if row != 11][:20]
    assert found["rows"] == expected
    np.testing.assert_allclose(found["distances"], distances[expected], rtol=1e-5)


def test_of_few_images_all_others_are_neighbours():
    rows, _ = neighbours(np.array([[0.0], [3.0], [1.0]]), 1)
    assert rows.tolist() == [2, 0]


def test_a_selection_is_sorted_from_its_medoid_on(port, run):
    latents = read_latents(run / "latents.parquet").latents.astype(np.float64)
    rows = np.array([3, 9, 27, 41, 55], "<u4")
    found = np.frombuffer(change(port, "/medoid", rows.tobytes())[2], "<u4")
    sums = [sum(np.linalg.norm(latents[a] - latents[b]) for b in rows) for a in rows]
    middle = rows[int(np.argmin(sums))]
    expected = sorted(rows.tolist(), key=lambda row: np.linalg.norm(latents[row] - latents[middle]))
    assert found.tolist() == expected
    assert from_the_medoid(latents, np.array([4])).tolist() == [4]


@pytest.mark.parametrize("rows", [[], [N], [2**32 - 1]])
def test_rows_that_are_not_there_have_no_medoid(port, rows):
    status, _, content = change(port, "/medoid", np.array(rows, "<u4").tobytes())
    assert status == 400
    assert content.startswith(b"Rows must be those of images with latents.")


class TestThumbnails:
    def test_a_page_shows_each_image_where_the_order_says(self, port, run, facts):
        order, page = values(port, "/order/0.u32", "<u4"), picture(ask(port, "/atlas/0/0.png")[2])
        assert sorted(order.tolist()) == list(range(N))
        assert facts["atlas"] == {"thumb": 32, "side": 32, "pages": 1}
        for place, row in enumerate(order.tolist()):
            top, left = (THUMB * cell for cell in divmod(place, 32))
            image = np.asarray(Image.open(run.parent / "images" / f"{row:03d}.png"))
            shown = page[top : top + THUMB, left : left + THUMB]
            np.testing.assert_array_equal(shown, image.repeat(4, axis=0).repeat(4, axis=1))

    def test_rows_that_follow_each_other_are_near_on_the_map(self):
        points = np.random.default_rng(0).uniform(size=(5000, 2)).astype(np.float32)
        order = along_curve(points)
        assert sorted(order.tolist()) == list(range(5000))
        pages = points[order[:4096]].reshape(4, 1024, 2)
        areas = [np.prod(np.ptp(page, axis=0)) for page in pages]
        assert np.mean(areas) < 0.4  # of the map; of random pages each spans all of it

    def test_rows_that_are_nowhere_come_last(self):
        points = np.array([[np.nan, 0], [1, 1], [0, np.inf], [0, 0]], np.float32)
        assert along_curve(points).tolist() == [3, 1, 0, 2]

    def test_large_images_shrink_and_keep_their_form(self):
        image = np.zeros((50, 100, 3), np.uint8)
        image[:, 50:] = 255
        small = shrink(image)
        assert small.shape == (16, 32, 3)
        assert small[8, 0].tolist() == [0, 0, 0]
        assert small[8, -1].tolist() == [255, 255, 255]

    def test_a_missing_image_is_crossed_out(self):
        page = draw_page(np.full((2, 8, 8, 1), 200, np.uint8), np.array([True, False]))
        assert (page[:32, :32] == 200).all()
        cross = page[:32, 32:64, 0]
        assert cross[0, 0] == cross[31, 31] == cross[0, 31] == 96
        assert cross[0, 5] == 0

    def test_pages_are_kept_beside_the_run_and_read_again(self, own_run):
        first = Content(open_collection(own_run)).atlas.page(0, 0)
        (file,) = (own_run / "explorer").glob("*.png")
        assert file.read_bytes() == first
        file.write_bytes(b"kept")
        assert Content(open_collection(own_run)).atlas.page(0, 0) == b"kept"

    def test_pages_of_images_that_changed_are_made_anew(self, own_run):
        first = Content(open_collection(own_run)).atlas.page(0, 0)
        Image.fromarray(np.zeros((SIDE, SIDE), np.uint8)).save(own_run.parent / "images" / "000.png")
        assert Content(open_collection(own_run)).atlas.page(0, 0) != first

    def test_where_nothing_can_be_written_they_are_shown_all_the_same(self, own_run):
        (own_run / "explorer").write_text("in the way")
        assert Content(open_collection(own_run)).atlas.page(0, 0).startswith(b"\x89PNG")

    def test_a_page_that_many_ask_for_is_made_once(self, run, monkeypatch):
        content, made = Content(open_collection(run)), []
        monkeypatch.setattr(Atlas, "_stored", lambda *_: None)
        read = Pictures.read
        monkeypatch.setattr(Pictures, "read", lambda self, rows: made.append(len(rows)) or read(self, rows))
        with ThreadPoolExecutor(8) as pool:
            pages = list(pool.map(lambda _: content.page(0, 0), range(8)))
        assert len(set(pages)) == 1
        assert made == [N]

    def test_only_so_many_pages_stay_in_memory(self, run, monkeypatch):
        monkeypatch.setattr("caescope.explorer.atlas.MOST_IN_MEMORY", 1)
        atlas = Content(open_collection(run)).atlas
        atlas.page(0, 0), atlas.page(1, 0)
        assert list(atlas._recent) == [(1, 0)]


class TestNotes:
    def test_what_was_said_is_there_after_a_restart_by_id(self, own_run):
        said = {"clusters": {"1": "stroma"}, "tags": [{"name": "odd", "rows": [5, 2]}]}
        said["remarks"] = [{"text": "blurred", "rows": [7], "time": "2026-01-01T00:00:00+00:00"}]
        with served(own_run) as port:
            status, _, content = change(
                port, "/notes.json", json.dumps({"revision": 0, **said}).encode(), "PUT"
            )
        assert status == 200
        with served(own_run) as port:
            again = json.loads(ask(port, "/notes.json")[2])
        assert again == json.loads(content)
        assert again["revision"] == 1
        assert again["tags"] == [{"name": "odd", "rows": [2, 5]}]
        stored = json.loads((own_run / "notes.json").read_text())
        assert stored["tags"] == [{"name": "odd", "ids": ["002.png", "005.png"]}]

    def test_who_comes_second_gets_the_other_s_notes_and_changes_nothing(self, own_run):
        with served(own_run) as port:
            first = {"revision": 0, "clusters": {"0": "one"}}
            second = {"revision": 0, "clusters": {"0": "two"}}
            assert change(port, "/notes.json", json.dumps(first).encode(), "PUT")[0] == 200
            status, _, content = change(port, "/notes.json", json.dumps(second).encode(), "PUT")
            assert status == 409
            assert json.loads(content)["clusters"] == {"0": "one"}
            assert json.loads(ask(port, "/notes.json")[2])["clusters"] == {"0": "one"}

    def test_another_explorer_of_the_same_run_overwrites_nothing(self, own_run):
        table = read_latents(own_run / "latents.parquet")
        one, other = (Notes(own_run / "notes.json", table) for _ in range(2))
        assert one.write({"revision": 0, "tags": [{"name": "odd", "rows": [3]}]})
        assert not other.write({"revision": 0, "clusters": {"0": "two"}})
        assert other.read() == one.read()
        assert other.write({**other.read(), "clusters": {"0": "two"}})
        assert Notes(own_run / "notes.json", table).read() == other.read()
        assert other.read()["tags"] == [{"name": "odd", "rows": [3]}]
        assert sorted(path.name for path in own_run.glob("*notes*")) == ["notes.json"]

    def test_names_of_other_clusters_are_put_aside(self, own_run):
        table = read_latents(own_run / "latents.parquet")
        assert Notes(own_run / "notes.json", table).write({"revision": 0, "clusters": {"0": "stroma"}})
        assert cluster_names(own_run, table.clusters) == {"0": "stroma"}
        moved = np.roll(table.clusters, 1)
        assert cluster_names(own_run, moved) == {}
        other = LatentTable(table.ids, table.latents, clusters=moved)
        assert Notes(own_run / "notes.json", other).read()["clusters"] == {}

    @pytest.mark.parametrize(
        ("content", "why"),
        [
            ([], "a list"),
            ({"clusters": []}, "clusters that are no mapping"),
            ({"clusters": {"9": "x"}}, "a name for a cluster that is not there"),
            ({"clusters": {"-1": "x"}}, "a name for a cluster that is not there"),
            ({"clusters": {"0": 1}}, "no text of at most 200 characters"),
            ({"clusters": {"0": "x" * 201}}, "no text of at most 200 characters"),
            ({"tags": {}}, "no list where one is expected"),
            ({"tags": [1]}, "not subscriptable"),
            ({"tags": [{"rows": []}]}, "'name'"),
            ({"tags": [{"name": " ", "rows": []}]}, "a tag without a name"),
            ({"tags": [{"name": "a", "rows": []}, {"name": "a ", "rows": []}]}, "two tags of one name"),
            ({"tags": [{"name": "a", "rows": [N]}]}, "rows that are not there"),
            ({"tags": [{"name": "a", "rows": [-1]}]}, "rows that are not there"),
            ({"tags": [{"name": "a", "rows": [1.5]}]}, "rows that are not there"),
            ({"tags": [{"name": "a", "rows": [True]}]}, "rows that are not there"),
            ({"remarks": [{"text": "", "rows": [1]}]}, "a remark without a text"),
            ({"remarks": [{"text": "x" * 10_001, "rows": [1]}]}, "no text of at most 10000 characters"),
            ({"remarks": [{"text": "x"}]}, "'rows'"),
        ],
    )
    def test_notes_of_another_form_are_refused(self, content, why):
        with pytest.raises(DataError, match=f"^Notes must hold clusters, tags and remarks.*{why}"):
            parse_notes(content, N, {"0", "1", "2"})

    @pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 200_000])
    def test_what_is_no_json_is_refused(self, port, body):
        status, _, content = change(port, "/notes.json", body, "PUT")
        assert status == 400
        assert content.startswith(b"Notes must come as JSON.")

    @pytest.mark.parametrize(
        "stored",
        ["", "[]", "{}", '{"format_version": 2, "revision": 0}', '{"format_version": 1, "revision": "0"}'],
    )
    def test_a_file_that_holds_something_else_is_refused(self, own_run, stored):
        (own_run / "notes.json").write_text(stored)
        with pytest.raises(FileFormatError, match=r"notes\.json must be readable as notes"):
            Content(open_collection(own_run))

    def test_a_folder_that_cannot_be_written_is_named(self, own_run):
        with served(own_run) as port:
            (own_run / "notes.json").mkdir()
            status, _, content = change(port, "/notes.json", b'{"revision": 0}', "PUT")
        assert status == 500
        assert b"notes.json" in content

    def test_downloads_hold_what_was_said_of_each_image(self, own_run):
        said = {"revision": 0, "clusters": {"1": "=1+1"}, "tags": [{"name": "odd", "rows": [1, 2]}]}
        said["remarks"] = [{"text": "blurred", "rows": [1]}, {"text": "dark", "rows": [1]}]
        with served(own_run) as port:
            change(port, "/notes.json", json.dumps(said).encode(), "PUT")
            parquet = pq.read_table(pa.BufferReader(ask(port, "/notes.parquet")[2])).to_pylist()
            _, headers, content = ask(port, "/notes.csv")
        assert headers["content-disposition"] == 'attachment; filename="notes.csv"'
        assert parquet[1] == {
            **{"id": "001.png", "label": "dog", "cluster": 1, "cluster_name": "=1+1"},
            **{"tags": "odd", "remarks": "blurred; dark"},
        }
        assert parquet[3]["cluster_name"] is None
        row = list(csv.DictReader(io.StringIO(content.decode())))[1]
        assert row["cluster_name"] == "'=1+1"  # a spreadsheet must not run it
        assert row["remarks"] == "blurred; dark"

    def test_without_tiles_there_is_no_geojson(self, port):
        status, _, content = ask(port, "/notes.geojson")
        assert status == 400
        assert b"tiles" in content


class TestWhatIsMissing:
    def test_without_a_model_nothing_is_decoded(self, own_run):
        (own_run / "model" / "params.yaml").unlink()
        with served(own_run) as port:
            off = json.loads(ask(port, "/collection.json")[2])["off"]
            assert list(off) == ["decode"]
            assert "holds no model" in off["decode"]
            assert ask(port, "/reconstructions/0.png")[0] == 404
            assert ask(port, "/images/0.png")[0] == 200

    def test_without_images_the_map_is_there(self, own_run):
        (own_run.parent / "images").rename(own_run.parent / "moved")
        with served(own_run) as port:
            facts = json.loads(ask(port, "/collection.json")[2])
            assert "must exist" in facts["off"]["images"]
            assert (facts["image"], facts["atlas"]) == (None, None)
            assert ask(port, "/images/0.png")[0] == ask(port, "/atlas/0/0.png")[0] == 404
            assert ask(port, "/maps/0.f32")[0] == 200

    def test_images_that_are_gone_are_counted_and_the_others_shown(self, own_run):
        (own_run.parent / "images" / "003.png").unlink()
        with served(own_run) as port:
            assert json.loads(ask(port, "/collection.json")[2])["gone"] == 1
            assert ask(port, "/images/3.png")[0] == 404
            shown = picture(ask(port, "/images/4.png")[2])
        np.testing.assert_array_equal(shown, np.asarray(Image.open(own_run.parent / "images" / "004.png")))

    def test_an_image_that_goes_or_breaks_meanwhile_hides_no_other(self, own_run):
        content = Content(open_collection(own_run))
        (own_run.parent / "images" / "003.png").unlink()
        (own_run.parent / "images" / "004.png").write_bytes(b"no image")
        images, there = content.pictures.read(np.arange(10))
        assert np.flatnonzero(~there).tolist() == [3, 4]
        np.testing.assert_array_equal(
            images[5, ..., 0], np.asarray(Image.open(own_run.parent / "images" / "005.png"))
        )
        assert content.original(3) is None
        assert content.difference(3) is None

    @pytest.mark.parametrize("name", ["run.yaml", "metrics.json"])
    def test_without_a_record_of_the_run_the_map_is_there(self, own_run, name):
        (own_run / name).unlink()
        collection = open_collection(own_run)
        assert len(collection) == N
        assert collection.off["run"].startswith("Where the images are is not known: ")
        assert "images" in collection.off

    def test_a_damaged_record_is_told(self, own_run):
        (own_run / "run.yaml").write_text("[")
        assert "run.yaml must be readable as a YAML mapping" in open_collection(own_run).off["run"]

    def test_without_latents_there_is_nothing_to_see(self, own_run):
        (own_run / "latents.parquet").unlink()
        with pytest.raises(FileFormatError, match=r"latents\.parquet must exist"):
            open_collection(own_run)

    def test_a_folder_that_is_no_run_is_refused(self, tmp_path):
        with pytest.raises(FileFormatError, match=r"must be a run folder, with run\.yaml and metrics\.json"):
            open_collection(tmp_path)

    def test_a_path_that_is_not_there_is_refused(self, tmp_path):
        with pytest.raises(FileFormatError, match="must exist"):
            open_collection(tmp_path / "nothing.parquet")


class TestTables:
    """A Parquet file of somebody else's."""

    def write(self, folder, **columns):
        path = folder / "table.parquet"
        pq.write_table(pa.table(columns), path)
        return path

    def test_ids_that_are_paths_show_images(self, tmp_path):
        source = make_images(tmp_path / "photos", 5)
        names = [f"photos/{name}" for name in source.ids.tolist()]
        path = self.write(tmp_path, path=names, map_x=np.arange(5.0), map_y=np.zeros(5))
        content = Content(open_collection(path))
        assert content.describe()["n"] == 5
        assert content.collection.off.keys() == {"latents", "decode"}
        np.testing.assert_array_equal(
            picture(content.original(2)), np.asarray(Image.open(tmp_path / names[2]))
        )
        assert content.neighbours(0) is None

    def test_pairs_of_columns_are_maps(self, tmp_path):
        path = self.write(tmp_path, umap_x=np.arange(5.0), umap_y=np.ones(5), age=np.arange(5))
        collection = open_collection(path)
        assert list(collection.maps) == ["umap"]
        assert "images" in collection.off

    def test_latents_without_a_map_are_projected(self, tmp_path):
        path = self.write(tmp_path, z000=np.arange(5.0), z001=np.arange(5.0) ** 2)
        assert list(open_collection(path).maps) == ["PCA"]

    def test_a_table_with_nothing_to_draw_is_refused(self, tmp_path):
        path = self.write(tmp_path, age=np.arange(5))
        with pytest.raises(FileFormatError, match=r"must hold a map .* or latents of at least four images"):
            open_collection(path)

    @pytest.mark.parametrize("name", ["../secret.png", "/etc/passwd", "photos/../../secret.png"])
    def test_paths_that_lead_out_of_its_folder_show_nothing(self, tmp_path, name):
        make_images(tmp_path / "inner" / "photos", 5)
        Image.fromarray(np.zeros((SIDE, SIDE), np.uint8)).save(tmp_path / "secret.png")
        path = self.write(tmp_path / "inner", path=["photos/000.png", name], map_x=[0.0, 1], map_y=[0.0, 1])
        content = Content(open_collection(path))
        assert "leads elsewhere" in content.collection.off["images"]
        assert content.original(0) is content.original(1) is None

    def test_links_that_lead_out_of_its_folder_show_nothing(self, tmp_path):
        make_images(tmp_path / "inner" / "photos", 5)
        Image.fromarray(np.zeros((SIDE, SIDE), np.uint8)).save(tmp_path / "secret.png")
        (tmp_path / "inner" / "photos" / "link.png").symlink_to(tmp_path / "secret.png")
        names = ["photos/000.png", "photos/link.png"]
        path = self.write(tmp_path / "inner", path=names, map_x=[0.0, 1], map_y=[0.0, 1])
        content = Content(open_collection(path))
        assert "images" in content.collection.off
        assert content.original(1) is None

    def test_notes_and_thumbnails_lie_beside_it(self, tmp_path):
        make_images(tmp_path / "photos", 5)
        names = [f"photos/{i:03d}.png" for i in range(5)]
        path = self.write(tmp_path, path=names, map_x=np.arange(5.0), map_y=np.zeros(5))
        content = Content(open_collection(path))
        content.page(0, 0)
        assert content.notes.write({"revision": 0, "tags": [{"name": "a", "rows": [0]}]})
        beside = tmp_path / "table.parquet.explorer"
        assert (beside / "notes.json").is_file()
        assert len(list((beside / "explorer").glob("*.png"))) == 1


def test_many_texts_that_are_all_different_are_no_colours():
    n = 70_000
    ids = np.arange(n).astype(str)
    table = LatentTable(
        ids, np.zeros((n, 1), np.float32), columns={"remark": ids, "one": np.resize(["a"], n)}
    )
    payload = Payload(type("C", (), {"table": table, "maps": {}})())
    assert [column.name for column in payload.columns] == ["one", "z000"]


class TestListening:
    def test_a_port_that_is_taken_gives_way_to_the_next(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            with listening("127.0.0.1", port) as other:
                assert port < other.getsockname()[1] <= port + 20

    def test_short_answers_do_not_wait_for_each_other(self):
        with listening("127.0.0.1", 0) as listener:
            assert listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

    def test_where_all_ports_are_taken_one_sentence_says_so(self, monkeypatch):
        monkeypatch.setattr("caescope.explorer.server.PORTS_TRIED", 1)
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            with pytest.raises(OptionError, match=rf"listen at 127\.0\.0\.1, port {port} .* in use"):
                listening("127.0.0.1", port)

    def test_an_address_of_another_machine_is_refused(self):
        with pytest.raises(OptionError, match=r"must be able to listen at 203\.0\.113\.1, port 0"):
            listening("203.0.113.1", 0)

    @pytest.mark.parametrize("port", [-1, 65536])
    def test_a_port_that_no_machine_has_is_refused(self, port):
        with pytest.raises(OptionError, match=f"port must be from 0 to 65535. Received port={port}"):
            listening("127.0.0.1", port)

    def test_who_lets_others_in_prints_the_token_with_the_address(self):
        with listening("0.0.0.0", 0) as listener:
            port = listener.getsockname()[1]
            assert (
                address_of(listener, "0.0.0.0", "abc") == f"http://{socket.gethostname()}:{port}/?token=abc"
            )
            assert address_of(listener, "127.0.0.1", None) == f"http://127.0.0.1:{port}/"
        assert not is_loopback("0.0.0.0")
        assert not is_loopback("example.org")


def test_the_page_asks_for_all_of_its_modules_at_once():
    names = {name for name in static_files() if name.endswith(".js")}
    page = static_files()["index.html"].decode()
    assert set(re.findall(r'<link rel="modulepreload" href="([\w-]+\.js)">', page)) | {"main.js"} == names


def test_a_page_that_was_made_is_not_made_again(run, monkeypatch):
    content = Content(open_collection(run))
    first = content.page(0, 0)
    monkeypatch.setattr(Pictures, "read", None)
    assert content.page(0, 0) is first


def test_a_map_on_which_nothing_is_anywhere_has_bounds_all_the_same(tmp_path):
    path = tmp_path / "table.parquet"
    pq.write_table(pa.table({"map_x": [np.nan] * 3, "map_y": [np.nan] * 3}), path)
    content = Content(open_collection(path))
    assert content.describe()["maps"][0]["bounds"] == [0, 0, 1, 1]
    assert np.frombuffer(content.order(0), "<u4").tolist() == [0, 1, 2]


def test_a_collection_says_how_large_it_is(run):
    assert repr(open_collection(run)) == "Collection('images', 60 images, 2 maps)"


def test_images_in_memory_that_are_others_by_now_are_not_shown(own_run):
    source = own_run.parent / "images.npz"
    np.savez(source, images=np.zeros((N, SIDE, SIDE), np.uint8))
    facts = (own_run / "run.yaml").read_text().replace(str(own_run.parent / "images"), str(source))
    (own_run / "run.yaml").write_text(facts)
    table = read_latents(own_run / "latents.parquet")
    assert LatentTable(np.arange(N).astype(str), table.latents, map=table.map).write(
        own_run / "latents.parquet"
    )
    off = open_collection(own_run).off["images"]
    assert off.startswith("Images cannot be shown: Images must be those that the run was made of.")


def test_images_of_which_none_has_the_name_of_a_row_are_not_shown(own_run):
    table = read_latents(own_run / "latents.parquet")
    others = np.array([f"other/{name}" for name in table.ids])
    LatentTable(others, table.latents, map=table.map).write(own_run / "latents.parquet")
    assert "Images must be where they were. Received none of them." in open_collection(own_run).off["images"]


def test_downloads_of_a_plain_table_hold_ids_tags_and_remarks(tmp_path):
    path = tmp_path / "table.parquet"
    pq.write_table(pa.table({"map_x": np.arange(3.0), "map_y": np.arange(3.0)}), path)
    with served(path) as port:
        _, _, content = ask(port, "/notes.csv")
    assert content.decode().splitlines()[0].replace('"', "") == "id,tags,remarks"


class TestExport:
    def test_its_files_are_what_the_server_sends(self, own_run, tmp_path):
        folder = export(open_collection(own_run), tmp_path / "page", verbose=0)
        with served(own_run) as port:
            for file in sorted(path for path in folder.rglob("*") if path.is_file()):
                name = file.relative_to(folder).as_posix()
                if name not in ("collection.json", "notes.json"):
                    assert ask(port, f"/{name}")[::2] == (200, file.read_bytes()), name
            sent = json.loads(ask(port, "/collection.json")[2])
        facts = json.loads((folder / "collection.json").read_text())
        assert (facts["static"], facts["token"], sent["static"]) == (True, None, False)
        assert facts["off"].keys() == {"decode", "downloads"}
        assert {key for key in facts if facts[key] != sent[key]} == {"static", "token", "off"}
        names = {path.relative_to(folder).parts[0] for path in folder.rglob("*") if path.is_file()}
        assert {"images", "reconstructions", "differences", "neighbours", "atlas", "index.html"} <= names

    def test_of_many_images_the_pictures_alone_are_written(self, run, tmp_path, monkeypatch):
        monkeypatch.setattr("caescope.explorer.as_files.MOST_WHOLE", N - 1)
        folder = export(open_collection(run), tmp_path / "page", verbose=0)
        assert len(list((folder / "images").iterdir())) == N
        assert not (folder / "neighbours").exists()
        off = json.loads((folder / "collection.json").read_text())["off"]
        assert off["neighbours"] == off["reconstructions"] != ""

    def test_of_very_many_images_the_thumbnails_alone_are_written(self, run, tmp_path, monkeypatch):
        monkeypatch.setattr("caescope.explorer.as_files.MOST_WHOLE", 1)
        monkeypatch.setattr("caescope.explorer.as_files.MOST_IMAGES", N - 1)
        folder = export(open_collection(run), tmp_path / "page", verbose=0)
        assert not (folder / "images").exists()
        assert (folder / "atlas" / "0" / "0.png").is_file()
        facts = json.loads((folder / "collection.json").read_text())
        assert facts["image"] is None
        assert facts["off"]["images"].startswith("There are thumbnails on the map only")

    def test_without_images_there_are_maps_and_columns(self, own_run, tmp_path):
        (own_run.parent / "images").rename(own_run.parent / "moved")
        folder = export(open_collection(own_run), tmp_path / "page", verbose=0)
        assert (folder / "maps" / "0.f32").is_file()
        assert not (folder / "atlas").exists()

    def test_a_folder_that_holds_something_else_stays(self, run, tmp_path):
        (tmp_path / "mine.txt").write_text("mine")
        with pytest.raises(OptionError, match="must be new, empty or an earlier output"):
            export(open_collection(run), tmp_path, overwrite=True)
        assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


class TestServing:
    def start(self, *arguments, **environment):
        command = [sys.executable, "-m", "caescope", "explore", *map(str, arguments)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, env=os.environ | environment, **pipes)

    @pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
    def test_the_command_prints_the_address_first_and_ends_when_it_is_told(self, run, sign):
        with self.start(run, "--port", "0", "--no-browser") as process:
            address = process.stdout.readline().strip()
            port = int(re.fullmatch(r"http://127\.0\.0\.1:(\d+)/", address)[1])
            assert ask(port, "/collection.json")[0] == 200
            process.send_signal(sign)
            out, err = process.communicate(timeout=30)
        assert (process.returncode, out, err) == (0, "", f"open: {run}\n")

    def test_a_taken_port_is_no_matter(self, run):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            process = self.start(run, "--port", taken.getsockname()[1], "--no-browser")
            port = int(process.stdout.readline().rpartition(":")[2].strip("/\n"))
            assert port != taken.getsockname()[1]
            assert ask(port, "/")[0] == 200
            process.terminate()
            process.communicate(timeout=30)

    def test_who_lets_others_in_needs_the_printed_token(self, run):
        with self.start(run, "--port", "0", "--host", "0.0.0.0", "--no-browser") as process:
            address = process.stdout.readline().strip()
            port, token = re.fullmatch(r"http://[^:]+:(\d+)/\?token=([\w-]{32})", address).groups()
            assert ask(int(port), "/")[0] == 403
            assert ask(int(port), f"/?token={token}")[0] == 303
            process.terminate()

    def test_without_a_display_no_browser_is_opened(self, monkeypatch):
        monkeypatch.setattr(sys, "platform", "linux")
        monkeypatch.delenv("DISPLAY", raising=False)
        monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
        monkeypatch.setattr(webbrowser, "open", None)
        assert not open_browser("http://127.0.0.1:1/")

    def test_with_a_display_a_browser_is_opened(self, run, monkeypatch):
        opened, said = Event(), []
        monkeypatch.setenv("DISPLAY", ":0")
        monkeypatch.setattr(webbrowser, "open", lambda address: said.append(address) or opened.set() or True)
        monkeypatch.setattr("uvicorn.Server.run", lambda *_, **__: opened.wait(10))
        serve(open_collection(run), port=0, announce=said.append)
        assert len(said) == 2
        assert said[0] == said[1]

    def test_without_the_extra_one_sentence_says_what_to_install(self, run, monkeypatch):
        monkeypatch.setitem(sys.modules, "uvicorn", None)
        with pytest.raises(
            MissingDependencyError, match=r"needs Starlette and uvicorn.*caescope\[explorer\]"
        ):
            serve(open_collection(run))

    def test_the_command_exports(self, run, tmp_path):
        with self.start(run, "--export", tmp_path / "page") as process:
            out, _ = process.communicate(timeout=120)
        assert (process.returncode, out) == (0, f"page: {tmp_path / 'page' / 'index.html'}\n")


def test_only_what_is_decoded_needs_pytorch(run):
    program = """
import sys
from caescope.explorer import open_collection
from caescope.explorer.content import Content
content = Content(open_collection(sys.argv[1]))
shown = [content.describe(), content.map(0), content.page(0, 0), content.original(0), content.neighbours(0)]
assert all(shown)
assert "torch" not in sys.modules
assert content.reconstruction(0)
assert "torch" in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", program, run], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
