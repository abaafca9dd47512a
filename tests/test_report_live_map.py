"""The map that the report lets readers move and zoom, and the names of clusters."""

import base64
import json
import re
from hashlib import sha256

import numpy as np
import pytest

from browsing import needs_browser, opened, pixels, until
from caescope.explorer.notes import Notes
from caescope.report import write_report
from caescope.report.live_map import MOST_POINTS, live_map_of
from caescope.table import LatentTable, read_latents
from explored import NAUGHTY, N, make_run


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path)


def decoded(text, dtype):
    return np.frombuffer(base64.b64decode(text), dtype)


def test_places_and_colours_are_those_of_the_table(run):
    table = read_latents(run / "latents.parquet")
    found = live_map_of(table, {"1": "stroma"})
    assert (found.n, found.shown) == (N, N)
    places = decoded(found.places, "<u2").reshape(-1, 2).astype(float)
    span = np.ptp(table.map, axis=0).max()
    np.testing.assert_allclose(places / 65535, (table.map - table.map.min(axis=0)) / span, atol=1e-5)
    cluster, label = json.loads(found.colours)
    assert (cluster["name"], cluster["groups"]) == ("cluster", ["0", "stroma", "2"])
    np.testing.assert_array_equal(decoded(cluster["codes"], "u1"), np.resize([0, 1, 2, 255], N))
    assert label["groups"] == [NAUGHTY, "cat", "dog"]


def test_of_many_images_a_sample_is_shown():
    n = MOST_POINTS + 1
    points = np.random.default_rng(0).normal(size=(n, 2)).astype(np.float32)
    table = LatentTable(np.arange(n).astype(str), np.zeros((n, 1)), map=points, labels=np.arange(n) % 7)
    found = live_map_of(table, {})
    assert (found.n, found.shown) == (n, MOST_POINTS)
    assert found == live_map_of(table, {})


def test_images_that_are_nowhere_are_left_out():
    points = np.array([[0, 0], [np.nan, 1], [2, 4]], np.float32)
    table = LatentTable(np.arange(3).astype(str), np.zeros((3, 1)), map=points)
    assert decoded(live_map_of(table, {}).places, "<u2").tolist() == [0, 0, 32768, 65535]
    nowhere = LatentTable(np.arange(3).astype(str), np.zeros((3, 1)), map=np.full((3, 2), np.nan))
    assert live_map_of(nowhere, {}) is None


def test_without_a_map_there_is_none():
    assert live_map_of(None, {}) is None
    assert live_map_of(LatentTable(np.array(["a"]), np.zeros((1, 1))), {}) is None


def test_the_one_script_is_the_one_that_the_policy_allows(run):
    html = write_report(run).read_text("utf-8")
    (script,) = re.findall(r"<script[^>]*>(.*?)</script>", html, re.DOTALL)
    digest = base64.b64encode(sha256(script.encode()).digest()).decode()
    assert (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
        in html.replace("&#39;", "'")
    )
    assert NAUGHTY not in html
    assert not re.search(r"^(import|export) ", script, re.MULTILINE)


def test_clusters_have_the_names_that_they_were_given(run):
    (run / "metrics.json").write_text(
        json.dumps({"clusters": {"k": 3, "sizes": {"0": 15, "1": 15, "2": 15}}})
    )
    assert Notes(run / "notes.json", read_latents(run / "latents.parquet")).write(
        {"revision": 0, "clusters": {"1": NAUGHTY}}
    )
    html = write_report(run).read_text("utf-8")
    assert re.search(r'<th scope="row">1 &lt;img src=x onerror=alert\(1\)&gt;', html)
    assert NAUGHTY not in html


@needs_browser
def test_it_is_drawn_and_says_what_a_point_is(browser, run):
    with opened(browser, write_report(run).as_uri(), "#live-map") as page:
        page.locator("#live-map canvas").scroll_into_view_if_needed()
        page.wait_for_timeout(1000)
        orange = (np.abs(pixels(page, "#live-map canvas") - (255, 169, 14)).max(axis=2) < 40).sum()
        assert orange > 20
        page.locator("#live-map canvas").focus()
        box = page.locator("#live-map canvas").bounding_box()
        table = read_latents(run / "latents.parquet")
        low, high = table.map.min(axis=0), table.map.max(axis=0)
        scale = min((box["width"] - 48) / (high - low)[0], (box["height"] - 48) / (high - low)[1])
        x, y = (table.map[1] - (low + high) / 2) * scale
        page.mouse.move(box["x"] + box["width"] / 2 + float(x), box["y"] + box["height"] / 2 - float(y))
        until(page, "document.querySelector('#live-map output').textContent === 'cluster 1 · label dog'")
        still = (np.abs(pixels(page, "#live-map canvas") - (255, 169, 14)).max(axis=2) < 40).sum()
        assert still > 0.8 * orange  # the others stay while one is pointed at
