import subprocess
import sys

import caescope


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


def modules_after(code: str) -> set[str]:
    code += "\nimport sys; print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


def test_importing_the_package_and_asking_for_help_stay_light():
    heavy = {"torch", "sklearn", "matplotlib", "pyarrow", "openTSNE", "h5py", "tensorboard"}
    assert not heavy & modules_after("import caescope")
    for command in ("", "run", "demo"):
        arguments = [command, "--help"] if command else ["--help"]
        code = (
            f"from caescope.cli import main\ntry:\n    main({arguments!r})\nexcept SystemExit as end:\n"
            "    assert not end.code"
        )
        assert not heavy & modules_after(code)
