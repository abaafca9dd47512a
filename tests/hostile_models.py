"""Model folders that a stranger could send, each built by one function, and a process that opens them all.

As a script, ``python tests/hostile_models.py FOLDER …`` imports caescope once, opens each case's folder in a
process of its own with `CAE` and with ``caescope inspect``, and prints what came of it as lines of JSON.
"""

import gzip
import json
import os
import pickle
import re
import resource
import shutil
import signal
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import yaml

SECONDS = 10
CANARY = 1234.5  # what lies in files outside the folder
LOADS = "loads"  # instead of a piece of the message: the folder is allowed
EITHER = "either"  # loads whole, or is refused


class Case(NamedTuple):
    build: Callable[[Path], object]
    error: str
    piece: str


CASES: dict[str, Case] = {}


def case(piece: str, name: str = ""):
    """Keep a builder, which spoils a good folder, with a piece of the message that must come of it.

    The error is a FileFormatError, unless ``"ModelError: "`` stands before the piece.
    """
    error = "ModelError" if piece.startswith("ModelError: ") else "FileFormatError"

    def keep(build):
        CASES[name or build.__name__] = Case(build, error, piece.removeprefix("ModelError: "))
        return build

    return keep


def build_all(good: Path, root: Path) -> dict[str, Path]:
    """Build every case as ``root/<number>/model``; nothing outside the model may be read."""
    folders = {}
    for number, (name, entry) in enumerate(CASES.items()):
        folders[name] = root / str(number) / "model"
        shutil.copytree(good, folders[name])
        entry.build(folders[name])
    return folders


# --- HDF5: values that are elsewhere


def edit(folder) -> Any:
    return h5py.File(folder / "encoder.h5", "r+")


def replace_bias(folder, make) -> None:
    """Put what ``make(group)`` creates in the place of the first bias, of shape (2,)."""
    with edit(folder) as file:
        group = file["conv2d/conv2d"]
        del group["bias:0"]
        make(group)


def put(folder, values, **options) -> None:
    replace_bias(folder, lambda group: group.create_dataset("bias:0", data=values, **options))


def canary_h5(folder) -> Path:
    path = folder.parent / "canary.h5"
    with h5py.File(path, "w") as file:
        file["bias"] = np.full(2, CANARY, np.float32)
        file["layer/conv2d/bias:0"] = np.full(2, CANARY, np.float32)
        file["layer/conv2d/kernel:0"] = np.full((3, 3, 1, 2), CANARY, np.float32)
        file["layer"].attrs["weight_names"] = [b"conv2d/kernel:0", b"conv2d/bias:0"]
    return path


@case("a link at bias:0")
def external_link(folder):
    canary_h5(folder)
    replace_bias(folder, lambda g: g.__setitem__("bias:0", h5py.ExternalLink("../canary.h5", "bias")))


@case("a link at conv2d")
def external_link_to_a_layer(folder):
    with edit(folder) as file:
        del file["conv2d"]
        file["conv2d"] = h5py.ExternalLink(str(canary_h5(folder)), "layer")


@case("a link at layers")
def external_link_to_keras_3_layers(folder):
    with h5py.File(folder / "encoder.h5", "w") as file:
        file["layers"] = h5py.ExternalLink(str(canary_h5(folder)), "layer")


@case("a link at bias:0")
def external_link_to_a_device(folder):
    replace_bias(folder, lambda g: g.__setitem__("bias:0", h5py.ExternalLink("/dev/zero", "x")))


@case("a link at bias:0")
def soft_link(folder):
    replace_bias(folder, lambda g: g.__setitem__("bias:0", h5py.SoftLink("/conv2d_1/conv2d_1/bias:0")))


@case("a link at bias:0")
def soft_link_to_nothing(folder):
    replace_bias(folder, lambda g: g.__setitem__("bias:0", h5py.SoftLink("/nothing")))


@case("a link at bias:0")
def soft_link_to_itself(folder):
    replace_bias(folder, lambda g: g.__setitem__("bias:0", h5py.SoftLink("/conv2d/conv2d/bias:0")))


@case("a link at conv2d")
def soft_link_on_the_way(folder):
    with edit(folder) as file:
        file.move("conv2d/conv2d", "hidden")
        file["conv2d/conv2d"] = h5py.SoftLink("/hidden")


@case("a group that comes twice")
def circle_of_hard_links(folder):
    with h5py.File(folder / "encoder.h5", "w") as file:
        layers = file.create_group("layers")
        layers.create_group("functional")["layers"] = layers


@case("ModelError: must hold weights of the shapes")
def circle_in_a_legacy_layer(folder):
    with edit(folder) as file:
        file["conv2d"]["conv2d"]["conv2d"] = file["conv2d"]
        file["conv2d"].attrs["weight_names"] = ["/".join(["conv2d"] * 1000)] * 2


