"""Take the pictures of the explorer in docs/images: ``python docs/draw_explorer_pictures.py MNIST_RUN``."""

import shutil
import subprocess
import sys
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

IMAGES = Path(__file__).parent / "images"
OPTIONS = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
LASSO = [(-0.1, -0.1), (0.06, -0.16), (0.1, 0.02), (0.04, 0.12), (-0.08, 0.1)]  # shares of the map's size
WIDE, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}


def main(run: str) -> None:
    """Serve the run, and write four pictures of it."""
    command = [sys.executable, "-m", "caescope", "explore", run, "--port", "0", "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server, sync_playwright() as play:
        address = server.stdout.readline().strip()
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=OPTIONS)
        for scheme in ("light", "dark"):
            page = _open(browser, address, WIDE, scheme)
            if scheme == "light":
                _lasso(page)
            else:
                _zoom_in(page)
            _save(page, f"explorer-{scheme}")
            page = _open(browser, address, PHONE, scheme)
            if scheme == "dark":
                page.evaluate("location.hash = '#colour=label&image=17&panel=image'")
                page.reload()
                page.wait_for_selector("body[data-ready]")
                page.wait_for_timeout(3000)
            _save(page, f"explorer-phone-{scheme}")
        browser.close()
        server.terminate()


def _open(browser, address, size, scheme):
    page = browser.new_page(viewport=size, color_scheme=scheme)
    page.goto(f"{address}#colour=label")
    page.wait_for_selector("body[data-ready]")
    page.wait_for_timeout(2000)
    return page


def _lasso(page) -> None:
    x, y = _middle(page)
    box = page.locator("#points").bounding_box()
    page.keyboard.press("l")
    points = [(x + a * box["width"], y + b * box["height"]) for a, b in LASSO]
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in [*points[1:], points[0]]:
        page.mouse.move(*point, steps=8)
    page.mouse.up()
    page.mouse.move(x + 0.4 * box["width"], y)
    page.wait_for_timeout(5000)


def _zoom_in(page) -> None:
    x, y = _middle(page)
    page.mouse.move(x, y)
    for _ in range(6):
        page.mouse.wheel(0, -240)
        page.wait_for_timeout(300)
    page.wait_for_timeout(3000)
    page.locator("#points").focus()
    page.keyboard.press("Enter")
    page.wait_for_timeout(1000)
    while not page.evaluate(
        "[...document.querySelectorAll('#image img')].every((img) => img.naturalWidth > 0)"
    ):
        page.wait_for_timeout(200)


def _middle(page) -> tuple[float, float]:
    box = page.locator("#points").bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def _save(page, name: str) -> None:
    Image.open(BytesIO(page.screenshot())).convert("RGB").save(IMAGES / f"{name}.webp", quality=90, method=6)


if __name__ == "__main__":
    main(sys.argv[1])
