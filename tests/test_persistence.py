"""Model folders that are damaged, hostile or half written."""

import os
import re
from contextlib import suppress

import h5py
import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from caescope import CAE
from caescope.errors import CaescopeError, FileFormatError, ModelError, OutputError
from caescope.model import members
from caescope.model.hdf5 import format_weights, read_weights
from caescope.model.initialization import new_autoencoder
from caescope.model.options import ARCHITECTURES, parse_options
from caescope.model.persistence import COMMITTED, FILES, load_model
from caescope.model.weights import get_weights, layer_names, set_weights, weight_shapes


@pytest.fixture
def folder(tmp_path):
    CAE((8, 8, 1), 3, [2, 4], path=tmp_path / "model", seed=0).save()
    return tmp_path / "model"


SHAPES = "must hold weights of the shapes"


def refuse(folder, piece: str, error: type[Exception] = FileFormatError) -> None:
    """Loading raises this error, in three parts, with ``piece`` in it."""
    with pytest.raises(error, match=rf"\. Received .*{re.escape(piece)}|{re.escape(piece)}.*\. Received "):
        CAE(path=folder, load=True)


def rewrite(folder, **changes) -> None:
    params = yaml.safe_load((folder / "params.yaml").read_text()) | changes
    kept = {name: value for name, value in params.items() if value != "absent"}
    (folder / "params.yaml").write_text(yaml.safe_dump(kept))


@settings(max_examples=25, deadline=None)
@given(
    filters=st.lists(st.integers(1, 5), min_size=1, max_size=3),
    latent_features=st.sampled_from([None, 1, 4]),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    seed=st.integers(0, 99),
    architecture=st.sampled_from(ARCHITECTURES),
)
def test_weights_come_back_as_they_were(filters, latent_features, kernel, seed, architecture):
    options = parse_options((8, 8, 3), latent_features, filters, kernel, architecture=architecture)
    first, second = new_autoencoder(options, seed), new_autoencoder(options, seed + 1)
    for one, other in ((first.encoder, second.encoder), (first.decoder, second.decoder)):
        assert [array.shape for array in get_weights(one)] == weight_shapes(one)
        assert 2 * len(layer_names(one)) == len(get_weights(one))
        set_weights(other, get_weights(one))
        assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_kernels_are_height_width_in_out(rng):
    encoder = new_autoencoder(parse_options((4, 4, 3), 2, [5], kernel=(1, 2)), 0).encoder
    kernel, bias, dense, _ = get_weights(encoder)
    assert (kernel.shape, bias.shape, dense.shape) == ((1, 2, 3, 5), (5,), (20, 2))
    assert kernel[0, 1, 2, 4] == encoder.convolutions[0].weight[4, 2, 0, 1].item()
    assert dense[7, 1] == encoder.dense.weight[1, 7].item()


