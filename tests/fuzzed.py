"""The parsers that `fuzzing` sends changed files to: good files, their vocabulary, and what opens them.

Modules are imported by those that need them, so that each process is as light as it can be.
"""

import gzip
import io
import os
import pickle
import signal
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

import fuzzing

X = (np.arange(2 * 784) % 200 / 255).astype(np.float32).reshape(2, 784)
Y = np.array([3, 4])
IDS = np.array(["a.png", "b.png", "c.png"])
IMAGES = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5)


# --- MNIST pickle


def pickles() -> list[bytes]:
    from hostile_data import mnist_opcodes  # as Python 2 wrote them

    sets = ((X, Y), (X[:1], Y[:1]), (X[:1], Y[:1]))
    return [pickle.dumps(sets, 3), pickle.dumps(sets, 4), mnist_opcodes(), gzip.compress(mnist_opcodes())]


PICKLE_TOKENS = [
    b"numpy",
    b"ndarray",
    b"_reconstruct",
    b"numpy.core.multiarray",
    b"dtype",
    b"cos\nsystem\n",
    b"c",
]
PICKLE_TOKENS += [
    b"R",
    b"b",
    b"t",
    b"(",
    b")",
    b"\x85",
    b"\x86",
    b"\x87",
    b"q\x01",
    b"h\x01",
    b"h\0",
    b"\x94",
    b"\x93",
]
PICKLE_TOKENS += [
    b"K\0",
    b"M\x10\x03",
    b"U\x02f4",
    b"<",
    b">",
    b"f4",
    b"i8",
    b"O8",
    b"\x89",
    b"\x88",
    b"N",
    b".",
    b"X",
]
PICKLE_TOKENS += [
    b"\x80\x02",
    b"\x80\x04",
    b"\x95",
    b"T",
    b"}",
    b"]",
    b"Q",
    b"P0\n",
    b"\x82\x01",
    b"I-1\n",
    b"L1L\n",
]
PICKLE_TOKENS += [b"r\xff\xff\xff\x7f", b"J\xff\xff\xff\xff", b"\x8a\x01\x01", b"\x8c\x05numpy", b"2", b"0"]


def open_pickle(path: Path) -> object:
    from caescope.data.mnist_pickle import load_mnist_pickle

    sets = load_mnist_pickle(path)
    assert all(X.dtype == np.float32 and y.dtype == np.int64 for X, y in sets)
    return sets


# --- IDX


def idx_files() -> list[bytes]:
    def idx(code: int, array: np.ndarray) -> bytes:
        sides = b"".join(side.to_bytes(4, "big") for side in array.shape)
        return bytes([0, 0, code, array.ndim]) + sides + array.tobytes()

    files = [idx(8, IMAGES), idx(0x0D, (IMAGES / 255).astype(">f4")), idx(0x0B, IMAGES.astype(">i2"))]
    return [*files, gzip.compress(files[0]), gzip.compress(files[1])]


def open_source_of(path: Path) -> object:
    from caescope.data import open_source

    source = open_source(path)
    assert source.images.dtype in (np.uint8, np.float32)
    return source


IDX_TOKENS = [bytes([0, 0, code, axes]) for code in (8, 9, 11, 12, 13, 14) for axes in (0, 1, 3, 32, 33)]

# --- params.yaml

