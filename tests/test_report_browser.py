"""The report as a browser lays it out: nothing sticks out of the page, on a phone or on a wide screen."""

import json
import shutil
import subprocess
from io import BytesIO

import pytest
import yaml
from PIL import Image

from caescope.report import write_report

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
FIGURES = (
    "samples",
    "loss",
    "sweeps",
    "map_labels",
    "map_clusters",
    "clusterings",
    "cluster_00",
    "cluster_01",
)
LONG = "AFileNameThatNobodyWouldTypeButAScannerWrites_" * 4
CLUSTERS = {str(i): 0.123456 for i in range(20)}
METRICS = {
    "reconstruction": {
        "test": {"mse": 0.01, "psnr": 20.1, "ssim": 0.9, "interval": {"mse": [0.012345, 0.013456]}}
    },
    "latents": {"features": 20, "dead": 0, "duplicates": [[0, i] for i in range(12)], "effective_rank": 9.3},
    "probe": {
        "split": {"kind": "grouped", "group": LONG},
        "logistic_ovr": {
            **{"test": 0.9, "train": 0.9, "balanced": 0.9, "confusion": [[9, 1], [2, 8]]},
            "report": {LONG: {"precision": 0.9, "recall": 0.9, "f1-score": 0.9, "support": 9}},
        },
    },
    "clusters": {
        **{"k": 20, "invented": ["3"], "medoids": dict.fromkeys(CLUSTERS, f"{LONG}.png")},
        **dict.fromkeys(("sizes", "gini", "entropy", "purities", "cohesion"), CLUSTERS),
        "silhouettes": {"map": CLUSTERS, "latents": CLUSTERS},
    },
    "stability": {"unstable": list(CLUSTERS), "jaccard": CLUSTERS, "ari_mean": 0.5, "ari_least": 0.4},
    "confounders": {
        "columns": {LONG: {"kind": "category", "score": 0.5, "entropy": CLUSTERS}},
        "followed": [LONG],
    },
    "protocol": {
        "clusters": {"fitted_on": LONG, "measured_on": "90 images", "kind": "transductive", "k": 20}
    },
}
FACTS = {"source": LONG, "command": f"caescope run {LONG} --out {LONG}", "options": {"filters": [8] * 30}}
MEASURE = """<!DOCTYPE html>
<iframe id="page" src="{page}" style="border:0; width:{width}px; height:900px"></iframe>
<script>onload = () => {{
  const found = page.contentDocument.scrollingElement;
  document.title = found.scrollWidth - found.clientWidth + " pixels too wide";
}}</script>"""


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    (folder / "figures").mkdir()
    for name in FIGURES:
        content = BytesIO()
        Image.new("L", (1400, 700)).save(content, "PNG", dpi=(110, 110))
        (folder / "figures" / f"{name}.png").write_bytes(content.getvalue())
    (folder / "metrics.json").write_text(json.dumps(METRICS))
    (folder / "run.yaml").write_text(yaml.safe_dump(FACTS))
    return write_report(folder)


@pytest.mark.skipif(BROWSER is None, reason="needs chromium or google-chrome")
@pytest.mark.parametrize("width", [390, 1440])
def test_nothing_sticks_out_of_the_page(report, tmp_path, width):
    frame = tmp_path / "frame.html"
    frame.write_text(MEASURE.format(page=report.as_uri(), width=width))
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files"]
    options += [f"--user-data-dir={tmp_path}/profile", "--virtual-time-budget=5000", "--dump-dom"]
    page = subprocess.run(
        [str(BROWSER), *options, frame.as_uri()], capture_output=True, text=True, timeout=120
    )
    assert "<title>0 pixels too wide</title>" in page.stdout
