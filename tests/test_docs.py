"""What README and documentation show runs as it stands."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import matplotlib.pyplot as plt
import pytest

from caescope.cli import main

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*/*.md")])
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def blocks(page: Path, language: str) -> list[str]:
    return [code for kind, code in BLOCK.findall(page.read_text(encoding="utf-8")) if kind == language]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


# Jupyter is not involved, but Keras and TensorBoard use what others call deprecated
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=name_of)
def test_the_code_on_a_page_runs_from_top_to_bottom(page, small_mnist, tmp_path, monkeypatch):
    if "import keras" in page.read_text(encoding="utf-8"):
        pytest.importorskip("keras")
    monkeypatch.chdir(tmp_path)
    shutil.copy(small_mnist, tmp_path)
    from caescope import CAE

    CAE((28, 28, 1), 20, [8, 16], path="mnist-model", seed=0).save()
    names: dict = {}
    for code in blocks(page, "python"):
        exec(compile(code, str(page), "exec"), names)
    plt.close("all")


def commands_on(page: Path) -> list[list[str]]:
    lines = [line for block in blocks(page, "console") for line in block.splitlines()]
    return [shlex.split(line.partition("  #")[0])[1:] for line in lines if line.startswith("caescope ")]


@pytest.mark.parametrize("page", [page for page in PAGES if commands_on(page)], ids=name_of)
def test_the_commands_on_a_page_exist_with_their_options(page):
    for name, *arguments in commands_on(page):
        command = main.commands[name]
        context = command.make_context(name, list(arguments), resilient_parsing=True)
        assert isinstance(context, click.Context)


def test_the_readme_shows_the_two_commands():
    shown = "\n".join(blocks(ROOT / "README.md", "console"))
    rules = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in ("demo", "test"):
        assert f"make {target} " in shown
        assert re.search(rf"^{target}:", rules, re.MULTILINE)
    assert "make test" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def check_links(root: Path) -> subprocess.CompletedProcess:
    script = [sys.executable, str(ROOT / "docs" / "check_links.py"), str(root)]
    return subprocess.run(script, capture_output=True, text=True)


def test_every_link_leads_somewhere():
    done = check_links(ROOT)
    assert (done.returncode, done.stdout) == (0, "")


def test_links_that_lead_nowhere_are_found(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text("# A b\n[1](docs/a.md) [2](docs/b.md) [3](#a-b) [4](docs/a.md#no)")
    (tmp_path / "docs" / "a.md").write_text("# Title\n[up](../README.md#a-b) `[x](code)` ![p](p.png)")
    done = check_links(tmp_path)
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        "README.md: docs/b.md leads nowhere",
        "README.md: docs/a.md#no leads nowhere",
        "docs/a.md: p.png leads nowhere",
    ]


def test_what_the_reference_shows_has_a_docstring():
    from importlib import import_module

    text = (ROOT / "docs" / "reference" / "api.md").read_text(encoding="utf-8")
    named = re.findall(r"auto(\w+):: ([\w.]+)", text)
    assert len(named) > 15
    for kind, path in named:
        home, _, name = path.rpartition(".")
        thing = import_module(path) if kind == "module" else getattr(import_module(home), name)
        first_line = (thing.__doc__ or "").strip().partition("\n")[0]
        assert first_line.endswith((".", ":")), path
