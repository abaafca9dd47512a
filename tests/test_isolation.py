"""What the readers' own processes do, done in this one; that they are processes is what others test."""

import json
import mmap
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from io import BytesIO
from types import SimpleNamespace

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import hostile_data as hostile
from caescope import hdf5_images, isolation, parquet_tables
from caescope.data.hdf5 import KEYS
from caescope.data.parquet import read_columns, read_parquet
from caescope.errors import FileFormatError, ModelError
from caescope.isolation import MEMORY, SECONDS
from caescope.model import isolation as weights

IMAGES = np.arange(6 * 4 * 5, dtype=np.uint8).reshape(6, 4, 5)


class Ended(BaseException):
    """This process would end."""


class Limits(list):
    """What was asked of `isolation.limit`, which may not come to pass in this process."""

    def __call__(self, *asked):
        self.append(asked)


@pytest.fixture
def limits(monkeypatch) -> Limits:
    asked = Limits()
    monkeypatch.setattr(isolation, "limit", asked)
    return asked


def answer_of(monkeypatch, main: Callable[[], None], *arguments: str, stdin=None) -> bytes:
    """Return what a reader's ``main()`` answers before it ends the process with status 0."""
    answer = BytesIO()

    def end(status: int) -> None:
        raise Ended(f"status {status}")

    with monkeypatch.context() as patch:
        patch.setattr(sys, "argv", ["-c", *arguments])
        patch.setattr(sys, "stdin", SimpleNamespace(buffer=stdin))
        patch.setattr(sys, "stdout", SimpleNamespace(buffer=answer))
        patch.setattr(os, "_exit", end)
        with pytest.raises(Ended, match="status 0"):
            main()
    return answer.getvalue()


def demand_refusal(answer: bytes, error: type[Exception], match: str) -> None:
    """Demand that an answer is the error that the other side will raise, and nothing else."""
    assert answer[:2] == isolation.STARTED + isolation.FAILED
    with pytest.raises(error, match=match):
        raise isolation.error_from_bytes(answer[2:])


# --- Limits


