"""What is handed out: which dependencies it asks for, what wheel and archive hold, and that they install."""

import base64
import csv
import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
OPTIONAL = PROJECT["project"]["optional-dependencies"]
ASKED_FOR = [*PROJECT["project"]["dependencies"], *(name for extra in OPTIONAL.values() for name in extra)]
NEEDED = [Requirement(text) for text in (*ASKED_FOR, *PROJECT["build-system"]["requires"])]
FOREIGN = [needed for needed in map(Requirement, ASKED_FOR) if needed.name != "caescope"]
BACKEND = PROJECT["build-system"]["build-backend"]
DATE = "1700000000"  # that is written into archives, in seconds since 1970


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    parsed = [re.fullmatch(r"([\w.-]+)==([\w.!+]+)", line) for line in lines if not line.startswith("#")]
    assert all(parsed), "every line of constraints.txt is name==version"
    found = {str(canonicalize_name(pin[1])): pin[2] for pin in parsed if pin}
    assert len(found) == len(parsed), "no name comes twice"
    return found


@pytest.mark.parametrize("needed", NEEDED, ids=lambda needed: needed.name)
def test_a_dependency_is_a_name_and_a_lower_bound(needed):
    assert needed.url is None
    assert [part.operator for part in needed.specifier] == ([] if needed.name == "caescope" else [">="])


@pytest.mark.parametrize("needed", FOREIGN, ids=lambda needed: needed.name)
def test_a_dependency_has_a_pin_within_its_range(needed):
    assert needed.specifier.contains(Version(pins()[canonicalize_name(needed.name)]))


def test_nothing_of_ours_runs_when_it_is_built_or_installed():
    assert BACKEND == "setuptools.build_meta"
    assert set(PROJECT["build-system"]) == {"requires", "build-backend"}  # no backend-path
    assert not [name for name in ("setup.py", "setup.cfg") if (ROOT / name).exists()]
    assert set(PROJECT["tool"]["setuptools"]) == {"packages", "package-data"}  # no cmdclass, no data-files
    assert set(PROJECT["project"]) & {"dynamic", "gui-scripts", "entry-points"} == set()


def tracked(*folders: str) -> set[str]:
    """Return the files that git keeps or will keep, but for those that are deleted."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("needs git and a checkout")
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", *folders]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout
    return {name for name in listed.split("\0") if name and (ROOT / name).is_file()}


def build(tree: Path, out: Path, kind: str) -> Path:
    """Build a wheel or an archive of a tree, as installers do, in a process of its own; return the file."""
    out.mkdir()
    hook = f"from {BACKEND} import build_{kind} as build; build({str(out)!r})"
    settings = os.environ | {"SOURCE_DATE_EPOCH": DATE}
    subprocess.run(
        [sys.executable, "-c", hook], cwd=tree, env=settings, check=True, capture_output=True, timeout=120
    )
    (made,) = out.iterdir()
    return made


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    """A copy of the checkout, with things beside the package that must not be handed out."""
    copy = tmp_path_factory.mktemp("tree") / "caescope"
    for name in tracked():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, copy / name)
    for stray in ("src/caescope/__pycache__/cli.pyc", "src/caescope/notes.txt", "runs/a/latents.parquet"):
        (copy / stray).parent.mkdir(parents=True, exist_ok=True)
        (copy / stray).write_text("not for others")
    return copy


@pytest.fixture(scope="module")
def wheel(tree, tmp_path_factory) -> Path:
    return build(tree, tmp_path_factory.mktemp("wheel") / "first", "wheel")


@pytest.fixture(scope="module")
def archive(tree, tmp_path_factory) -> Path:
    return build(tree, tmp_path_factory.mktemp("archive") / "first", "sdist")


def of_the_package() -> set[str]:
    return {name.removeprefix("src/") for name in tracked("src")}


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    files = set(zipfile.ZipFile(wheel).namelist())
    about = {name for name in files if ".dist-info/" in name}
    assert files - about == of_the_package()
    assert {name.partition(".dist-info/")[2] for name in about} == {
        "METADATA",
        "RECORD",
        "WHEEL",
        "entry_points.txt",
        "licenses/LICENSE",
        "top_level.txt",
    }
    assert {"caescope/py.typed", "caescope/report/report.html", "caescope/report/report.css"} <= files


def test_the_record_of_the_wheel_is_right(wheel):
    content = zipfile.ZipFile(wheel)
    (record,) = (name for name in content.namelist() if name.endswith(".dist-info/RECORD"))
    rows = {
        name: (digest, size) for name, digest, size in csv.reader(io.StringIO(content.read(record).decode()))
    }
    assert set(rows) == set(content.namelist())
    assert rows.pop(record) == ("", "")
    for name, (digest, size) in rows.items():
        held = content.read(name)
        expected = base64.urlsafe_b64encode(hashlib.sha256(held).digest()).rstrip(b"=").decode()
        assert (digest, size) == (f"sha256={expected}", str(len(held)))


def test_the_wheel_asks_for_what_the_project_says(wheel):
    content = zipfile.ZipFile(wheel)
    (about,) = (name for name in content.namelist() if name.endswith(".dist-info/METADATA"))
    lines = re.findall(r"^Requires-Dist: (.*)$", content.read(about).decode(), re.MULTILINE)
    assert {Requirement(line).name for line in lines} == {Requirement(text).name for text in ASKED_FOR}


def test_the_archive_holds_package_licence_and_readme(archive):
    with tarfile.open(archive) as content:
        assert all(member.isfile() or member.isdir() for member in content)
        files = {member.name.partition("/")[2] for member in content if member.isfile()}
    own = {name for name in files if not name.startswith("src/caescope.egg-info/")}
    made = {"PKG-INFO", "setup.cfg"}  # by setuptools: the metadata, and an empty section
    assert own == {"LICENSE", "MANIFEST.in", "README.md", "pyproject.toml"} | made | tracked("src")


def test_the_archive_gives_the_same_wheel(archive, wheel, tmp_path):
    with tarfile.open(archive) as content:
        content.extractall(tmp_path, filter="data")
    again = build(next(tmp_path.iterdir()), tmp_path / "again", "wheel")
    assert again.name == wheel.name
    ours, theirs = (zipfile.ZipFile(path) for path in (wheel, again))
    assert {name: ours.read(name) for name in ours.namelist()} == {
        name: theirs.read(name) for name in theirs.namelist()
    }


def test_building_again_gives_the_same_bytes(tree, wheel, tmp_path):
    assert build(tree, tmp_path / "again", "wheel").read_bytes() == wheel.read_bytes()


def test_the_wheel_installs_and_every_module_is_there(wheel, tmp_path):
    settings = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True, timeout=60)
    scripts = tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin")
    python = scripts / "python"
    install = [python, "-m", "pip", "install", "--no-deps", "--no-index", "--quiet", "--no-compile", wheel]
    subprocess.run(install, env=settings, check=True, timeout=60)
    code = "import caescope, caescope.errors; print(caescope.__file__); print(caescope.__version__)"
    done = subprocess.run(
        [python, "-I", "-c", code], cwd=tmp_path, env=settings, check=True, capture_output=True, text=True
    )
    place, version = done.stdout.split()
    assert version == PROJECT["project"]["version"]
    installed = Path(place).parent
    names = {f"caescope/{file.relative_to(installed).as_posix()}" for file in installed.rglob("*.*")}
    assert {name for name in names if "__pycache__" not in name} == of_the_package()
    assert not list(installed.parent.glob("*caescope*.pth"))
    assert (scripts / ("caescope.exe" if os.name == "nt" else "caescope")).is_file()
