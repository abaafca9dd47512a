"""What a run folder says about itself."""

from pathlib import Path

import numpy as np
import pytest

from caescope.data import ArraySource, find_source
from caescope.errors import FileFormatError
from caescope.run_folder import fingerprint_array, fingerprint_source, read_run


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "run.yaml").write_text("seed: 3\n")
    (tmp_path / "metrics.json").write_text('{"clusters": {"k": 20}}')
    return tmp_path


def test_a_run_is_its_folder_facts_and_metrics(folder):
    run = read_run(folder)
    assert (run.facts, run.metrics) == ({"seed": 3}, {"clusters": {"k": 20}})
    assert run.report == folder / "report.html"
    assert repr(run) == f"Run({str(folder)!r})"


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        (
            "run.yaml",
            "- 1",
            r"run\.yaml must be readable as a YAML mapping\. Received ValueError: a list where",
        ),
        ("run.yaml", "seed: [", r"run\.yaml must be readable as a YAML mapping\. Received ParserError"),
        ("run.yaml", "!!python/name:os.system ''", r"run\.yaml .* ConstructorError"),
        (
            "metrics.json",
            "3",
            r"metrics\.json must be readable as a JSON object\. Received ValueError: a int",
        ),
        ("metrics.json", "{", r"metrics\.json must be readable as a JSON object\. Received JSONDecodeError"),
        ("metrics.json", None, r"must be a run folder, .*Received a folder without them\. Make one"),
    ],
)
def test_a_run_folder_that_is_damaged_is_refused(folder, name, content, match):
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_text(content)
    with pytest.raises(FileFormatError, match=match):
        read_run(folder)


def test_a_folder_that_is_not_there_is_no_run(tmp_path):
    with pytest.raises(FileFormatError, match=r"must be a run folder, .*Received no such folder\. Make one"):
        read_run(tmp_path / "nothing")


def test_images_have_one_fingerprint_wherever_they_are(tmp_path, monkeypatch):
    images = np.arange(7 * 4 * 5, dtype=np.uint8).reshape(7, 4, 5, 1)
    np.save(tmp_path / "a.npy", images)
    monkeypatch.setattr("caescope.run_folder.BLOCK_VALUES", 3 * 20)  # three images at a time
    found = {fingerprint_source(source) for source in (ArraySource(images), find_source(tmp_path / "a.npy"))}
    assert found == {fingerprint_array(images)}
    assert fingerprint_array(images[::-1]) not in found