def test_limits_are_what_the_system_says_afterwards():
    code = (
        "import json, resource; from caescope import isolation; isolation.limit(2**30, 9, 5); "
        "names = 'AS CPU NOFILE CORE FSIZE'.split(); "
        "print(json.dumps([resource.getrlimit(getattr(resource, 'RLIMIT_' + name))[0] for name in names]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    memory, seconds, *others = json.loads(done.stdout)
    assert memory == 2**30
    assert 9 < seconds < 60  # what Python's start has taken, and nine more
    assert others == [5, 0, 0]


class Resource:
    """The module of the same name, of a system with these hard limits that refuses one of the soft ones."""

    RLIM_INFINITY = -1
    RLIMIT_AS, RLIMIT_CPU, RLIMIT_NOFILE, RLIMIT_CORE, RLIMIT_FSIZE = "AS", "CPU", "NOFILE", "CORE", "FSIZE"

    def __init__(self, refused: str | None = None, **hard: int):
        self.refused, self.hard, self.limits = refused, hard, {}

    def getrlimit(self, name: str) -> tuple[int, int]:
        return -1, self.hard.get(name, -1)

    def setrlimit(self, name: str, limit: tuple[int, int]) -> None:
        if name == self.refused:
            raise ValueError("current limit exceeds maximum limit")
        self.limits[name] = limit


def limited(monkeypatch, module: Resource | None) -> None:
    monkeypatch.setattr("time.process_time", lambda: 1.5)
    monkeypatch.setitem(sys.modules, "resource", module)
    isolation.limit(1000, 2.2, files=4)


def test_time_and_memory_can_be_given_again_and_nothing_else(monkeypatch):
    module = Resource()
    limited(monkeypatch, module)
    for_good = {"NOFILE": (4, 4), "CORE": (0, 0), "FSIZE": (0, 0)}
    assert module.limits == {"AS": (1000, -1), "CPU": (4, -1), **for_good}


def test_limits_that_are_tighter_already_stay(monkeypatch):
    module = Resource(AS=900, CPU=3, NOFILE=2)
    limited(monkeypatch, module)
    assert (module.limits["AS"], module.limits["CPU"], module.limits["NOFILE"]) == (
        (900, 900),
        (3, 3),
        (2, 2),
    )


def test_a_system_without_one_limit_has_the_others(monkeypatch):
    """As macOS knows none of the address space."""
    module = Resource(refused="AS")
    limited(monkeypatch, module)
    assert sorted(module.limits) == ["CORE", "CPU", "FSIZE", "NOFILE"]


def test_a_system_without_limits_reads_all_the_same(monkeypatch):
    """As Windows, which has no such module."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    limited(monkeypatch, None)
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == before


def test_the_memory_that_is_taken_is_told_where_the_system_does(monkeypatch, tmp_path):
    before = isolation.memory_now()
    held = mmap.mmap(-1, 2**26)  # from the system: the C library may have kept as much
    np.frombuffer(held, np.uint8)[:] = 1
    assert isolation.memory_now() - before == pytest.approx(len(held), rel=0.2)
    monkeypatch.setattr(isolation, "Path", lambda _: tmp_path / "statm")
    assert isolation.memory_now() == MEMORY


# --- HDF5 files of images


def message(content: bytes) -> bytes:
    return b"A" + len(content).to_bytes(8, "little") + content


def images_file(path, **datasets) -> str:
    with h5py.File(path, "w") as file:
        for name, values in datasets.items():
            file[name] = values
    return str(path)


def ask(monkeypatch, path: str, *questions) -> bytes:
    lines = BytesIO(b"".join(json.dumps(question).encode() + b"\n" for question in questions))
    return answer_of(monkeypatch, hdf5_images.main, path, json.dumps(KEYS), stdin=lines)


def test_images_and_labels_are_answered_one_question_after_the_other(tmp_path, monkeypatch, limits):
    labels = np.arange(6)
    path = images_file(tmp_path / "a.h5", x=IMAGES, y=labels)
    facts = {"shape": [6, 4, 5], "dtype": "|u1", "together": 1, "labels": "y"}
    described = message(json.dumps(facts).encode())
    labelled = message(b'[null, "<i8"]') + labels.tobytes()
    two, one = (message(b"") + images.tobytes() for images in (IMAGES[1:3], IMAGES[5:]))
    assert ask(monkeypatch, path, "labels", [1, 3], [5, 6]) == b"S" + described + labelled + two + one
    size = os.path.getsize(path)
    assert limits == [
        (MEMORY, SECONDS, 4),
        (MEMORY + 4 * size, SECONDS + 1, 4),
        (MEMORY + 4 * 4 * 20, SECONDS + 1, 4),  # two images, and twice what is unpacked with one
        (MEMORY + 4 * 3 * 20, SECONDS + 1, 4),
    ]


@pytest.mark.usefixtures("limits")
def test_labels_of_text_are_part_of_the_answer(tmp_path, monkeypatch):
    path = images_file(tmp_path / "a.h5", x=IMAGES, labels=list("abcabc"))
    found = ask(monkeypatch, path, "labels")
    assert found.endswith(message(b'[["a", "b", "c", "a", "b", "c"], "|O"]'))


@pytest.mark.usefixtures("limits")
def test_a_file_of_no_images_is_answered_by_the_error(tmp_path, monkeypatch):
    answer = ask(monkeypatch, images_file(tmp_path / "a.h5", tiles=IMAGES), [0, 1])
    demand_refusal(answer, FileFormatError, r"a\.h5 must hold images .*Received the keys tiles\.")
    (tmp_path / "a.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    answer = ask(monkeypatch, str(tmp_path / "a.h5"), [0, 1])
    demand_refusal(answer, FileFormatError, r"a\.h5 must be readable as an HDF5 file of images\. .* OSError")


# --- Weights

SHAPES = [(1, 1, 1, 2), (2,)]


@pytest.fixture
def weights_file(tmp_path) -> str:
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file.attrs["layer_names"] = [b"conv2d"]
        group = file.create_group("conv2d")
        group.attrs["weight_names"] = [b"kernel", b"bias"]
        group["kernel"], group["bias"] = np.ones(SHAPES[0], np.float32), np.arange(2.0)
    return str(tmp_path / "w.h5")


def weights_of(monkeypatch, path: str) -> bytes:
    with open(path, "rb") as file:
        return answer_of(monkeypatch, weights.main, path, json.dumps(SHAPES), stdin=file)


@pytest.mark.parametrize("ours", [False, True])
def test_weights_are_answered_as_float32_and_whose_they_are(weights_file, monkeypatch, limits, ours):
    if ours:
        with h5py.File(weights_file, "r+") as file:
            file.attrs["writer"] = "caescope"
    values = [np.ones(2, "<f4").tobytes(), np.arange(2, dtype="<f4").tobytes()]
    whose = b"O" if ours else b"K"
    assert weights_of(monkeypatch, weights_file) == b"S" + whose + b"R" + values[0] + b"R" + values[1]
    assert limits == [(MEMORY + 4 * os.path.getsize(weights_file), SECONDS + 1)]


def test_weights_that_are_not_finite_are_answered_by_the_error(weights_file, monkeypatch, limits):
    with h5py.File(weights_file, "r+") as file:
        file["conv2d/bias"][1] = np.inf
    answer = weights_of(monkeypatch, weights_file)
    place = answer.index(b"F", 2)
    assert answer[:place] == b"SKR" + np.ones(2, "<f4").tobytes()  # what came before was sound
    demand_refusal(
        b"S" + answer[place:], ModelError, r"Weights in .*w\.h5 must be finite\. .* /conv2d/bias\."
    )


@pytest.mark.usefixtures("limits")
def test_a_file_of_no_weights_is_answered_by_the_error(tmp_path, monkeypatch):
    answer = weights_of(monkeypatch, images_file(tmp_path / "w.h5", x=IMAGES))
    demand_refusal(
        answer, FileFormatError, r"w\.h5 must be readable as an HDF5 file of weights.*none of the la"
    )


def test_weights_that_are_cut_off_are_no_weights(weights_file, monkeypatch):
    monkeypatch.setattr(isolation, "_CHILD", "import sys; sys.stdout.buffer.write(b'SKR' + b'abc')")
    with (
        open(weights_file, "rb") as stream,
        pytest.raises(FileFormatError, match=r"w\.h5 must be readable as .* reader stopped \(status 0\)"),
    ):
        weights.read_isolated(stream, SHAPES, weights_file)


# --- Parquet tables

TABLE = pa.table({"path": ["a", "b", "a", None], "n": [1, 2, 3, 4]})


def parquet_file(path, table=TABLE, **options) -> str:
    pq.write_table(table, path, **options)
    return str(path)


def test_tables_are_answered_as_a_stream_of_arrow(tmp_path, monkeypatch, limits):
    path = parquet_file(tmp_path / "a.parquet")
    monkeypatch.setattr(isolation, "memory_now", lambda: 2**20)
    answer = answer_of(monkeypatch, parquet_tables.main, path, parquet_tables.ARROW)
    assert answer[:2] == b"SA"
    assert pa.ipc.open_stream(answer[2:]).read_all().equals(TABLE)
    assert limits == [(2**20 + MEMORY // 4 + 2**29, SECONDS + 3, 4)]


@pytest.mark.usefixtures("limits")
def test_a_file_of_no_table_is_answered_by_the_error(tmp_path, monkeypatch):
    (tmp_path / "a.parquet").write_bytes(b"PAR1" * 3)
    answer = answer_of(monkeypatch, parquet_tables.main, str(tmp_path / "a.parquet"), parquet_tables.CELLS)
    demand_refusal(
        answer, FileFormatError, r"a\.parquet must be readable as a Parquet file\. .* ArrowInvalid"
    )


@pytest.mark.usefixtures("in_either_process")
@pytest.mark.parametrize("encoding", ["PLAIN", "DELTA_BYTE_ARRAY"])
def test_equal_texts_are_one_object_however_they_are_kept(tmp_path, encoding):
    encodings = {"path": encoding, "n": "PLAIN"}
    path = parquet_file(tmp_path / "a.parquet", use_dictionary=False, column_encoding=encodings)
    columns = read_columns(path)
    assert columns == {"path": ["a", "b", "a", None], "n": [1, 2, 3, 4]}
    assert columns["path"][0] is columns["path"][2]
    assert read_parquet(path).equals(TABLE)


@pytest.mark.usefixtures("in_either_process")
@pytest.mark.parametrize("read", [read_columns, read_parquet])
def test_tables_that_do_not_fit_are_refused(tmp_path, read):
    twice = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    path = parquet_file(tmp_path / "a.parquet", twice)
    with pytest.raises(
        FileFormatError, match=r"a\.parquet must be readable as .*column name that comes twice"
    ):
        read(path)
    hostile.patched_rows(tmp_path, 10**6)
    with pytest.raises(FileFormatError, match=r"y\.parquet must be .* 300 rows, where 1000000 are declared"):
        read(tmp_path / "y.parquet")


@pytest.mark.usefixtures("in_either_process")
def test_a_table_to_be_listed_has_few_cells(tmp_path):
    """Its footer tells how many."""
    hostile.patched_rows(tmp_path, 2**60)
    with pytest.raises(
        FileFormatError, match=r"at most 33,554,432 cells\. Received 1,152,921,504,606,846,976\."
    ):
        read_columns(tmp_path / "y.parquet")


@pytest.mark.parametrize(
    "answer", [b"SA", b"SA\xff\xff\xff\xff\x10\0\0\0abc"], ids=["at its start", "within"]
)
def test_a_table_that_is_cut_off_is_no_table(tmp_path, monkeypatch, answer):
    monkeypatch.setattr(isolation, "_CHILD", f"import sys; sys.stdout.buffer.write({answer!r})")
    with pytest.raises(FileFormatError, match=r"a\.parquet must be readable as .* stopped \(status 0\)"):
        read_parquet(parquet_file(tmp_path / "a.parquet"))
