"""The explorer as a person uses it, in a browser."""

import re
from urllib.parse import unquote

import numpy as np
import pytest
from matplotlib.path import Path as Polygon

from browsing import needs_browser, opened, pixels, until
from caescope.explorer import export, open_collection
from caescope.explorer.notes import Notes
from caescope.table import read_latents
from explored import NAUGHTY, N, make_run, served

pytestmark = needs_browser
ROWS = "[...document.querySelectorAll('#selection img')].map((img) => parseInt(img.src.split('/').pop()))"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("explored"))


@pytest.fixture(scope="module")
def port(run):
    with served(run) as port:
        yield port


def at(port, state=""):
    """Return an address of the explorer."""
    return f"http://127.0.0.1:{port}/{state}"


@pytest.fixture
def page(browser, port):
    with opened(browser, at(port)) as page:
        yield page


def field(page, name):
    """Return one field of the page's address."""
    found = re.search(rf"[#&]{name}=([^&]*)", page.url)
    return unquote(found[1]) if found else None


def view_of(page):
    """Return the map's centre and scale, after a turn of the wheel has put them into the address."""
    box = page.locator("#points").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.wheel(0, 100)
    until(page, "location.hash.includes('view=')")
    page.wait_for_timeout(600)
    return [float(part) for part in field(page, "view").split(",")], box


def on_screen(points, view, box):
    """Return where points of the map are on the page."""
    x, y, scale = view
    across = box["x"] + box["width"] / 2 + (points[:, 0] - x) * scale
    return np.stack([across, box["y"] + box["height"] / 2 - (points[:, 1] - y) * scale], axis=1)


def drag(page, points):
    points = np.asarray(points, float).tolist()
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point, steps=6)
    page.mouse.up()


def choose(page, tool):
    page.locator(f"input[value={tool}]").check(force=True)


def selected(page, n):
    """Return the rows whose pictures the selection shows, once there are n."""
    until(page, f"{ROWS}.length === {n} && !{ROWS}.some(Number.isNaN)")
    return sorted(page.evaluate(ROWS))


def test_the_map_is_drawn_in_the_colours_of_the_clusters(page):
    shown = pixels(page).reshape(-1, 3)
    for color in ((63, 144, 218), (255, 169, 14), (189, 31, 1)):
        assert (np.abs(shown - color).max(axis=1) < 40).sum() > 20, color
    assert page.title() == "images · caescope"
    assert f"{N} images of 8×8" in page.inner_text("#facts")


def test_the_whole_map_is_shown_beside_the_legend(page, run):
    table, box = read_latents(run / "latents.parquet"), page.locator("#points").bounding_box()
    page.locator("#points").focus()
    page.keyboard.press("0")
    until(page, "location.hash.includes('view=')")
    places = on_screen(table.map, [float(part) for part in field(page, "view").split(",")], box)
    legend = page.locator("#legend").bounding_box()
    assert legend["x"] + legend["width"] < places[:, 0].min()
    assert places[:, 0].max() < box["x"] + box["width"]
    assert box["y"] < places[:, 1].min() < places[:, 1].max() < box["y"] + box["height"]


def test_the_map_stays_while_a_point_is_pointed_at(page, run):
    table = read_latents(run / "latents.parquet")
    view, box = view_of(page)
    page.mouse.move(box["x"] + 5, box["y"] + box["height"] - 5)
    page.wait_for_timeout(500)
    before = pixels(page)
    page.mouse.move(*on_screen(table.map, view, box)[5].tolist())
    until(page, "document.querySelector('#hover').textContent.includes('005.png')")
    changed = np.abs(pixels(page) - before).max(axis=2) > 40
    assert 0 < changed.mean() < 0.05  # the point and its card


def test_the_lasso_selects_what_it_encloses(page, run):
    table = read_latents(run / "latents.parquet")
    view, box = view_of(page)
    places = on_screen(table.map, view, box)
    middle = np.median(places, axis=0)
    around = middle + np.array([(-170, -90), (10, -190), (190, 20), (60, 150), (-40, 30), (-150, 120)])
    expected = np.flatnonzero(Polygon(around).contains_points(places))
    assert 5 < len(expected) < N - 5
    choose(page, "lasso")
    drag(page, [*around, around[0]])
    assert selected(page, len(expected)) == expected.tolist()
    assert f"{len(expected)} images" in page.inner_text("#selection")


