"""How fast the explorer is, in a browser that draws in software: ``python benchmarks/explorer.py MNIST_RUN``.

It prints the first map, a selection, memory, a decoded picture, fifty clients, and a million synthetic
points. Each of the fifty clients asks for other thumbnails, which are made anew where the run has no folder
``explorer``.
"""

import http.client
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from playwright.sync_api import sync_playwright

OPTIONS = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
LOADS, DECODES, CLIENTS = 5, 50, 50
SECONDS = 3  # of moving the map
WATCH = """() => {
  window.marks = {};
  addEventListener("pointerup", () => (marks.up = performance.now()), true);
  const count = document.querySelector("#selection strong");
  new MutationObserver(() => requestAnimationFrame(() => (marks.shown = performance.now()))).observe(
    count, { childList: true, characterData: true, subtree: true });
}"""
COUNT = """() => {
  window.drawn = 0;
  const draw = WebGL2RenderingContext.prototype.blitFramebuffer; // once for each picture of the map
  WebGL2RenderingContext.prototype.blitFramebuffer = function (...all) {
    drawn++;
    return draw.apply(this, all);
  };
}"""
DECODE = """async (n) => {
  const { token, latents } = await (await fetch("collection.json")).json(), times = [];
  for (let i = 0; i < n; i++) {
    const body = Float32Array.from({ length: latents }, () => Math.random() - 0.5), start = performance.now();
    const answer = await fetch("decode", { method: "POST", body, headers: { "X-Caescope-Token": token } });
    await createImageBitmap(await answer.blob());
    times.push(performance.now() - start);
  }
  return times;
}"""


def main(run: str) -> None:
    """Measure a run, and a million points."""
    with serving(run) as port:
        clients = fifty(port)
        with browsing() as browser:
            first, page = loads(browser, port)
            print(f"first map of {facts(page)}: {first:.2f} s after the request (median of {LOADS})")
            n, seconds = lasso(page)
            print(f"lasso of {n} until their number is shown: {1000 * seconds:.0f} ms")
            zoom_in(page)
            print(f"memory of the page, thumbnails shown: {memory()}")
            print(f"moving the map with thumbnails: {moving(page):.0f} pictures a second, drawn in software")
            times = page.evaluate(DECODE, DECODES)
            print(
                f"a decoded picture, there and back: {statistics.median(times):.0f} ms (median of {DECODES})"
            )
        print(f"{CLIENTS} clients at once, a page of 1,024 thumbnails each: {clients}")
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(million(Path(folder))) as port,
        browsing() as browser,
    ):
        first, page = loads(browser, port, 3)
        print(f"1,000,000 points: {first:.2f} s until they are drawn (median of 3)")
        print(f"moving them: {moving(page):.0f} pictures a second, drawn in software")
        print(f"memory of the page: {memory()}")


@contextmanager
def serving(run):
    """Start the explorer and yield its port once it answers."""
    command = [sys.executable, "-m", "caescope", "explore", str(run), "--port", "0", "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        port = int(server.stdout.readline().rpartition(":")[2].strip("/\n"))
        ask(port, "/collection.json")
        yield port
        server.terminate()


@contextmanager
def browsing():
    """Yield a browser."""
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=OPTIONS)
        yield browser
        browser.close()


def loads(browser, port, times=LOADS):
    """Return the median time until a map is drawn, and the last page."""
    taken = []
    for _ in range(times):
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        start = time.perf_counter()
        page.goto(f"http://127.0.0.1:{port}/", wait_until="commit")
        page.wait_for_selector("body[data-ready]", state="attached", timeout=120_000)
        page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        taken.append(time.perf_counter() - start)
        if len(taken) < times:
            page.close()
    return statistics.median(taken), page


def facts(page) -> str:
    return page.inner_text("#facts")


def lasso(page) -> tuple[str, float]:
    """Select what is around the middle, and return how many, and how long after the pointer was lifted."""
    page.evaluate(WATCH)
    page.keyboard.press("l")
    box = page.locator("#points").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    angles = np.linspace(0, 2 * np.pi, 40)
    points = [(x + 125 * np.cos(angle), y + 125 * np.sin(angle)) for angle in angles.tolist()]
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point)
    page.wait_for_timeout(500)
    page.mouse.up()
    page.wait_for_timeout(5000)
    marks = page.evaluate("marks")
    return page.inner_text("#selection strong"), (marks["shown"] - marks["up"]) / 1000


def zoom_in(page) -> None:
    page.keyboard.press("Escape")
    page.keyboard.press("p")
    box = page.locator("#points").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    for _ in range(6):
        page.mouse.wheel(0, -240)
        page.wait_for_timeout(300)
    page.wait_for_timeout(5000)


def moving(page) -> float:
    """Return how many times a second the map is drawn while it is dragged to and fro."""
    box = page.locator("#points").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.evaluate(COUNT)
    page.mouse.move(x, y)
    page.mouse.down()
    start = time.perf_counter()
    while time.perf_counter() < start + SECONDS:
        page.mouse.move(x + 100 * np.sin(10 * time.perf_counter()), y)
    drawn = page.evaluate("drawn")
    page.mouse.up()
    return drawn / (time.perf_counter() - start)


def memory() -> str:
    """Return the resident size of the browser's pages and of its drawing, which here is in software."""
    sizes = {"renderer": 0, "gpu-process": 0}
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            command = (status.parent / "cmdline").read_text()
            lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
            for kind in sizes:
                if f"--type={kind}" in command:
                    sizes[kind] = max(sizes[kind], int(lines["VmRSS"].split()[0]) // 1024)
        except (OSError, KeyError):
            continue
    return f"{sizes['renderer']} MiB, and {sizes['gpu-process']} MiB of the process that draws"


def million(folder: Path) -> Path:
    """Write a table of a million points in fifty clouds."""
    rng, n = np.random.default_rng(0), 1_000_000
    cluster = rng.integers(0, 50, n)
    points = rng.normal(size=(50, 2))[cluster] * 10 + rng.normal(size=(n, 2))
    columns = {"map_x": points[:, 0], "map_y": points[:, 1], "cluster": cluster.astype(np.int32)}
    pq.write_table(pa.table(columns), folder / "million.parquet")
    return folder / "million.parquet"


def ask(port: int, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    connection.request("GET", path)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status


def fifty(port: int) -> str:
    start = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as pool:
        statuses = list(pool.map(lambda page: ask(port, f"/atlas/0/{page}.png"), range(CLIENTS)))
    good = statuses.count(200)
    return f"{good} answered, {CLIENTS - good} errors, {time.perf_counter() - start:.1f} s in all"


if __name__ == "__main__":
    main(sys.argv[1])