PARAMS = f"""\
filters: [2, 4]
input_shape: [8, 8, 1]
kernel: 3
latent_features: 3
lossfn: mse
optimizer: adam
pool: 2
stride: 1
latent_activation: linear
format_version: 1
caescope_version: 0.1.0
weights_sha256:
  encoder: {"a" * 64}
  decoder: {"b" * 64}
"""
PARAMS_2 = f"""\
filters: [2, 4]
input_shape: [8, 8, 1]
kernel: [3, 3]
latent_features: 3
lossfn: mse
optimizer: adamax
pool: [2, 2]
stride: 1
latent_activation: linear
architecture: residual
objective: invariant
objective_weight: 2.5
views:
  turn: 18.0
  flip: true
  outside: zeros
format_version: 2
caescope_version: 0.1.0
weights_sha256:
  encoder: {"a" * 64}
  decoder: {"b" * 64}
"""
OLD_PARAMS = """\
filters: !!python/tuple
- 2
- 4
input_shape: !!python/tuple [8, 8, 1]
kernel: !!python/tuple [3, 3]
latent_features: null
lossfn: bce
optimizer: adam
pool: 2
stride: 1
"""
YAML_TOKENS = [
    "!!python/tuple",
    "!!python/object/apply:os.system",
    "!!python/name:os.system",
    "&a",
    "*a",
    "<<:",
    "[",
]
YAML_TOKENS += [
    "]",
    "{",
    "}",
    ": ",
    "- ",
    "? ",
    "!!int",
    "!!float",
    "!!binary",
    "!!timestamp",
    "!!set",
    "!!null",
]
YAML_TOKENS += [
    "!!omap",
    "!!str",
    "null",
    "true",
    ".nan",
    ".inf",
    "-1",
    "0",
    "1e400",
    "0x7f",
    "0b1",
    "0o7",
    "1:59:59",
]
YAML_TOKENS += [
    "2001-01-01",
    "9" * 20,
    "9" * 50,
    "'",
    '"',
    "#",
    "\0",
    "%TAG",
    "%YAML 1.1",
    "---",
    "...",
    ">",
    ">-",
    "|",
]
YAML_TOKENS += [
    "\t",
    "\u2028",
    "\ufeff",
    "@",
    "`",
    "filters",
    "input_shape",
    "kernel",
    "pool",
    "latent_features",
]
YAML_TOKENS += [
    "weights_sha256",
    "format_version",
    "2001-99-99",
    "!!timestamp 2001-99-99",
    "!!int x",
    "!!float x",
]


YAML_TOKENS += [
    "architecture",
    "objective_weight",
    "objective: variational",
    "objective: denoising",
    "views",
    "digits",
    "stain: 0.2",
    "elastic",
]


def params_files() -> list[bytes]:
    return [text.encode() for text in (PARAMS, PARAMS_2, OLD_PARAMS)]


def open_params(path: Path) -> object:
    from caescope.model.params import read_facts, read_options

    return read_options(path, read_facts(path))


# --- Weights and images in HDF5

SHAPES = [(3, 3, 1, 2), (2,), (8, 3), (3,)]


def weights() -> list[bytes]:
    import h5py

    from caescope.model.hdf5 import format_weights

    arrays = [np.full(shape, 0.5, np.float32) for shape in SHAPES]
    keras3 = io.BytesIO()
    with h5py.File(keras3, "w") as file:
        for name, pair in (("conv2d", arrays[:2]), ("dense", arrays[2:])):
            for i, array in enumerate(pair):
                file[f"layers/{name}/vars/{i}"] = array
    return [format_weights(["conv2d", "dense"], arrays), keras3.getvalue()]


def open_weights(path: Path) -> object:
    from caescope.model.hdf5 import read_weights

    use_forks()
    return read_weights(path, SHAPES)


def images() -> list[bytes]:
    import h5py

    plain = {"data": IMAGES}
    kinds: list[dict[str, Any]] = [
        plain,
        plain | {"chunks": (1, 4, 5), "compression": "gzip"},
        plain | {"chunks": (2, 4, 5), "compression": "lzf", "shuffle": True, "fletcher32": True},
        {"data": (IMAGES / 255).astype(np.float32), "chunks": (2, 2, 5), "maxshape": (None, 4, 5)},
    ]
    labels: list[Any] = [[1, 2, 3], ["a", "b", "c"], np.array([b"a", b"b", b"c"]), [0.5, 1, 2]]
    files = []
    for options, values, version in zip(
        kinds, labels, ("earliest", "latest", "earliest", "latest"), strict=True
    ):
        content = io.BytesIO()
        with h5py.File(content, "w", libver=version) as file:
            file.create_dataset("images", **options)
            file["labels"] = values
        files.append(content.getvalue())
    return files