@case("values that lie in another file")
def external_storage(folder):
    path = folder.parent / "canary.bin"
    path.write_bytes(np.full(2, CANARY, np.float32).tobytes())
    replace_bias(folder, lambda g: g.create_dataset("bias:0", (2,), "f4", external=[(str(path), 0, 8)]))


@case("values that lie in another file")
def external_storage_in_a_device(folder):
    replace_bias(folder, lambda g: g.create_dataset("bias:0", (2,), "f4", external=[("/dev/zero", 0, 8)]))


@case("values that lie in another file")
def virtual_dataset(folder):
    layout = h5py.VirtualLayout((2,), "f4")
    layout[:] = h5py.VirtualSource(str(canary_h5(folder)), "bias", (2,))
    replace_bias(folder, lambda g: g.create_virtual_dataset("bias:0", layout))


@case("values that lie in another file")
def virtual_dataset_of_itself(folder):
    layout = h5py.VirtualLayout((2,), "f4")
    layout[:] = h5py.VirtualSource(".", "/conv2d/conv2d/bias:0", (2,))
    replace_bias(folder, lambda g: g.create_virtual_dataset("bias:0", layout))


# --- HDF5: values of the wrong kind, shape or size

OBJECTS = {
    "integers": np.array([1, 2]),
    "complex_numbers": np.array([1j, 2]),
    "booleans": np.array([True, False]),
    "fixed_strings": np.array([b"a", b"b"]),
    "compounds": np.array([(1, 2.0), (3, 4.0)], [("a", "i4"), ("b", "f8")]),
    "opaque_bytes": np.array([b"ab", b"cd"], "V2"),
    "long_doubles": np.array([1, 2], np.longdouble),
}
for kind, value in OBJECTS.items():
    case("weights of type", kind)(lambda folder, value=value: put(folder, value))


@case("weights of type object")
def strings_of_any_length(folder):
    replace_bias(folder, lambda g: g.create_dataset("bias:0", data=["a", "b"], dtype=h5py.string_dtype()))


@case("weights of type object")
def lists_of_any_length(folder):
    replace_bias(folder, lambda g: g.create_dataset("bias:0", (2,), h5py.vlen_dtype(np.float32)))


@case("weights of type object")
def references(folder):
    replace_bias(folder, lambda g: g.create_dataset("bias:0", data=[g.ref, g.ref], dtype=h5py.ref_dtype))


@case("weights of type object")
def references_to_regions(folder):
    def make(group):
        ref = group["kernel:0"].regionref[:]
        group.create_dataset("bias:0", data=[ref, ref], dtype=h5py.regionref_dtype)

    replace_bias(folder, make)


@case("weights of type")
def arrays_as_elements(folder):
    replace_bias(folder, lambda g: g.create_dataset("bias:0", (2,), np.dtype(("f4", (1000,)))))


for kind, value in {
    "too_long": np.zeros(3, np.float32),
    "of_another_rank": np.zeros((2, 1), np.float32),
    "a_single_number": np.float32(1),
    "nothing_at_all": h5py.Empty("f4"),
    "of_no_length": np.zeros(0, np.float32),
}.items():
    case("ModelError: must hold weights of the shapes", kind)(lambda folder, value=value: put(folder, value))


@case("ModelError: must hold weights of the shapes")
def a_group_for_a_tensor(folder):
    replace_bias(folder, lambda g: g.create_group("bias:0"))


@case("ModelError: must hold weights of the shapes")
def a_type_for_a_tensor(folder):
    replace_bias(folder, lambda g: g.__setitem__("bias:0", np.dtype("f4")))


@case("ModelError: must hold weights of the shapes")
def absurd_size(folder):
    replace_bias(folder, lambda g: g.create_dataset("bias:0", (2**60,), "f4", chunks=(2**20,)))


@case("ModelError: must hold weights of the shapes")
def absurd_size_in_one_piece(folder):
    replace_bias(folder, lambda g: g.create_dataset("bias:0", (2**40,), "f4"))


@case("weights that were never written")
def never_written(folder):
    replace_bias(folder, lambda g: g.create_dataset("bias:0", (2,), "f4", fillvalue=CANARY))


@case("weights that were never written")
def large_and_never_written(folder):
    """2**31 weights in a file of some kilobytes; the architecture asks for just these."""
    change(folder, input_shape=[1024, 1024, 1], filters=[1], pool=1, latent_features=2048)
    write_encoder(folder, [(3, 3, 1, 1), (1,), (2**20, 2048), (2048,)])


