"""A browser that a person could sit before."""

import shutil
from contextlib import contextmanager
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

try:
    from playwright.sync_api import sync_playwright
except ImportError:
    sync_playwright = None

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
OPTIONS = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
SECONDS = 30_000  # ms; software rendering beside other work is slow
needs_browser = pytest.mark.skipif(
    BROWSER is None or sync_playwright is None, reason="needs chromium or google-chrome, and playwright"
)


@contextmanager
def started():
    """Yield a browser without a window."""
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=BROWSER, args=OPTIONS)
        yield browser
        browser.close()


@contextmanager
def opened(browser, address, ready="body[data-ready]", **options):
    """Yield a page once it is ready; it must say nothing on the console, and ask nobody else."""
    context = browser.new_context(**({"viewport": {"width": 1440, "height": 900}} | options))
    page, said, asked = context.new_page(), [], []
    page.set_default_timeout(SECONDS)
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address)
    page.wait_for_selector(ready)
    yield page
    assert [text for text in said if "GPU stall" not in text] == []  # what Chromium says of reading pixels
    own = "/".join(address.split("/")[:3]) + "/"
    assert [url for url in asked if not url.startswith((own, "blob:", "data:"))] == []
    context.close()


def until(page, expression):
    """Wait until JavaScript is true; Playwright's own way needs eval, which the page forbids."""
    for _ in range(SECONDS // 50):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(50)
    pytest.fail(f"never true: {expression}")


def pixels(page, selector="#points"):
    return np.asarray(Image.open(BytesIO(page.locator(selector).screenshot())).convert("RGB")).astype(int)
