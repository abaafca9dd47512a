"""An encoding that was interrupted goes on where it stopped, and ends as if it had not been."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow.parquet as pq
import pytest

from caescope import CAE
from caescope.data import ArraySource
from caescope.encoding import encode_to_file
from caescope.errors import DataError
from caescope.pipeline import encode
from caescope.progress import Stages
from caescope.table import read_latents

IMAGES = np.random.default_rng(0).integers(0, 256, (100, 8, 8, 1), np.uint8)


class Failing(ArraySource):
    """Images of which one cannot be read, until it can."""

    bad = 60

    def read(self, indices):
        rows = np.arange(len(self))[indices]
        READ.extend(rows.tolist())
        if self.bad in rows:
            raise DataError("Image 60 must be readable", "damage", "Write it again.")
        return super().read(indices)


READ: list[int] = []


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch):
    monkeypatch.setattr("caescope.encoding.PART_IMAGES", 16)
    monkeypatch.setattr("caescope.encoding.images_at_a_time", lambda *_: 5)
    READ.clear()
    Failing.bad = 60


@pytest.fixture(scope="module")
def cae():
    return CAE((8, 8, 1), 3, [4], seed=0, device="cpu")


def source(**known):
    return Failing(IMAGES, labels=["a", None] * 50, columns={"slide": ["s1", "s2"] * 50}, **known)


def test_an_interrupted_encoding_goes_on_where_it_stopped(cae, tmp_path, capsys):
    with pytest.raises(DataError, match="Image 60"):
        encode_to_file(cae, source(), tmp_path / "z.parquet", Stages(0))
    assert [file.name for file in tmp_path.iterdir()] == [".z.parquet.parts"]
    READ.clear()
    Failing.bad = -1
    encode_to_file(cae, source(), tmp_path / "z.parquet", Stages("auto"))
    assert sorted(READ) == list(range(48, 100))  # three parts of 16 were there
    assert "encode: goes on after 48 of " in capsys.readouterr().err
    encode_to_file(cae, source(), tmp_path / "whole.parquet", Stages(0))
    assert (tmp_path / "z.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["whole.parquet", "z.parquet"]
    table = pq.read_table(tmp_path / "z.parquet")
    assert table["label"].to_pylist() == ["a", None] * 50
    latents = np.stack([table[f"z{i:03d}"].to_numpy() for i in range(3)], axis=1)
    np.testing.assert_allclose(latents, cae.encoder.predict(IMAGES), atol=1e-6)


@pytest.mark.parametrize("change", ["model", "labels", "ids", "pixels", "precision"])
def test_parts_of_another_encoding_are_not_used(cae, tmp_path, change):
    with pytest.raises(DataError, match="Image 60"):
        encode_to_file(cae, source(), tmp_path / "z.parquet", Stages(0))
    READ.clear()
    Failing.bad = -1
    others = {"model": {"seed": 1}, "precision": {"seed": 0, "predict_precision": "bfloat16"}}
    other = CAE((8, 8, 1), 3, [4], device="cpu", **others[change]) if change in others else cae
    known = {"ids": [f"i{i}" for i in range(100)]} if change == "ids" else {}
    images = source(**known)
    if change in ("labels", "pixels"):
        pixels, labels = (255 - IMAGES, images.labels) if change == "pixels" else (IMAGES, [1] * 100)
        images = Failing(pixels, labels, columns=images.columns)
    encode_to_file(other, images, tmp_path / "z.parquet", Stages(0))
    assert sorted(READ) == list(range(100))


def test_a_damaged_record_starts_anew(cae, tmp_path):
    with pytest.raises(DataError, match="Image 60"):
        encode_to_file(cae, source(), tmp_path / "z.parquet", Stages(0))
    (tmp_path / ".z.parquet.parts" / "job.json").write_text("{")
    Failing.bad = -1
    encode_to_file(cae, source(), tmp_path / "z.parquet", Stages(0))
    assert len(pq.read_table(tmp_path / "z.parquet")) == 100


SLOW = """
import sys, time, numpy as np
import caescope.encoding as encoding
from caescope.data import ArraySource
from caescope.pipeline import encode
encoding.PART_IMAGES, encoding.images_at_a_time = 16, lambda *_: 5
class Slow(ArraySource):
    def read(self, indices):
        time.sleep(0.05)
        return super().read(indices)
encode(sys.argv[1], Slow(np.load(sys.argv[2])), sys.argv[3], verbose=0, device="cpu")
"""


def test_a_killed_encoding_goes_on_and_ends_the_same(cae, tmp_path):
    cae.save(tmp_path / "model")
    np.save(tmp_path / "images.npy", IMAGES)
    out, parts = tmp_path / "z.parquet", tmp_path / ".z.parquet.parts"
    arguments = [sys.executable, "-c", SLOW, tmp_path / "model", tmp_path / "images.npy", out]
    running = subprocess.Popen([str(argument) for argument in arguments], env={**os.environ})
    deadline = time.monotonic() + 60
    while len(list(parts.glob("0*.parquet"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    running.send_signal(signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL
    assert not out.exists()
    before = {file.name: file.stat().st_mtime_ns for file in parts.glob("0*.parquet")}
    assert len(before) >= 2
    images = ArraySource(IMAGES)
    encode(tmp_path / "model", images, out, verbose=0, device="cpu")
    encode(tmp_path / "model", images, tmp_path / "whole.parquet", verbose=0, device="cpu")
    assert out.read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    assert not parts.exists()


def test_the_record_names_the_job_and_nothing_else(cae, tmp_path):
    with pytest.raises(DataError, match="Image 60"):
        encode_to_file(cae, source(), tmp_path / "z.parquet", Stages(0))
    job = json.loads((tmp_path / ".z.parquet.parts" / "job.json").read_text())
    assert job.keys() == {"model", "images", "shape", "precision", "part_images"}


@pytest.mark.parametrize("name", ["z.parquet", "parts"])
def test_an_encoding_in_bfloat16_is_asked_for_and_says_so(cae, tmp_path, name, capsys, monkeypatch):
    monkeypatch.setattr("caescope.pipeline.is_remote", lambda place: "parts" in str(place))
    cae.save(tmp_path / "model")
    found = {}
    for precision in ("float32", "bfloat16"):
        out = tmp_path / precision / name
        out.parent.mkdir()
        encode(tmp_path / "model", IMAGES, out, precision=precision, device="cpu")
        assert ("in bfloat16" in capsys.readouterr().err) == (precision == "bfloat16")
        found[precision] = read_latents(out).latents
    assert found["bfloat16"].dtype == np.float32
    off = np.abs(found["bfloat16"] - found["float32"]).max()
    assert 0 < off < 0.05 * found["float32"].std()