def write_encoder(folder, shapes, **options) -> None:
    with h5py.File(folder / "encoder.h5", "w") as file:
        names = [f"layer{i}" for i in range(len(shapes) // 2)]
        file.attrs["layer_names"] = [name.encode() for name in names]
        for name, pair in zip(names, zip(shapes[::2], shapes[1::2], strict=True), strict=True):
            group = file.create_group(name)
            group.attrs["weight_names"] = [b"kernel", b"bias"]
            for key, shape in zip(("kernel", "bias"), pair, strict=True):
                data = {"data": np.zeros(shape, np.float32)} if np.prod(shape) < 2**16 else {"dtype": "f4"}
                group.create_dataset(key, shape, **data, **options)


@case("must be whole")
def holes_for_weights(folder):
    """8 GiB of zeros that take no room on the disk."""
    large_and_never_written(folder)
    with edit(folder) as file:
        group = file["layer1"]
        del group["kernel"]
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        plist.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        space = h5py.h5s.create_simple((2**20, 2048))
        h5py.h5d.create(group.id, b"kernel", h5py.h5t.IEEE_F32LE, space, plist)
        group["end"] = 1


@case("weights in chunks")
def compressed_zeros(folder):
    change(folder, input_shape=[512, 512, 1], filters=[1], pool=1, latent_features=256)
    write_encoder(folder, [(3, 3, 1, 1), (1,), (2**18, 256), (256,)])
    with edit(folder) as file:
        group = file["layer1"]
        del group["kernel"]
        chunk = zlib.compress(bytes(2**22 * 4), 9)
        made = group.create_dataset("kernel", (2**18, 256), "f4", chunks=(2**14, 256), compression="gzip")
        for start in range(0, 2**18, 2**14):
            made.id.write_direct_chunk((start, 0), chunk)


@case("weights in chunks")
def compression_bomb(folder):
    """A chunk of two numbers whose compressed bytes unpack to 2 GiB."""
    squeeze = zlib.compressobj(1)
    block = bytes(2**24)
    content = b"".join(squeeze.compress(block) for _ in range(128)) + squeeze.flush()

    def make(group):
        made = group.create_dataset("bias:0", (2,), "f4", chunks=(2,), compression="gzip")
        made.id.write_direct_chunk((0,), content)

    replace_bias(folder, make)


@case("weights in chunks")
def chunk_larger_than_its_weights(folder):
    options = {"maxshape": (None,), "chunks": (2**24,), "compression": "gzip", "shuffle": True}
    put(folder, np.ones(2, np.float32), **options)


@case("weights in chunks")
def unknown_filter(folder):
    def make(group):
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk((2,))
        plist.set_filter(h5py.h5z.FILTER_LZF, 0, ())
        made = h5py.h5d.create(group.id, b"bias:0", h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple((2,)), plist)
        made.write_direct_chunk((0,), bytes(8))

    replace_bias(folder, make)
    path = folder / "encoder.h5"  # 32000 is LZF, 32999 nobody
    content = path.read_bytes()
    assert content.count((32000).to_bytes(2, "little")) >= 1
    path.write_bytes(content.replace((32000).to_bytes(2, "little"), (32999).to_bytes(2, "little")))


for options in ({"scaleoffset": 2}, {"fletcher32": True}, {"compression": "lzf"}, {"shuffle": True}):
    case("weights in chunks", f"filter_{next(iter(options))}")(
        lambda folder, options=options: put(folder, np.ones(2, np.float32), chunks=(2,), **options)
    )


@case("more weights than the file has bytes")
def one_tensor_for_all_layers(folder):
    """500 kernels of 4 MiB that are one and the same."""
    n, shape = 500, (64, 64, 16, 16)
    change(folder, filters=[16] * n, kernel=[64, 64], pool=1, latent_features=None, input_shape=[8, 8, 3])
    with h5py.File(folder / "encoder.h5", "w") as file:
        group = file.create_group("layer")
        group["first"], group["kernel"] = (np.zeros(s, np.float32) for s in ((64, 64, 3, 16), shape))
        group["bias"] = np.zeros(16, np.float32)
        file.attrs["layer_names"] = [b"layer"]
        group.attrs["weight_names"] = [b"first", b"bias", *[b"kernel", b"bias"] * (n - 1)]


for kind, value in {
    "not_a_number": np.array([np.nan, 0], np.float32),
    "infinity": np.array([np.inf, 0], np.float32),
    "minus_infinity": np.array([0, -np.inf], np.float16),
    "infinity_as_float32": np.array([1e300, 0]),
}.items():
    case("ModelError: must be finite", kind)(lambda folder, value=value: put(folder, value))


# --- HDF5: names


@case("no bias:0")
def missing_tensor(folder):
    replace_bias(folder, lambda _: None)


def name_weights(folder, names) -> None:
    with edit(folder) as file:
        file["conv2d"].attrs["weight_names"] = names


def name_layers(folder, names) -> None:
    with edit(folder) as file:
        file.attrs["layer_names"] = names


KERNEL, BIAS = b"conv2d/kernel:0", b"conv2d/bias:0"
WEIGHT_NAMES = {
    "extra_tensor": ([KERNEL, BIAS, BIAS], "ModelError: must hold weights of the shapes"),
    "the_same_tensor_twice": ([KERNEL, KERNEL], "ModelError: must hold weights of the shapes"),
    "weights_in_another_order": ([BIAS, KERNEL], "ModelError: must hold weights of the shapes"),
    "no_weights": (np.array([], "S1"), "ModelError: must hold weights of the shapes"),
    "a_way_up": ([b"../conv2d/conv2d/kernel:0", BIAS], "Received ValueError: no"),
    "a_way_from_the_root": ([b"/conv2d/conv2d/kernel:0", BIAS], "no name"),
    "a_dot": ([b"./conv2d/kernel:0", BIAS], "encoder.h5 must be readable as"),
    "a_path_into_a_tensor": ([KERNEL + b"/x", BIAS], "no x"),
    "a_name_in_another_encoding": ([b"\xff\xfe", BIAS], "UnicodeEncodeError"),
    "a_zero_in_a_name": (np.array([b"conv2d\0/kernel:0", BIAS]), "no conv2d"),
    "control_characters": ([b"\x1b[31m\n" * 9, BIAS], "no \\x1b[31m"),
    "a_long_name": ([b"x" * 30_000, BIAS], "no xxx"),
}
for kind, (value, piece) in WEIGHT_NAMES.items():
    case(piece, kind)(lambda folder, value=value: name_weights(folder, value))

LAYERS = [b"conv2d", b"conv2d_1", b"dense"]
LAYER_NAMES = {
    "missing_layer": (LAYERS[:2], "ModelError: must hold weights of the shapes"),
    "extra_layer": ([*LAYERS, b"dense"], "ModelError: must hold weights of the shapes"),
    "unknown_layer": ([*LAYERS, b"other"], "no other"),
    "numbers_for_names": ([1, 2, 3], "names of type int64"),
    "floats_for_names": ([0.5], "names of type float64"),
    "compounds_for_names": (np.zeros(3, [("a", "i4")]), "names of type"),
    "one_name_and_no_list": (b"conv2d", "where a list of texts must be"),
    "a_table_of_names": (np.array([LAYERS]), "where a list of texts must be"),
    "no_names": (h5py.Empty("S1"), "where a list of texts must be"),
    "an_empty_list_of_names": (np.array([], "S1"), "ModelError: must hold weights of the shapes"),
    "empty_names": (np.array([b"", b""], "S1"), "no name"),
}
for kind, (value, piece) in LAYER_NAMES.items():
    case(piece, kind)(lambda folder, value=value: name_layers(folder, value))


@case("more than 10000 names")
def too_many_names(folder):
    with h5py.File(folder / "encoder.h5", "w", libver="latest") as file:
        file.attrs["layer_names"] = np.full(20_000, b"x")


@case("bytes of names")
def names_of_many_bytes(folder):
    with h5py.File(folder / "encoder.h5", "w", libver="latest") as file:
        file.attrs["layer_names"] = np.full(9000, b"x", "S1000")


@case("encoder.h5 must be readable as")
def names_that_share_a_long_text(folder):
    """9,000 names of any length, all of them the same 1 MiB: 9 GiB once they are read."""
    path = folder / "encoder.h5"
    with h5py.File(path, "w", libver="latest") as file:
        texts = ["y" * 2**20] + ["z"] * 8999
        file.attrs.create("layer_names", texts, dtype=h5py.string_dtype())
    content = path.read_bytes()
    first = content.find((2**20).to_bytes(4, "little") + b"")
    while content[first + 16 : first + 20] != (1).to_bytes(4, "little"):  # length 1 of the second name
        first = content.find((2**20).to_bytes(4, "little"), first + 1)
        assert first > 0
    element = content[first : first + 16]
    path.write_bytes(content[:first] + element * 9000 + content[first + 16 * 9000 :])


@case("no conv2d_9")
def names_in_pieces_that_lead_nowhere(folder):
    with edit(folder) as file:
        del file.attrs["layer_names"]
        file.attrs["layer_names0"], file.attrs["layer_names1"] = LAYERS[:1], [b"conv2d_9"]


@case("none of the layouts that Keras writes")
def no_attributes(folder):
    with edit(folder) as file:
        del file.attrs["layer_names"]


@case("ModelError: must hold weights of the shapes")
def no_layers(folder):
    h5py.File(folder / "encoder.h5", "w").create_group("layers").file.close()


@case("no conv2d")
def model_weights_is_a_tensor(folder):
    with h5py.File(folder / "encoder.h5", "w") as file:
        file["model_weights"] = np.zeros(3)
        file["model_weights"].attrs["layer_names"] = LAYERS


@case("no layer at conv2d")
def keras_3_layer_is_a_tensor(folder):
    with h5py.File(folder / "encoder.h5", "w") as file:
        file.create_dataset("layers/conv2d", (2**50,), "f4", chunks=(2**20,))


@case("more than 10000 layers")
def keras_3_layers_without_end(folder):
    with h5py.File(folder / "encoder.h5", "w", libver="latest") as file:
        layers = file.create_group("layers")
        for i in range(10_001):
            layers.id.links.create_soft(str(i).encode(), b"/")


@case("invalid literal for int")
def keras_3_variables_without_numbers(folder):
    with h5py.File(folder / "encoder.h5", "w") as file:
        variables = file.create_group("layers/conv2d/vars")
        variables["0"] = variables["x"] = np.zeros((3, 3, 1, 2), np.float32)


@case("more than 100 variables")
def keras_3_variables_without_end(folder):
    with h5py.File(folder / "encoder.h5", "w") as file:
        variables = file.create_group("layers/conv2d/vars")
        for i in range(101):
            variables[str(i)] = np.zeros(1, np.float32)


# --- Files that are damaged, or no HDF5


def truncate(folder, length) -> None:
    content = (folder / "encoder.h5").read_bytes()
    (folder / "encoder.h5").write_bytes(content[:length])


for length in (0, 1, 8, 100, 512, 2000, 7000, -1):
    case("encoder.h5 must be readable as", f"truncated_to_{length}")(
        lambda folder, length=length: truncate(folder, length)
    )


def flip(folder, seed) -> None:
    rng = np.random.default_rng(seed)
    name = ("encoder.h5", "decoder.h5")[seed % 2]
    content = bytearray((folder / name).read_bytes())
    for place in rng.choice(np.flatnonzero(np.frombuffer(content, np.uint8)), 3):
        content[place] ^= 1 << int(rng.integers(8))
    (folder / name).write_bytes(content)


for seed in range(24):
    case(EITHER, f"flipped_bits_{seed}")(lambda folder, seed=seed: flip(folder, seed))

# Changes at which HDF5 2.0's library crashes, hangs or takes 4 GB, found by trying many; with another version
# of it they are changes like any other
PATCHES = {
    "the_library_hangs": [(1264, "04")],
    "the_library_takes_gigabytes": [(936, "ffffff7f")],
    "the_library_asks_for_exabytes": [(904, "ffffffffffffff7f")],
    "a_text_type_becomes_another": [(6448, "ffffffffffffff7f"), (6313, "09")],
}


def patch(folder, changes) -> None:
    content = bytearray((folder / "encoder.h5").read_bytes())
    for place, digits in changes:
        new = bytes.fromhex(digits)
        content[place : place + len(new)] = new
    (folder / "encoder.h5").write_bytes(content)


for kind, changes in PATCHES.items():
    case(EITHER, kind)(lambda folder, changes=changes: patch(folder, changes))


FOREIGN = {
    "text": b"weights",
    "pickle_with_a_payload": pickle.dumps(os.getcwd).replace(b"getcwd", b"system"),
    "gzipped_weights": gzip.compress(b"\x89HDF\r\n\x1a\n" + bytes(100)),
    "numpy_array": b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }\n"
    + bytes(8),
    "signature_and_nothing": b"\x89HDF\r\n\x1a\n",
    "random_bytes": np.random.default_rng(0).bytes(20_000),
    "ones_after_the_signature": b"\x89HDF\r\n\x1a\n" + b"\xff" * 5000,
}
for kind, value in FOREIGN.items():
    case("encoder.h5 must be readable as", kind)(
        lambda folder, value=value: (folder / "encoder.h5").write_bytes(value)
    )


@case("encoder.h5 must be readable as")
def keras_archive(folder):
    content = (folder / "encoder.h5").read_bytes()
    with zipfile.ZipFile(folder / "encoder.h5", "w") as archive:
        archive.writestr("config.json", '{"module": "os", "class_name": "system"}')
        archive.writestr("model.weights.h5", content)


@case(LOADS)
def user_block(folder):
    content = (folder / "encoder.h5").read_bytes()
    with (
        h5py.File(folder / "new.h5", "w", userblock_size=512) as new,
        h5py.File(folder / "encoder.h5") as old,
    ):
        new.attrs.update(old.attrs)
        for name in old:
            old.copy(name, new)
    (folder / "new.h5").replace(folder / "encoder.h5")
    assert (folder / "encoder.h5").read_bytes() != content


@case("must be whole")
def a_terabyte_of_nothing(folder):
    os.truncate(folder / "encoder.h5", 2**40)


# --- Things that are no files

NAMES = ("params.yaml", "encoder.h5", "decoder.h5")


def link_out(folder, name) -> None:
    (folder / name).replace(folder.parent / name)
    (folder / name).symlink_to(folder.parent / name)


def pipe(folder, name) -> None:
    (folder / name).unlink()
    os.mkfifo(folder / name)


def make_folder(folder, name) -> None:
    (folder / name).unlink()
    (folder / name).mkdir()


def link_to(folder, name, target) -> None:
    (folder / name).unlink()
    (folder / name).symlink_to(target)


for name in NAMES:
    case(f"{name} must lie in the model folder", f"link_out_{name}")(lambda f, name=name: link_out(f, name))
    case(f"{name} must be a regular file", f"pipe_{name}")(lambda f, name=name: pipe(f, name))
    case(f"{name} must be a regular file", f"folder_{name}")(lambda f, name=name: make_folder(f, name))
    case(f"{name} must lie in", f"device_{name}")(lambda f, name=name: link_to(f, name, "/dev/zero"))
    case(f"{name} must be a file", f"circle_{name}")(lambda f, name=name: link_to(f, name, name))
    case(f"{name} must be a file", f"dangling_{name}")(lambda f, name=name: link_to(f, name, "nothing"))


@case(LOADS)
def link_within_the_folder(folder):
    (folder / "encoder.h5").replace(folder / "weights.h5")
    (folder / "encoder.h5").symlink_to("weights.h5")


@case(LOADS)
def the_folder_is_a_link(folder):
    folder.replace(folder.parent / "elsewhere")
    folder.symlink_to("elsewhere")


@case(LOADS)
def code_beside_the_weights(folder):
    """Modules that Python would import, were the working directory or the folder on its path."""
    for name in ("numpy", "h5py", "yaml", "caescope", "json", "sitecustomize", "usercustomize", "signal"):
        (folder / f"{name}.py").write_text(f"open({str(folder.parent / 'HACKED')!r}, 'w')")


# --- params.yaml


def change(folder, **changes) -> None:
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | changes))


