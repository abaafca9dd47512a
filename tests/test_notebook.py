"""The tutorial's notebook runs as it stands, on a reduced set of digits and on the whole of MNIST."""

import re
import shutil
from pathlib import Path

import pytest

nbclient = pytest.importorskip("nbclient", reason="needs nbclient, which the extra dev installs")
import nbformat  # noqa: E402 - comes with nbclient

NOTEBOOK = Path(__file__).parents[1] / "examples" / "mnist.ipynb"


def execute(data: Path, folder: Path) -> nbformat.NotebookNode:
    """Run the notebook beside ``data`` and return it with its outputs."""
    (folder / "mnist.pkl.gz").symlink_to(data)
    shutil.copy(NOTEBOOK, folder)
    notebook = nbformat.read(folder / NOTEBOOK.name, as_version=4)
    client = nbclient.NotebookClient(notebook, timeout=900, resources={"metadata": {"path": str(folder)}})
    return client.execute()


def text_of(notebook: nbformat.NotebookNode) -> str:
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    return "".join(output.get("text", "") for output in outputs)


def number_after(words: str, text: str) -> float:
    """Return the last number that is printed after some words."""
    return float(re.findall(re.escape(words) + r"\s*(0\.\d+)", text)[-1])


def pictures_in(notebook: nbformat.NotebookNode) -> int:
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    return sum("image/png" in output.get("data", {}) for output in outputs)


# Jupyter's own libraries warn about one another
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
class TestNotebook:
    def check(self, notebook, n_digits: int):
        assert pictures_in(notebook) >= 14
        text = text_of(notebook)
        assert f"train: ({n_digits}, 28, 28, 1) float32" in text
        assert "latents that are the same for every image: 0" in text
        assert "Warning" not in text

    def test_on_reduced_data(self, small_mnist, tmp_path):
        self.check(execute(small_mnist, tmp_path), 1200)
        assert sorted(file.name for file in (tmp_path / "mnist-model").iterdir()) == [
            "decoder.h5",
            "encoder.h5",
            "params.yaml",
        ]
        assert list((tmp_path / "logs" / "mnist").iterdir())

    @pytest.mark.slow
    def test_on_the_whole_of_mnist(self, shared_data, tmp_path):
        notebook = execute(shared_data / "mnist" / "mnist.pkl.gz", tmp_path)
        self.check(notebook, 50_000)
        text = text_of(notebook)
        train, test = number_after("\ntrain: ", text), number_after("\ntest:  ", text)
        assert test <= 0.0100
        assert abs(test - train) <= 0.05 * train
        assert number_after("accuracy ", text) >= 0.91
        assert number_after("mean Gini impurity:", text) <= 0.12


def test_the_notebook_is_kept_without_outputs():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells)