def test_the_rectangle_selects_what_it_encloses_and_control_adds_to_it(page, run):
    table = read_latents(run / "latents.parquet")
    view, box = view_of(page)
    places = on_screen(table.map, view, box)
    mid, low = np.median(places, axis=0), places.min(axis=0) - 9
    right = places[:, 0].max() + 9  # on the left is the legend
    choose(page, "rectangle")
    drag(page, [(right, low[1]), mid])
    above = np.flatnonzero((places[:, 0] > mid[0]) & (places[:, 1] < mid[1]))
    assert selected(page, len(above)) == above.tolist()
    page.keyboard.down("Control")
    drag(page, [mid, (right, places[:, 1].max() + 9)])
    page.keyboard.up("Control")
    both = np.flatnonzero(places[:, 0] > mid[0])
    assert selected(page, len(both)) == both.tolist()


def test_a_click_opens_an_image_and_shift_click_selects_one_more(page, run):
    table = read_latents(run / "latents.parquet")
    view, box = view_of(page)
    places = on_screen(table.map, view, box)
    far = [int(np.argmin(places[:, 0])), int(np.argmax(places[:, 0]))]
    page.mouse.click(*places[far[0]].tolist())
    until(page, f"document.querySelector('#image h2')?.textContent === '{table.ids[far[0]]}'")
    assert field(page, "image") == str(far[0])
    page.keyboard.down("Shift")
    page.mouse.click(*places[far[1]].tolist())
    page.keyboard.up("Shift")
    assert selected(page, 2) == sorted(far)