def open_images(path: Path) -> object:
    use_forks()
    return open_source_of(path)


HDF5_TOKENS = [
    b"\x89HDF\r\n\x1a\n",
    b"TREE",
    b"SNOD",
    b"HEAP",
    b"GCOL",
    b"OHDR",
    b"OCHK",
    b"FRHP",
    b"FHDB",
    b"FHIB",
]
HDF5_TOKENS += [
    b"BTHD",
    b"BTLF",
    b"BTIN",
    b"FADB",
    b"FAHD",
    b"EAHD",
    b"EAIB",
    b"EADB",
    b"FSHD",
    b"SMTB",
    b"SMLI",
]
HDF5_TOKENS += [
    b"\xff" * 8,
    bytes(8),
    b"\x11\x20",
    b"\x08\0",
    b"layer_names",
    b"weight_names",
    b"images",
    b"labels",
]


class Forked:
    """What stands for a process that `isolation.start` starts: a copy of this one, made in milliseconds.

    It calls the same ``main()``, under the same limits, and has imported no more than a new Python would.
    """

    def __init__(self, module: str, first: str, second: str, stdin: Any):
        self.returncode: int | None = None
        theirs, write = os.pipe() if stdin == -1 else (os.dup(stdin.fileno() if stdin else 0), None)
        read, ours = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.dup2(theirs, 0)
            os.dup2(ours, 1)
            os.closerange(3, 64)
            sys.stdin, sys.stdout = open(0, closefd=False), open(1, "w", closefd=False)  # noqa: SIM115
            sys.argv = ["-c", first, second]
            try:
                sys.modules[module].main()
            except BaseException:
                os._exit(1)
        os.close(ours)
        os.close(theirs)
        self.stdin = None if write is None else os.fdopen(write, "wb")
        self.stdout = os.fdopen(read, "rb")

    def wait(self) -> int:
        if self.returncode is None:
            self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.returncode

    def kill(self) -> None:
        if self.returncode is None:
            os.kill(self.pid, signal.SIGKILL)

    def communicate(self) -> None:
        self.stdout.close()
        if self.stdin is not None:
            self.stdin.close()
        self.wait()

    def __enter__(self) -> "Forked":
        return self

    def __exit__(self, *_) -> None:
        self.communicate()


def use_forks() -> None:
    from caescope import isolation

    if isolation.start is not Forked:
        isolation.get_ready()
        isolation.start = Forked


# --- Labels and lists

CSV_TOKENS = [
    b",",
    b"\n",
    b"\r\n",
    b"\r",
    b'"',
    b'""',
    b"\0",
    b";",
    b"label",
    b"path",
    b"id",
    b"slide",
    b"split",
    b"z000",
]
CSV_TOKENS += [
    b"train",
    b"1e999",
    b"nan",
    b"9" * 30,
    b"-0",
    b"007",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\xc3\xa9",
    b"../",
    b"/",
]
CSV_TOKENS += [b"\\", b"a.png", b"a.png" * 100, b" ", b"\t", b"\xe2\x80\xa8", b"http://a/", b".", b".."]


def label_tables() -> list[bytes]:
    texts = [
        b"path,label,slide\na.png,1,s\nb.png,2,t\nc.png,,t\n",
        b"label,score\ncat,0.5\ndog,1.5\ncat,2\n",
        b'id,label\n"a.png","x, ""y"""\n"b.png","z\nw"\n"c.png",v\n',
        "path,label\na.png,é\nb.png,ü\nc.png,ß\n".encode("utf-8-sig"),
    ]
    return [*texts, gzip.compress(texts[0])]


