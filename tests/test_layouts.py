"""Where weights lie in an HDF5 file; all of it in this process, without the limits of the reader's own."""

import re
import shutil
import sys
from io import BytesIO

import h5py
import numpy as np
import pytest
import yaml

import hostile_models as hostile
from caescope import CAE
from caescope.errors import FileFormatError, ModelError
from caescope.model import layouts
from caescope.model.layouts import find_weights, read_values
from caescope.model.persistence import load_model

RNG = np.random.default_rng(0)
SHAPES = [(3, 3, 1, 2), (2,), (3, 3, 2, 4), (4,), (16, 3), (3,)]
ARRAYS = [RNG.normal(size=shape).astype(np.float32) for shape in SHAPES]
LAYERS = ["conv2d", "conv2d_1", "dense"]


def write_legacy(file, layers=LAYERS) -> None:
    """Write what Keras calls legacy: names in attributes, and a group for each layer."""
    file.attrs["layer_names"] = [name.encode() for name in layers]
    for i, name in enumerate(layers):
        group = file.create_group(f"{name}/{name}")
        group["kernel:0"], group["bias:0"] = ARRAYS[2 * i : 2 * i + 2]
        file[name].attrs["weight_names"] = [f"{name}/{part}:0" for part in ("kernel", "bias")]


def write_within_a_model(file) -> None:
    write_legacy(file.create_group("model_weights"))


def write_keras_3(file, layers=LAYERS) -> None:
    """Write what Keras 3 does: layers by class and number, an input layer without variables among them."""
    file.create_group("layers/input_layer/vars")
    for i, name in enumerate(layers):
        variables = file.create_group(f"layers/{name}/vars")
        variables["0"], variables["1"] = ARRAYS[2 * i : 2 * i + 2]


def write_a_model_within(file) -> None:
    write_keras_3(file.create_group("layers/functional"))


def found_in(write, shapes=SHAPES, size=10**6) -> list[np.ndarray]:
    with h5py.File(BytesIO(), "w") as file:
        write(file)
        return [read_values(dataset, "w.h5") for dataset in find_weights(file, size, shapes, "w.h5")]


@pytest.mark.parametrize("write", [write_legacy, write_within_a_model, write_keras_3, write_a_model_within])
def test_every_layout_gives_the_weights_in_the_order_of_the_layers(write):
    found = found_in(write)
    assert [array.dtype.str for array in found] == ["<f4"] * 6
    assert all(np.array_equal(a, b) for a, b in zip(found, ARRAYS, strict=True))


def test_the_kernels_asked_for_tell_whether_the_dense_layer_comes_first():
    shapes = [*SHAPES[4:], *SHAPES[:4]]
    found = found_in(write_keras_3, shapes)
    assert [array.shape for array in found] == shapes


def test_layers_of_a_kind_are_sorted_by_their_numbers():
    """By alphabet the tenth would come before the second."""

    def write(file):
        for i in range(11):
            variables = file.create_group(f"layers/dense_{i}" if i else "layers/dense").create_group("vars")
            variables["0"], variables["1"] = np.full((1, 1), i, "f4"), np.zeros(1, "f4")

    assert [int(array.item()) for array in found_in(write, [(1, 1), (1,)] * 11)[::2]] == list(range(11))


def test_names_in_pieces_are_one_list():
    def write(file):
        write_legacy(file)
        del file.attrs["layer_names"]
        file.attrs["layer_names0"], file.attrs["layer_names1"] = LAYERS[:2], LAYERS[2:]

    assert len(found_in(write)) == 6


def test_pieces_of_names_are_not_read_without_end(monkeypatch):
    monkeypatch.setattr(layouts, "MAX_NAMES", 3)
    with h5py.File(BytesIO(), "w") as file:
        for i in range(5):
            file.attrs[f"layer_names{i}"] = np.zeros(0)  # as Keras writes no names
        assert list(layouts._numbered(file, "layer_names")) == [f"layer_names{i}" for i in range(3)]


def without_a_layer(file) -> None:
    write_keras_3(file, LAYERS[:2])


def with_another_layer(file) -> None:
    write_keras_3(file)
    file["layers/dense_1/vars/0"] = np.zeros((3, 3), np.float32)


def without_attributes(file) -> None:
    write_legacy(file)
    del file.attrs["layer_names"]


def with_layers_in_two_places(file) -> None:
    write_keras_3(file)
    file["layers/dense_9/layers/dense/vars/0"] = np.zeros((16, 3), np.float32)


@pytest.mark.parametrize(
    ("write", "error", "match"),
    [
        (
            without_a_layer,
            ModelError,
            r"w\.h5 must hold weights of the shapes \(3, 3, 1, 2\), .*\(4,\)\. Encoder",
        ),
        (with_another_layer, ModelError, r"Received \(3, 3, 1, 2\), .*\(3,\), \(3, 3\)\. Encoder"),
        (without_attributes, ValueError, "none of the layouts that Keras writes"),
        (
            with_layers_in_two_places,
            ValueError,
            "at /layers/dense and /layers/dense_9/layers/dense, whose order",
        ),
    ],
)
def test_layers_that_are_not_those_of_the_model_are_refused(write, error, match):
    with pytest.raises(error, match=match):
        found_in(write)


def test_long_lists_of_shapes_are_cut_in_messages():
    with pytest.raises(ModelError, match=r"shapes \(1, 1\), .*\(1,\), …\. Received none\. Encoder"):
        found_in(lambda file: file.create_group("layers"), [(1, 1), (1,)] * 11)


def test_a_file_cannot_hold_more_weights_than_bytes():
    with pytest.raises(ValueError, match="more weights than the file has bytes"):
        found_in(write_legacy, size=100)


# --- Cases from strangers

REFUSED_HERE = re.compile(
    "a link at|a group that|values that|weights (of type|that were|in chunks)|more than|no |names of|"
    "where a |bytes of names|none of|Received ValueError|must be (finite|whole)|must hold weights of the sh|"
    r".*\.(h5|yaml) must (lie|be a r|be a f)|an integer of more"
)
SLOW = re.compile(r"\w+: .*|yaml_.*|compress|names_in_another|encoder_and")  # to build, or in need of no HDF5
CASES = [
    name for name, entry in hostile.CASES.items() if REFUSED_HERE.match(entry.piece) and not SLOW.match(name)
]


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good") / "model"
    CAE((8, 8, 1), 3, [2, 4], path=folder, seed=0).save()
    params = yaml.safe_load((folder / "params.yaml").read_text())
    del params["weights_sha256"], params["caescope_version"]
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    return folder


@pytest.mark.parametrize("name", CASES)
def test_what_can_be_demanded_beforehand_needs_no_limits(name, good, tmp_path, monkeypatch):
    entry, folder = hostile.CASES[name], tmp_path / "model"
    shutil.copytree(good, folder)
    entry.build(folder)
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    error = {"FileFormatError": FileFormatError, "ModelError": ModelError}[entry.error]
    with pytest.raises(error, match=re.escape(entry.piece)):
        load_model(folder)