def test_the_legend_selects_a_cluster_and_hides_it(page):
    before = pixels(page)
    lines = page.locator("#legend li")
    assert lines.count() == 4  # three clusters and those in none
    lines.nth(1).get_by_text("select", exact=True).click()
    assert selected(page, N // 4) == list(range(1, N, 4))
    assert field(page, "select") == "category:1:cluster"
    page.keyboard.press("Escape")
    lines.nth(1).locator("[aria-pressed]").click()
    page.wait_for_timeout(500)
    page.mouse.move(5, 5)
    page.wait_for_timeout(500)
    orange = [(np.abs(shown - (255, 169, 14)).max(axis=2) < 40).sum() for shown in (before, pixels(page))]
    assert orange[1] < orange[0] / 3


def test_the_selection_says_what_it_is_made_of(browser, port):
    with opened(browser, at(port, "#select=category:0:cluster")) as page:
        until(page, "document.querySelectorAll('#selection img').length === 15")
        text = page.inner_text("#selection")
        assert NAUGHTY in text  # as text, and nothing ran
        assert re.search(r"Gini\s*0\.667", text)  # five of each of three labels: 1 - 3 · (1/3)²
        page.locator("#selection select").select_option("error")
        until(page, f"{ROWS}[0] === 56")
        assert page.evaluate(ROWS) == list(range(56, -1, -4))


def test_sliders_change_the_picture_that_is_decoded(browser, port):
    with opened(browser, at(port, "#image=7&panel=image")) as page:
        page.wait_for_selector("#image input[type=range]")
        assert page.locator("#image input[type=range]").count() == 4
        picture = "document.querySelector('#image .preview img')"
        until(page, f"{picture}.naturalWidth > 0")
        before = pixels(page, "#image .preview img")
        page.locator("#image input[type=range]").first.focus()
        page.keyboard.press("End")
        until(page, f"{picture}.src.startsWith('blob:') && {picture}.complete")
        assert np.abs(pixels(page, "#image .preview img") - before).max() > 0
        page.get_by_role("button", name="Reset").click()
        until(page, f"{picture}.src.includes('reconstructions/7') && {picture}.complete")
        np.testing.assert_array_equal(pixels(page, "#image .preview img"), before)


def test_neighbours_are_selected_by_a_key(browser, port):
    with opened(browser, at(port, "#image=7&panel=image")) as page:
        page.keyboard.press("k")
        assert 7 in selected(page, 21)
        assert field(page, "select") == "neighbours:7"


def test_notes_are_there_after_a_restart(browser, tmp_path):
    run = make_run(tmp_path)
    with served(run) as port, opened(browser, at(port, "#panel=notes")) as page:
        with page.expect_response("**/notes.json") as answer:
            page.locator("#notes input").first.fill("stroma")
            page.keyboard.press("Enter")
        assert answer.value.status == 200
    with served(run) as port, opened(browser, at(port)) as page:
        until(page, "document.querySelector('#legend').textContent.includes('stroma')")


def test_selections_are_tagged_and_images_remarked_upon(browser, tmp_path):
    run, state = make_run(tmp_path), "#select=category:0:cluster&image=7&panel=notes"
    with served(run) as port, opened(browser, at(port, state)) as page:
        for field, text, target in (("input[type=text]", "odd", "selection"), ("textarea", "dark", "image")):
            form = page.locator("#notes form", has=page.locator(field))
            form.locator("select").select_option(target)
            form.locator(field).fill(text)
            with page.expect_response("**/notes.json") as answer:
                form.locator("[type=submit]").click()
            assert answer.value.status == 200
            until(page, f"document.querySelector('#notes').textContent.includes({text!r})")
    notes = Notes(run / "notes.json", read_latents(run / "latents.parquet")).read()
    assert notes["tags"] == [{"name": "odd", "rows": list(range(0, N, 4))}]
    assert [(remark["text"], remark["rows"]) for remark in notes["remarks"]] == [("dark", [7])]


def test_an_address_restores_what_was_seen(page, browser, port):
    page.locator("select[name=colour]").select_option(label="label")
    page.locator("select[name=map]").select_option(label="PCA")
    page.locator("#legend li").nth(2).get_by_text("select", exact=True).click()
    rows = selected(page, N // 3)
    view_of(page)
    with opened(browser, at(port, page.url.partition("/#")[2] and "#" + page.url.partition("#")[2])) as other:
        assert selected(other, N // 3) == rows
        assert other.locator("select[name=map]").input_value() == "1"
        assert other.locator("select[name=colour] option:checked").inner_text() == "label"
        assert field(other, "view") == field(page, "view")


def test_back_and_forward_undo_and_redo(page):
    lines = page.locator("#legend li")
    lines.nth(0).get_by_text("select", exact=True).click()
    first = selected(page, 15)
    lines.nth(1).get_by_text("select", exact=True).click()
    until(page, f"{ROWS}.includes(1)")
    page.go_back()
    until(page, f"{ROWS}.includes(0)")
    assert selected(page, 15) == first
    page.go_forward()
    until(page, f"{ROWS}.includes(1)")


def test_what_the_map_shows_is_selected_by_a_key(page):
    page.keyboard.press("v")
    assert selected(page, N) == list(range(N))
    page.locator("#legend li").nth(1).locator("[aria-pressed]").click()
    page.locator("#points").focus()
    page.wait_for_timeout(500)
    page.keyboard.press("v")
    assert selected(page, N - N // 4) == [row for row in range(N) if row % 4 != 1]


def test_all_can_be_done_by_keys(page):
    page.locator("#points").focus()
    page.keyboard.press("ArrowRight")
    until(page, "location.hash.includes('view=')")
    page.keyboard.press("+")
    page.keyboard.press("Enter")
    until(page, "location.hash.includes('image=')")
    page.keyboard.press("k")
    until(page, "location.hash.includes('select=neighbours')")
    page.keyboard.press("?")
    assert page.locator("#keys").is_visible()
    page.keyboard.press("Escape")
    for _ in range(60):
        page.keyboard.press("Tab")
        if (
            page.evaluate("document.activeElement.closest('#selection .picture-grid, #selection')?.id")
            == "selection"
        ):
            break
    else:
        pytest.fail("Tab does not reach the selection")


@pytest.mark.parametrize("panel", ["selection", "image", "notes"])
@pytest.mark.parametrize("width", [390, 1440])
def test_nothing_sticks_out_of_the_page(browser, port, panel, width):
    path = f"#select=category:0:cluster&image=7&panel={panel}"
    with opened(browser, at(port, path), viewport={"width": width, "height": 844}) as page:
        page.wait_for_timeout(500)
        wider = "document.scrollingElement.scrollWidth - document.scrollingElement.clientWidth"
        assert page.evaluate(wider) == 0
        panels = page.locator("#panels").bounding_box()
        assert panels["x"] + panels["width"] <= width


@pytest.mark.parametrize(("scheme", "page_color"), [("light", 255), ("dark", 21)])
def test_it_is_light_or_dark_as_the_system_is(browser, port, scheme, page_color):
    with opened(browser, at(port), color_scheme=scheme) as page:
        assert pixels(page)[-3, -3, 0] == page_color


def test_images_that_are_gone_are_told_and_counted(browser, tmp_path):
    run = make_run(tmp_path)
    (tmp_path / "images" / "004.png").unlink()
    with served(run) as port:
        context = browser.new_context()
        page = context.new_page()
        page.goto(f"http://127.0.0.1:{port}/#select=category:0:cluster")
        page.wait_for_selector("body[data-ready]")
        assert "1 of them could not be found" in page.inner_text("#facts")
        until(page, "document.querySelector('#selection').textContent.includes('could not be found')")
        context.close()


def test_an_export_works_from_any_web_server(browser, run, tmp_path):
    import threading
    from functools import partial
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    folder = export(open_collection(run), tmp_path / "page", verbose=0)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with opened(browser, at(server.server_port, "#select=category:0:cluster&image=7")) as page:
            assert selected(page, 15) == list(range(0, N, 4))
            page.click("#tab-image")
            until(page, "document.querySelector('#image').textContent.includes('cannot decode')")
            assert page.locator("#image input[type=range]:enabled").count() == 0
        server.shutdown()