def open_labels(path: Path) -> object:
    from caescope.data.labels import load_annotations

    return load_annotations(path, IDS)


def lists() -> list[bytes]:
    return [
        b"path,label,split\na.png,1,train\nb.png,2,test\nsub/c.png,3,validation\n",
        b"path\na.png\nb.png\n",
        b"slide,path\n1,sub/c.png\n2,a.png\n",
    ]


def open_list(path: Path) -> object:
    from caescope.data.listing import find_listing

    if not (path.parent / "sub").exists():
        (path.parent / "sub").mkdir()
        for name in ("a.png", "b.png", "sub/c.png"):
            (path.parent / name).write_bytes(b"")
    source = find_listing(path)
    root = os.path.realpath(path.parent)
    assert all(os.path.realpath(os.path.join(root, name)).startswith(root) for name in source.ids)
    return source


# --- NPY, NPZ, Parquet

NPY_TOKENS = [
    b"\x93NUMPY",
    b"\x01\0",
    b"\x02\0",
    b"'descr'",
    b"'fortran_order'",
    b"'shape'",
    b"True",
    b"False",
    b"|u1",
]
NPY_TOKENS += [
    b"'<f4'",
    b"'|O'",
    b"'<U9'",
    b"'|S0'",
    b"'>f8'",
    b"(3, 4, 5)",
    b"()",
    b"(,)",
    b"-1",
    b"1L",
    b"[('a', '<f4')]",
]
NPY_TOKENS += [
    b"10**9",
    b"99999999999999999999",
    b"None",
    b"{",
    b"}",
    b"\n",
    b"'",
    b"(1,) * 99",
    b"'|V9'",
    b"'<M8[s]'",
]


def npy_files() -> list[bytes]:
    arrays = [
        IMAGES,
        (IMAGES / 255).astype(np.float32),
        np.asfortranarray(IMAGES),
        IMAGES.astype(">i2"),
        IMAGES > 9,
    ]
    return [npy(array) for array in arrays]