@pytest.mark.parametrize("name", ["params.yaml", "encoder.h5", "decoder.h5"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    refuse(folder, f"no {name}", ModelError)


def test_a_missing_folder_is_named(tmp_path):
    refuse(tmp_path / "nothing", "no such folder", ModelError)


@pytest.mark.parametrize(
    ("changes", "piece"),
    [
        ({"filters": "absent"}, "no filters"),
        ({"filters": [2, -4]}, "filters must be an integer"),
        ({"filters": {"a": 1}}, "filters must be"),
        ({"filters": [10**30]}, "must stay below"),
        ({"latent_features": 2.5}, "latent_features must be"),
        ({"latent_features": 2**40}, "must stay below"),
        ({"input_shape": [8, 8]}, "input_shape must be"),
        ({"optimizer": "sdg"}, "optimizer must be one of"),
        ({"latent_activation": "exp"}, "latent_activation must be one of"),
        ({"architecture": "transformer"}, "architecture must be one of plain, residual"),
        ({"architecture": None}, "architecture must be one of plain, residual"),
        ({"architecture": ["residual"]}, "architecture must be one of plain, residual"),
        ({"objective": "everything"}, "objective must be one of"),
        ({"objective": ["invariant"]}, "objective must be one of"),
        ({"objective_weight": 1.0}, "objective_weight is for"),
        ({"objective": "invariant", "objective_weight": "1e999"}, "objective_weight must be"),
        ({"views": "digits"}, "views are for"),
        ({"objective": "denoising", "views": {"turn": [1]}}, "turn must be"),
        ({"objective": "denoising", "views": {"exec": 1}}, "views must have names"),
        ({"objective": "denoising", "views": 10**30}, "views must be one of"),
        ({"format_version": 99}, "format_version of"),
        ({"format_version": "one"}, "format_version of"),
        ({"weights_sha256": [1, 2]}, "weights_sha256 of"),
        ({"weights_sha256": {"encoder": "a" * 64}}, "weights_sha256 of"),
        ({"latent_features": 4}, SHAPES),
        ({"kernel": [5, 5]}, SHAPES),
        ({"architecture": "residual"}, SHAPES),
    ],
)
def test_options_that_cannot_be_are_refused(folder, changes, piece):
    rewrite(folder, **changes)
    refuse(folder, piece, ModelError)


BOMB = "a: &a [x, x]\n" + "".join(
    f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    "text",
    [
        "filters: !!python/object/apply:os.system ['touch HACKED']",
        "filters: !!python/name:os.system",
        "filters: !!python/object/new:tuple [[1]]",
        "filters: !<tag:yaml.org,2002:python/module:os> ''",
        "filters: [1]\nfilters: [2]",
        BOMB,
        "- 1\n- 2",
        "filters: [1",
        "",
        "\x00",
        "&a [*a]",
        "filters: " + "[" * 2000,
        "x: " + "9" * 5000,
    ],
)
def test_yaml_is_data_and_nothing_else(folder, text, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "params.yaml").write_text(text)
    refuse(folder, "params.yaml must be readable as a YAML mapping of options")
    assert not (folder / "HACKED").exists()


def test_tuples_of_older_writers_are_read(folder):
    text = (folder / "params.yaml").read_text()
    before = load_model(folder)[0]
    text = text.replace("pool:\n- 2\n- 2", "pool: !!python/tuple [2, 2]")
    assert "!!python/tuple" in text
    (folder / "params.yaml").write_text(text)
    assert load_model(folder)[0] == before


def legacy(folder, name="encoder.h5"):
    return h5py.File(folder / name, "r+")


def replace_bias(folder, make) -> None:
    """Put what ``make(group)`` creates in the place of the first bias."""
    with legacy(folder) as file:
        group = file["conv2d/conv2d"]
        del group["bias:0"]
        make(group)


def external_link(folder):
    with h5py.File(folder.parent / "other.h5", "w") as other:
        other["secret"] = np.zeros(2, np.float32)
    replace_bias(folder, lambda g: g.__setitem__("bias:0", h5py.ExternalLink("../other.h5", "secret")))


def soft_link(folder):
    replace_bias(folder, lambda g: g.__setitem__("bias:0", h5py.SoftLink("/conv2d_1/conv2d_1/bias:0")))


def soft_link_on_the_way(folder):
    with legacy(folder) as file:
        file.move("conv2d/conv2d", "hidden")
        file["conv2d/conv2d"] = h5py.SoftLink("/hidden")


def external_storage(folder):
    (folder.parent / "secret.bin").write_bytes(bytes(8))
    storage = [(str(folder.parent / "secret.bin"), 0, 8)]
    replace_bias(folder, lambda g: g.create_dataset("bias:0", (2,), "f4", external=storage))


def virtual_dataset(folder):
    with h5py.File(folder.parent / "other.h5", "w") as other:
        other["secret"] = np.zeros(2, np.float32)
    layout = h5py.VirtualLayout((2,), "f4")
    layout[:] = h5py.VirtualSource(str(folder.parent / "other.h5"), "secret", (2,))
    replace_bias(folder, lambda g: g.create_virtual_dataset("bias:0", layout))


def put(value):
    return lambda folder: replace_bias(folder, lambda g: g.create_dataset("bias:0", data=value))


def absurd_size(folder):
    def make(group):
        group.create_dataset("bias:0", (2**40,), "f4", chunks=(2**20,), compression="gzip")

    replace_bias(folder, make)


def oversized_chunk(folder):
    """Reading any value would unpack the whole chunk, here 256 MiB of zeros in a file of 1 MB."""

    def make(group):
        options = {"maxshape": (None,), "chunks": (2**26,), "compression": "gzip", "shuffle": True}
        group.create_dataset("bias:0", data=np.ones(2, np.float32), **options)

    replace_bias(folder, make)


def circle(folder):
    with h5py.File(folder / "encoder.h5", "w") as file:
        layers = file.create_group("layers")
        layers.create_group("functional")["layers"] = layers


def missing_tensor(folder):
    replace_bias(folder, lambda _: None)


def extra_tensor(folder):
    with legacy(folder) as file:
        file["conv2d"].attrs["weight_names"] = [b"conv2d/kernel:0", b"conv2d/bias:0", b"conv2d/bias:0"]


def missing_layer(folder):
    with legacy(folder) as file:
        file.attrs["layer_names"] = [b"conv2d", b"conv2d_1"]


def no_attributes(folder):
    with legacy(folder) as file:
        del file.attrs["layer_names"]


def numbers_for_names(folder):
    with legacy(folder) as file:
        file.attrs["layer_names"] = [1, 2, 3]


def way_out(folder):
    with legacy(folder) as file:
        file["conv2d"].attrs["weight_names"] = [b"../conv2d_1/conv2d_1/bias:0", b"/conv2d/conv2d/bias:0"]


def swapped(folder):
    first, second = (folder / name for name in ("encoder.h5", "decoder.h5"))
    first.rename(folder / "third")
    second.rename(first)
    (folder / "third").rename(second)


def truncated(folder):
    content = (folder / "encoder.h5").read_bytes()
    (folder / "encoder.h5").write_bytes(content[: len(content) // 2])


def text_file(folder):
    (folder / "encoder.h5").write_text("weights")


HOSTILE = {
    external_link: "a link at bias:0",
    soft_link: "a link at bias:0",
    soft_link_on_the_way: "a link at conv2d",
    external_storage: "values that lie in another file",
    virtual_dataset: "values that lie in another file",
    absurd_size: SHAPES,
    oversized_chunk: "weights in chunks",
    circle: "a group that comes twice",
    missing_tensor: "no bias:0",
    extra_tensor: SHAPES,
    missing_layer: SHAPES,
    no_attributes: "none of the layouts that Keras writes",
    numbers_for_names: "names of type int64",
    way_out: "no ",
    swapped: SHAPES,
    truncated: "encoder.h5 must be readable as",
    text_file: "encoder.h5 must be readable as",
}


@pytest.mark.usefixtures("in_either_process")
@pytest.mark.parametrize("spoil", HOSTILE, ids=lambda spoil: spoil.__name__)
def test_weights_that_are_not_simply_there_are_refused(folder, spoil):
    spoil(folder)
    refuse(folder, HOSTILE[spoil], ModelError if HOSTILE[spoil] == SHAPES else FileFormatError)


@pytest.mark.usefixtures("in_either_process")
@pytest.mark.parametrize(
    ("value", "piece"),
    [
        (np.array([np.nan, 0], np.float32), "must be finite"),
        (np.array([np.inf, 0], np.float32), "must be finite"),
        (np.array([1e300, 0]), "must be finite"),
        (np.array([1, 2]), "weights of type int64"),
        (np.array([1 + 1j, 2]), "weights of type complex128"),
        (np.array([b"a", b"b"]), "weights of type"),
        (np.zeros(3, np.float32), SHAPES),
        (np.zeros((2, 1), np.float32), SHAPES),
    ],
)
def test_weights_must_be_finite_floats_of_the_right_shape(folder, value, piece):
    put(value)(folder)
    refuse(folder, piece, FileFormatError if piece.startswith("weights of type") else ModelError)


@pytest.mark.usefixtures("in_either_process")
@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_weights_of_other_precision_are_read(folder, dtype):
    put(np.array([0.5, -2], dtype))(folder)
    rewrite(folder, weights_sha256="absent", caescope_version="absent")
    assert load_model(folder)[1][1].tolist() == [0.5, -2]


def test_bits_that_flip_never_end_in_anything_but_our_error(folder, rng):
    whole = (folder / "encoder.h5").read_bytes()
    for _ in range(50):
        spoiled = bytearray(whole)
        for place in rng.integers(0, len(whole), 3):
            spoiled[place] ^= 1 << int(rng.integers(8))
        (folder / "encoder.h5").write_bytes(spoiled)
        with suppress(CaescopeError):
            load_model(folder)


def test_many_layers_whose_names_come_in_pieces_are_read(tmp_path, rng):
    """Keras splits an attribute that is longer than 64 kB into layer_names0, layer_names1, …"""
    arrays = [rng.normal(size=shape).astype(np.float32) for shape in ((1, 1, 1, 2), (2,), (1, 1, 2, 1), (1,))]
    path = tmp_path / "w.h5"
    path.write_bytes(format_weights(["conv2d", "conv2d_1"], arrays))
    with h5py.File(path, "r+") as file:
        names = file.attrs["layer_names"]
        del file.attrs["layer_names"]
        file.attrs["layer_names0"], file.attrs["layer_names1"] = names[:1], names[1:]
    found = read_weights(path, [array.shape for array in arrays])
    assert all(np.array_equal(a, b) for a, b in zip(found, arrays, strict=True))


def test_the_same_weights_give_the_same_bytes(tmp_path):
    cae = CAE((8, 8, 1), 3, [2], seed=0)
    first, second = (cae.save(tmp_path / name) for name in "ab")
    for name in ("encoder.h5", "decoder.h5", "params.yaml"):
        assert (first / name).read_bytes() == (second / name).read_bytes()


FORMAT_1 = """\
filters: [2, 4]
input_shape: [8, 8, 1]
kernel: [3, 3]
latent_features: 3
lossfn: mse
optimizer: adamax
pool: [2, 2]
stride: 1
latent_activation: linear
format_version: 1
caescope_version: 0.1.0
"""


def test_params_of_format_1_are_read(folder):
    before = load_model(folder)[0]
    (folder / "params.yaml").write_text(FORMAT_1)
    with pytest.warns(UserWarning, match="whether its three files belong together"):
        assert load_model(folder)[0] == before
    assert before.architecture == "plain"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a system with pipes")
def test_a_pipe_that_takes_the_place_of_a_file_is_not_waited_for(tmp_path, monkeypatch):
    """After it was looked at, and before it is opened."""
    os.mkfifo(tmp_path / "params.yaml")
    monkeypatch.setattr(members, "_resolve", lambda path: path)
    with pytest.raises(
        FileFormatError, match=r"params\.yaml must be a regular file\. Received something else"
    ):
        members.open_member(tmp_path / "params.yaml")


def test_a_member_that_is_too_long_is_refused_while_it_is_read(tmp_path):
    (tmp_path / "params.yaml").write_bytes(b"a" * 2049)
    assert members.read_member(tmp_path / "params.yaml", 2049) == b"a" * 2049
    with pytest.raises(
        FileFormatError, match=r"params\.yaml must hold at most 2 KiB\. Received more than that"
    ):
        members.read_member(tmp_path / "params.yaml", 2048)


def test_saving_again_replaces_the_three_files_and_nothing_else(folder):
    (folder / "notes.txt").write_text("mine")
    cae = CAE((8, 8, 1), 5, [3], path=folder, seed=1)
    cae.save()
    assert CAE(path=folder, load=True).options == cae.options
    assert (folder / "notes.txt").read_text() == "mine"
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def content(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def fail_at(monkeypatch, function: str, turn: int) -> None:
    """Let the ``turn``-th call of a function of ``os`` say that the disk is full."""
    real, turns = getattr(os, function), iter(range(1, 100))

    def call(*arguments):
        if next(turns) == turn:
            raise OSError(28, "No space left on device")
        return real(*arguments)

    monkeypatch.setattr(os, function, call)


@pytest.mark.parametrize(("function", "turn"), [("fsync", 1), ("fsync", 4), ("replace", 2), ("rename", 1)])
@pytest.mark.parametrize("lost", [None, "encoder.h5", "params.yaml"])
def test_a_save_that_fails_before_it_is_committed_changes_nothing(folder, monkeypatch, function, turn, lost):
    (folder / "notes.txt").write_text("mine")
    if lost:
        (folder / lost).unlink()
    before = content(folder)
    fail_at(monkeypatch, function, turn)
    with pytest.raises(OutputError, match=r"model \(No space left on device\)\. Free some disk"):
        CAE((8, 8, 1), 3, [2, 4], path=folder, seed=1).save()
    assert content(folder) == before
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


@pytest.mark.parametrize("turn", [4, 5, 6])
def test_a_save_that_fails_after_that_is_read_all_the_same(folder, monkeypatch, turn):
    """Before the files take their places there is one replacement for each, within the hidden folder."""
    new, newer = CAE((8, 8, 1), 3, [2, 4], seed=1), CAE((8, 8, 1), 3, [2, 4], seed=2)
    with monkeypatch.context() as patch:
        fail_at(patch, "replace", turn)
        with pytest.raises(OutputError, match="No space left on device"):
            new.save(folder)
    assert (folder / COMMITTED).is_dir()
    same_weights(CAE(path=folder, load=True), new)
    newer.save(folder)
    same_weights(CAE(path=folder, load=True), newer)
    assert sorted(content(folder)) == sorted(FILES)


def same_weights(one: CAE, other: CAE) -> None:
    pairs = zip(one.model.get_weights(), other.model.get_weights(), strict=True)
    assert all(np.array_equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("place", ["folder", "file"])
def test_a_committed_save_is_not_read_through_a_link_that_leads_out(folder, tmp_path, place):
    """Neither the hidden folder nor a file in it may be elsewhere."""
    before = CAE(path=folder, load=True)
    CAE((8, 8, 1), 3, [2, 4], seed=1).save(tmp_path / "other")
    if place == "folder":
        (folder / COMMITTED).symlink_to(tmp_path / "other")
        same_weights(CAE(path=folder, load=True), before)
    else:
        (folder / COMMITTED).mkdir()
        (folder / COMMITTED / "encoder.h5").symlink_to(tmp_path / "other" / "encoder.h5")
        refuse(folder, "a link that leads out of it")


def test_a_first_save_that_fails_leaves_no_folder(tmp_path, monkeypatch):
    fail_at(monkeypatch, "rename", 1)
    with pytest.raises(OutputError, match="No space left on device"):
        CAE((8, 8, 1), 3, [2], path=tmp_path / "model").save()
    assert not list(tmp_path.iterdir())


def test_a_folder_in_the_place_of_a_file_leaves_the_others_alone(folder):
    (folder / "decoder.h5").unlink()
    (folder / "decoder.h5").mkdir()
    before = (folder / "encoder.h5").read_bytes()
    with pytest.raises(OutputError, match=r"model \(Is a directory\)"):
        CAE((8, 8, 1), 3, [2, 4], path=folder, seed=1).save()
    assert (folder / "encoder.h5").read_bytes() == before
    assert not (folder / COMMITTED).exists()


def test_a_folder_that_cannot_be_written_gets_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="The output must be writable"):
        CAE((8, 8, 1), 2, [2], path=tmp_path / "file").save()
    with pytest.raises(OutputError, match="The output must be writable"):
        CAE((8, 8, 1), 2, [2], path=tmp_path / "file" / "model").save()


def test_new_files_can_be_read_by_others(folder):
    mask = os.umask(0)
    os.umask(mask)
    assert all(path.stat().st_mode & 0o777 == 0o666 & ~mask for path in folder.iterdir())
    assert folder.stat().st_mode & 0o777 == 0o777 & ~mask