def write(folder, content) -> None:
    (folder / "params.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())


def write_option(folder, name, text) -> None:
    """Write an option as YAML's text, and the others as they were."""
    params = yaml.safe_load((folder / "params.yaml").read_text())
    params.pop(name, None)
    write(folder, f"{yaml.safe_dump(params)}{name}: {text}\n")


BOMB = "a: &a [x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)
TEXTS = {
    "apply": "filters: !!python/object/apply:os.system ['touch HACKED ../HACKED']",
    "apply_open": "!!python/object/apply:builtins.open ['../HACKED', 'w']",
    "new": "filters: !!python/object/new:os.system ['touch HACKED ../HACKED']",
    "name": "filters: !!python/name:os.system",
    "module": "filters: !!python/module:os",
    "object": "filters: !!python/object:caescope.cae.CAE {path: /}",
    "unknown_tag": "filters: !mine [1]",
    "tag_directive": "%TAG ! tag:yaml.org,2002:python/\n---\nfilters: !name:os.system ''",
    "alias_bomb": BOMB,
    "alias_of_itself": "&a [*a]",
    "alias_of_a_value": "filters: &a [2]\npool: *a",
    "merge_of_an_alias": "x: &x {filters: [1]}\n<<: *x",
    "two_documents": "filters: [1]\n---\nfilters: [2]",
    "a_list": "- 1",
    "a_scalar": "model",
    "nothing": "",
    "comment": "# nothing",
    "unclosed": "filters: [1",
    "tabs": "filters:\n\t- 1",
    "zero_byte": "\x00",
    "nested_lists": "filters: " + "[" * 60_000,
    "nested_mappings": "{a: " * 15_000,
    "nested_keys": "? " * 30_000,
    "nested_and_closed": "filters: " + "[" * 30_000 + "]" * 30_000,
    "nested_block_lists": "- " * 30_000,
    "long_key": "x" * 60_000 + ": 1",
    "many_quotes": "filters: " + "'" * 60_000,
    "many_anchors": "".join(f"a{i}: &a{i} 1\n" for i in range(3500)),
    "unhashable_key": "? [1, 2]\n: 3",
    "latin_1": "# caf\xe9\nfilters: [1]".encode("latin-1"),
    "half_of_utf_16": b"\xff\xfe\x00\xd8",
    "gzipped": gzip.compress(b"filters: [1]"),
    "more_than_64_kib": "filters: [" + "1, " * 10**6 + "1]",
}
TOO_LITTLE = "ModelError: params.yaml must hold filters, input_shape, kernel"
YAML_PIECES = {
    "many_quotes": TOO_LITTLE,
    "many_anchors": TOO_LITTLE,
    "more_than_64_kib": "params.yaml must hold at most 64 KiB",
    **dict.fromkeys(filter(re.compile("alias|merge").match, TEXTS), "an alias, which options do not need"),
    **dict.fromkeys(filter(re.compile("nested").match, TEXTS), "lists or mappings 10 deep"),
}
for kind, value in TEXTS.items():
    piece = YAML_PIECES.get(kind, "params.yaml must be readable as a YAML mapping of options")
    case(piece, f"yaml_{kind}")(lambda folder, value=value: write(folder, value))


@case("params.yaml must be whole")
def yaml_of_a_gigabyte(folder):
    os.truncate(folder / "params.yaml", 2**30)


@case("a key that comes twice")
def yaml_key_twice(folder):
    write(folder, (folder / "params.yaml").read_text() + "filters: [2, 4]\n")


@case("ModelError: no pool, stride")
def yaml_options_missing(folder):
    params = yaml.safe_load((folder / "params.yaml").read_text())
    write(folder, yaml.safe_dump({key: params[key] for key in params if key not in ("pool", "stride")}))


LONG = {"digits": "9" * 5000, "hexadecimal": "0x" + "f" * 20_000, "sexagesimal": "1" + ":59" * 6000}
for option in ("filters", "input_shape", "latent_features", "kernel", "format_version"):
    for kind, value in LONG.items():
        text = value if option in ("latent_features", "format_version") else f"[{value}, {value}, 1]"
        case("an integer of more than 40 digits", f"{option}_of_{kind}")(
            lambda folder, option=option, text=text: write_option(folder, option, text)
        )

LARGE = "ModelError: must stay below 2,147,483,648 weights"
OPTIONS = {
    ("filters", f"[{10**30}]"): LARGE,
    ("filters", f"[{2**31}, {2**31}]"): LARGE,
    ("filters", "[" + "1," * 30_000 + "1]"): "ModelError: filters must be at most 1,000 numbers",
    ("input_shape", "[1000000000, 1000000000, 1]"): LARGE,
    ("input_shape", "[1000000000, 1, 1]"): LARGE,
    ("input_shape", "[40000, 40000, 3]"): LARGE,
    ("latent_features", str(2**40)): LARGE,
    ("latent_features", str(2**24)): "ModelError: must hold weights of the shapes",
    ("kernel", "1000000000"): LARGE,
    ("kernel", str(10**30)): LARGE,
    ("kernel", "[5, 5]"): "ModelError: must hold weights of the shapes",
    ("stride", str(10**30)): LARGE,
    ("pool", str(10**30)): LARGE,
    ("pool", "[1, 1000000000]"): LARGE,
    ("format_version", "99"): "ModelError: format_version of",
    ("format_version", "true"): "ModelError: format_version of",
    ("format_version", "-1"): "ModelError: format_version of",
    ("format_version", ".nan"): "ModelError: format_version of",
    ("format_version", str(10**30)): "ModelError: format_version of",
    ("weights_sha256", "null"): "ModelError: weights_sha256 of",
    ("weights_sha256", "[1, 2]"): "ModelError: weights_sha256 of",
    ("weights_sha256", "{encoder: 1, decoder: 2}"): "ModelError: weights_sha256 of",
    ("weights_sha256", "{encoder: " + "a" * 64 + "}"): "ModelError: weights_sha256 of",
}
SHAPES = ("filters", "input_shape", "kernel", "pool", "stride")
WRONG = ("null", "true", ".nan", ".inf", "'2'", "[]", "{a: 1}", "[[2]]", "[1, null]", "-3", "0", "2020-01-01")
NOT_WRONG = {("latent_features", "null"): "ModelError: must hold weights of the shapes"}
for option in (*SHAPES, "latent_features", "lossfn", "optimizer", "latent_activation"):
    for text in (*WRONG, "!!binary aGVsbG8=", "!!set {1, 2}"):
        case(
            NOT_WRONG.get((option, text), f"ModelError: params.yaml: {option} must be"), f"{option}: {text}"
        )(lambda folder, option=option, text=text: write_option(folder, option, text))
for (option, text), piece in OPTIONS.items():
    case(piece, f"{option}: {text[:40]}")(
        lambda folder, option=option, text=text: write_option(folder, option, text)
    )


@case(LOADS)
def large_images_and_few_weights(folder):
    """Showing the folder must not compute with images of 2**30 pixels."""
    options = {"input_shape": (2**15, 2**15, 1), "latent_features": None, "filters": (1,), "pool": 1}
    from caescope.cae import CAE

    CAE(**options, path=folder, seed=0).save()


# --- Files of different saves


def save_another(folder) -> Path:
    from caescope.cae import CAE

    CAE((8, 8, 1), 3, [2, 4], path=folder, seed=0).save()
    return CAE((8, 8, 1), 3, [2, 4], seed=1).save(folder.parent / "another")


for name, piece in {
    "encoder.h5": "ModelError: encoder.h5 must hold the weights that params.yaml was saved with",
    "decoder.h5": "ModelError: decoder.h5 must hold the weights that params.yaml was saved with",
    "params.yaml": "ModelError: encoder.h5 must hold the weights that params.yaml was saved with",
}.items():
    case(piece, f"{name}_of_another_save")(
        lambda folder, name=name: (save_another(folder) / name).replace(folder / name)
    )


@case("ModelError: must hold weights of the shapes")
def encoder_and_decoder_exchanged(folder):
    (folder / "encoder.h5").replace(folder / "third")
    (folder / "decoder.h5").replace(folder / "encoder.h5")
    (folder / "third").replace(folder / "decoder.h5")


# The command opens all but those that differ by a value, a length or a seed only
FAMILIES = re.compile(r".*: .*|(flipped_bits|truncated_to)_.+|.*_of_(digits|hexadecimal|sexagesimal)")
SHOWN = [name for name in CASES if not FAMILIES.fullmatch(name)]

# --- The process that opens them


def load(folder: Path) -> dict:
    """Load a model folder, and tell what came of it."""
    from caescope.cae import CAE
    from caescope.errors import CaescopeError

    try:
        cae = CAE(path=folder, load=True, device="cpu")
    except CaescopeError as error:
        return {"error": type(error).__name__, "message": str(error)}
    weights = [*cae.encoder.get_weights(), *cae.decoder.get_weights()]
    assert all(np.isfinite(array).all() for array in weights)
    return {"error": None, "canary": any((array == CANARY).any() for array in weights)}


def inspect(folder: Path) -> dict:
    """Show a model folder on the command line, and tell how it ended and what was printed."""
    from caescope.cli import main

    with open(folder.parent / "printed", "w+") as printed:
        os.dup2(printed.fileno(), 1)
        os.dup2(printed.fileno(), 2)
        try:
            main(["inspect", str(folder)], prog_name="caescope")
        except SystemExit as end:
            sys.stdout.flush()
            printed.seek(0)
            return {"exit": end.code, "printed": printed.read()}
    raise AssertionError("no exit")


def watched(open_folder: Callable[[Path], dict], folder: Path) -> dict:
    """Open a folder, and tell which files of the case beside it were opened and what was started."""
    outside: list[str] = []

    def watch(event: str, arguments: tuple) -> None:
        if event == "open" and isinstance(arguments[0], (str, bytes)):
            path = os.path.abspath(os.fsdecode(arguments[0]))
            inside = path.startswith(
                (f"{folder}/", f"{folder.parent}/elsewhere/", f"{folder.parent}/printed")
            )
            outside.extend([path] if path.startswith(f"{folder.parent}/") and not inside else [])
        if event in ("os.system", "os.exec", "os.posix_spawn", "pickle.find_class", "os.fork"):
            outside.append(event)
        if event == "subprocess.Popen" and arguments[0] != sys.executable:
            outside.append(str(arguments[0]))

    os.chdir(folder)
    sys.addaudithook(watch)
    return open_folder(folder) | {"outside": outside}


def in_a_process(open_folder: Callable[[Path], dict], folder: Path) -> dict:
    """Open a folder in a copy of this process; return what came of it, seconds and megabytes."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(3 * SECONDS)  # machines may be busy; processor time is what counts
        try:
            answer = watched(open_folder, folder)
        except BaseException as error:
            answer = {"error": f"{type(error).__module__}.{type(error).__name__}", "message": str(error)}
        usage = [resource.getrusage(user) for user in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        answer["megabytes"] = sum(user.ru_maxrss for user in usage) / 2**10
        answer["seconds"] = sum(user.ru_utime + user.ru_stime for user in usage)
        os.write(writer, json.dumps(answer).encode()[:60_000])
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        content = stream.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    answer = json.loads(content) if content else {}
    return answer | {"status": status}


def open_all(folders: list[str]) -> None:
    import caescope.cae
    import caescope.cli.commands  # noqa: F401 - imported here once, and not in each process

    names = dict(zip(folders, CASES, strict=True))
    for folder in map(Path, folders):
        for open_folder in (load, inspect) if names[str(folder)] in SHOWN else (load,):
            answer = {"folder": str(folder), "how": open_folder.__name__}
            print(json.dumps(answer | in_a_process(open_folder, folder)), flush=True)


if __name__ == "__main__":
    open_all(sys.argv[1:])
