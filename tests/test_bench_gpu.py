"""benchmarks/gpu.py runs where there is no GPU, and its limits count what PyTorch counts."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from caescope.model.options import parse_options

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture
def benchmarks(monkeypatch):
    """Lets a test import the benchmarks' modules, and forgets them afterwards."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(FOLDER)
    yield
    for name in set(sys.modules) - before:
        if str(FOLDER) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.mark.parametrize("index", [0, 1])
def test_the_work_is_what_pytorch_counts(benchmarks, index):
    import gpu
    import limits

    case = gpu.CASES[index]
    height, width, channels = case.shape
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        gpu.plain_network(case)(torch.zeros(2, channels, height, width))
    work = limits.work(parse_options(case.shape, case.latents, case.filters))
    assert 2 * (2 * work.multiply_adds) == counter.get_total_flops()


def test_the_activations_by_hand(benchmarks):
    import limits

    work = limits.work(parse_options((8, 8, 1), 5, (2, 4)))
    encoder = 64 + (64 * 2 + 16 * 2) + (16 * 4 + 4 * 4) + 5
    decoder = 4 * 4 + 16 * 2 + 64
    assert work.activations == encoder + decoder
    assert work.traffic(2) == 4 * 2 * work.activations


def test_it_runs_on_a_cpu(tmp_path):
    path = tmp_path / "gpu.json"
    command = [sys.executable, FOLDER / "gpu.py", "--device", "cpu", "--quick", "--json", path]
    threads = os.environ | {"OMP_NUM_THREADS": "1"}  # tiny batches on a busy machine wait for their threads
    subprocess.run(command, check=True, capture_output=True, timeout=300, env=threads)
    facts = json.loads(path.read_text())
    assert len(facts["rows"]) == 9
    assert all(row["images_per_second"] > 0 and row["share_of_bandwidth"] > 0 for row in facts["rows"])
    assert all(row["synchronisations"] is None for row in facts["rows"])


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so(tmp_path):
    done = subprocess.run([sys.executable, FOLDER / "gpu.py"], check=True, capture_output=True, text=True)
    assert done.stdout.startswith("There is no CUDA GPU here")
