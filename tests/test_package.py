import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import caescope
from caescope.cli import main


def test_the_exported_names_are_these():
    assert sorted(caescope.__all__) == [
        "CAE",
        "CaescopeError",
        "__version__",
        "analysis",
        "callbacks",
        "data",
        "errors",
        "metrics",
        "plots",
        "report",
        "run",
    ]
    assert all(getattr(caescope, name) is not None for name in caescope.__all__)


COMMANDS = [None, *main.commands]


def packages_after(code: str) -> set[str]:
    """Return the packages that a new process has imported after ``code``, but for Python's own."""
    code += "\nimport sys; print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stderr.split()) - sys.stdlib_module_names


@pytest.fixture(scope="module")
def of_the_interpreter() -> set[str]:
    """What Python itself imports at its start: hooks of installed packages, a debugger, a coverage meter."""
    return packages_after("")


def test_importing_the_package_imports_no_other(of_the_interpreter):
    assert packages_after("import caescope") - of_the_interpreter == {"caescope"}


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command or "caescope")
def test_asking_for_help_imports_nothing_but_the_parser_of_arguments(command, of_the_interpreter):
    arguments = [command, "--help"] if command else ["--help"]
    code = (
        f"from caescope.cli import main\ntry:\n    main({arguments!r})\nexcept SystemExit as end:\n"
        "    assert end.code == 0\nelse:\n    raise AssertionError"
    )
    imported = packages_after(code) - of_the_interpreter
    assert imported - {"colorama"} == {"caescope", "click"}  # click needs colorama on Windows


def test_a_worker_that_encodes_imports_nothing_that_judges():
    assert not {"sklearn", "pandas", "matplotlib"} & packages_after("import caescope.scale.encoding")


def test_what_is_heavy_would_be_seen():
    assert {"numpy", "caescope"} <= packages_after("import caescope; caescope.metrics")


def test_a_reader_of_tables_does_not_import_pandas(tmp_path):
    """Arrow would do so for a value that Python made, and that takes longer than to read most tables."""
    pq.write_table(pa.table({"path": ["a"], "n": [1]}), tmp_path / "a.parquet")
    code = (
        "import io, sys; from caescope import isolation, parquet_tables as tables\n"
        f"sys.argv[1:] = [{str(tmp_path / 'a.parquet')!r}, tables.CELLS]\n"
        "answer = io.BytesIO()\n"
        "isolation.limit, isolation.answer_with = lambda *_: None, lambda send: send(answer)\n"
        "tables.main(); assert answer.getvalue()[:1] == tables.ANSWERED"
    )
    assert "pandas" not in packages_after(code)