def npy(array: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


def npz_files() -> list[bytes]:
    files = []
    for save in (np.savez, np.savez_compressed):
        for arrays in (
            {"images": IMAGES, "labels": IDS},
            {"x_train": IMAGES, "y_train": [1, 2, 3], "x_test": IMAGES, "y_test": [1, 2, 3]},
        ):
            content = io.BytesIO()
            if "labels" in arrays:
                arrays["labels"] = IDS
            save(content, **arrays)
            files.append(content.getvalue())
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("X.npy", npy(IMAGES))
    return [*files, content.getvalue()]


NPZ_TOKENS = [
    *NPY_TOKENS,
    b"PK\x01\x02",
    b"PK\x03\x04",
    b"PK\x05\x06",
    b"PK\x06\x06",
    b"PK\x07\x08",
    b"images",
    b"x_test",
]
NPZ_TOKENS += [
    b"labels",
    b".npy",
    b"../",
    b"\x08\0",
    b"\x0c\0",
    b"\x0e\0",
    b"\x01\0\x10\0",
    b"\xff\xff\xff\xff",
]


def tables() -> list[bytes]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {"path": IDS.tolist(), "label": ["x", None, "y"], "score": [0.5, 1.5, None]}
    whole = pa.table({**columns, "n": [1, 2, 3], "b": [True, False, None]})
    files = []
    for options in (
        {},
        {"compression": "none", "use_dictionary": False},
        {"compression": "gzip", "data_page_version": "2.0"},
        {"compression": "zstd", "version": "1.0", "write_statistics": False},
        {
            "use_dictionary": False,
            "column_encoding": {"n": "DELTA_BINARY_PACKED", "path": "DELTA_BYTE_ARRAY"},
        },
    ):
        content = io.BytesIO()
        pq.write_table(whole, content, store_schema=len(files) % 2 == 0, **options)
        files.append(content.getvalue())
    return files


def open_table(path: Path) -> object:
    from caescope.errors import InputError
    from caescope.table import read_latents

    use_forks()
    open_labels(path)
    try:
        return read_latents(path)
    except InputError:  # which most of these tables are not
        return None


def latent_tables() -> list[bytes]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    lists = pa.table({"id": IDS.tolist(), "emb": [[1.0, 2.0]] * 3})
    columns = {f"z{i:03d}": np.arange(3, dtype=np.float32) for i in range(3)}
    known = {"id": IDS.tolist(), "split": ["train"] * 3, "label": ["x", None, "y"], "cluster": [0, 1, -1]}
    files = []
    for table in (lists, pa.table({**known, **columns, "map_x": [0.5] * 3, "map_y": [1.5] * 3})):
        content = io.BytesIO()
        pq.write_table(table, content)
        files.append(content.getvalue())
    return [*files, npy(IMAGES[..., 0].astype(np.float32))]


def open_latents(path: Path) -> object:
    from caescope.table import read_latents

    use_forks()
    return read_latents(path)


PARQUET_TOKENS = [
    b"PAR1",
    b"PARE",
    b"path",
    b"label",
    b"z000",
    b"\x15\x00",
    b"\x15\x02",
    b"\x15\x04",
    b"\x15\x0c",
    b"\x19\x1c",
]
PARQUET_TOKENS += [
    b"\x19\xfc",
    b"\x18\x04",
    b"\x26\x08",
    b"\x16\x06",
    b"\x00",
    b"\xff\xff\xff\xff\x0f",
    b"\x80\x80\x80\x80\x08",
]
PARQUET_TOKENS += [
    b"\xfe\xff\xff\xff\x0f",
    b"\x1c",
    b"\x2c",
    b"\x15\x06\x15\x06",
    b"ARROW:schema",
    b"\x06\0\0\0",
    b"pandas",
]

# --- Parsers that are broken on purpose


def crash(_path: Path) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def hang(_path: Path) -> None:
    time.sleep(60)


def eat(_path: Path) -> None:
    np.ones(1700 * 2**20, np.uint8)


def fail(_path: Path) -> None:
    raise KeyError("not ours")


def sometimes(path: Path) -> None:
    """Crash at a single input in many."""
    from caescope.errors import DataError

    if path.read_bytes() == fuzzing.mutation("sometimes", 0, 7, [b"abcdefgh"], [b"x"]):
        crash(path)
    raise DataError("a", "b", "c")


def parser(samples, tokens, opens, suffix: str) -> fuzzing.Parser:
    tokens = [token.encode() if isinstance(token, str) else token for token in tokens]
    return fuzzing.Parser(samples, tokens, opens, suffix)


BROKEN = {
    call.__name__: parser(lambda: [b"abcdefgh"], ["x"], call, "")
    for call in (crash, hang, eat, fail, sometimes)
}
PARSERS = {
    "pickle": parser(pickles, PICKLE_TOKENS, open_pickle, ".pkl"),
    "idx": parser(idx_files, IDX_TOKENS, open_source_of, ".idx"),
    "params": parser(params_files, YAML_TOKENS, open_params, ".yaml"),
    "csv labels": parser(label_tables, CSV_TOKENS, open_labels, ".csv"),
    "csv listing": parser(lists, CSV_TOKENS, open_list, ".csv"),
    "npy": parser(npy_files, NPY_TOKENS, open_source_of, ".npy"),
    "npz": parser(npz_files, NPZ_TOKENS, open_source_of, ".npz"),
    "parquet": parser(tables, PARQUET_TOKENS, open_table, ".parquet"),
    "latents": parser(latent_tables, PARQUET_TOKENS, open_latents, ".parquet"),
    "hdf5 images": parser(images, HDF5_TOKENS, open_images, ".h5"),
    "hdf5 weights": parser(weights, HDF5_TOKENS, open_weights, ".h5"),
    **BROKEN,
}
