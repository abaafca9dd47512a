"""A model folder: params.yaml, encoder.h5 and decoder.h5, and nothing else."""

import errno
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from caescope.errors import ModelError
from caescope.model.architecture import Decoder, Encoder
from caescope.model.hdf5 import format_weights, hash_weights, read_weights_and_writer
from caescope.model.options import Options
from caescope.model.params import format_params, read_facts, read_options
from caescope.model.weights import get_weights, layer_names, weight_shapes
from caescope.storage import Place, called, find_place, is_remote, path_or_url
from caescope.writing import sync, write_atomically, writing

FILES = ("encoder.h5", "decoder.h5", "params.yaml")
COMMITTED = ".committed"  # holds those files of the last save that are not yet in their places


def save_model(folder: str | os.PathLike, options: Options, encoder: Encoder, decoder: Decoder) -> None:
    """Write a model folder: whoever loads it meets the three files that were there before, or these.

    A new folder appears as a whole. In one that exists, the three files are gathered in a hidden folder
    inside, which gets the name COMMITTED when all of it is on the disk; from then on they are what
    `load_model` reads, and they are moved to their places one by one. Other files stay as they are.

    On storage, where nothing is renamed, the three are written one by one, params.yaml last: a new folder is
    a model when all of it is there, and in place of another `load_model` refuses what is half written.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """
    weights = {"encoder": get_weights(encoder), "decoder": get_weights(decoder)}
    hashes = {part: hash_weights(arrays) for part, arrays in weights.items()}
    contents = {
        "encoder.h5": format_weights(layer_names(encoder), weights["encoder"]),
        "decoder.h5": format_weights(layer_names(decoder), weights["decoder"]),
        "params.yaml": format_params(options, version("caescope"), hashes),
    }
    if is_remote(folder):
        _put(contents, find_place(folder))
    else:
        _write(contents, Path(folder))


def _put(contents: dict[str, bytes], place: Place) -> None:
    for name in FILES:  # params.yaml last
        (place / name).write_bytes(contents[name])


def _write(contents: dict[str, bytes], folder: Path) -> None:
    with writing(folder):
        if folder.exists():
            _settle(folder)
            _demand_room(folder)
            with _gathered(contents, folder / COMMITTED) as new:
                os.rename(new, folder / COMMITTED)
            sync(folder)
            _settle(folder)
        else:
            folder.absolute().parent.mkdir(parents=True, exist_ok=True)
            with _gathered(contents, folder.absolute()) as new:
                os.rename(new, folder)
            sync(folder.absolute().parent)


@contextmanager
def _gathered(contents: dict[str, bytes], place: Path) -> Iterator[Path]:
    """Yield a folder beside ``place`` that holds the files, on the disk, and goes if it is still there."""
    partial = Path(tempfile.mkdtemp(prefix=f".{place.name.lstrip('.')}-", dir=place.parent))
    try:
        new = partial / "new"
        new.mkdir()  # unlike what mkdtemp makes, others may read it
        for name, content in contents.items():
            write_atomically(new / name, content)
        yield new
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _demand_room(folder: Path) -> None:
    """Refuse a folder in the place of a file before anything is committed."""
    for path in (folder / name for name in FILES):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))


def _settle(folder: Path) -> None:
    """Move the files of a committed save to their places, where that has not been done."""
    committed = folder / COMMITTED
    if committed.is_symlink() or not committed.is_dir():
        return
    for name in FILES:
        if (committed / name).exists():
            os.replace(committed / name, folder / name)
    sync(folder)
    committed.rmdir()


def load_model(folder: str | os.PathLike) -> tuple[Options, list[np.ndarray], list[np.ndarray]]:
    """Return the options, the encoder's weights and the decoder's weights of a model folder.

    Weights that caescope wrote must be those that params.yaml was saved with. Of folders saved before there
    were hashes nobody can tell, and a `UserWarning` says so; weights that Keras wrote are taken as they are.

    Raises
    ------
    ModelError, FileFormatError
        If a file is missing, damaged, leads out of the folder, or does not fit the others.
    DataError
        If the folder is on storage that does not answer.
    """
    with _on_disk(folder) as on_disk:
        return _load(on_disk, str(path_or_url(folder)))


@contextmanager
def _on_disk(folder: str | os.PathLike) -> Iterator[Path]:
    """Yield the folder; of one on storage a copy, which what is said against it calls by its URL."""
    if not is_remote(folder):
        yield Path(folder)
        return
    place = find_place(folder)
    with tempfile.TemporaryDirectory() as copy, called(copy, str(place)):
        for name in set(FILES) & set(place.names()):
            Path(copy, name).write_bytes((place / name).read_bytes())
        yield Path(copy)


def _load(folder: Path, shown: str) -> tuple[Options, list[np.ndarray], list[np.ndarray]]:
    paths = {name: _path_of(folder, name) for name in FILES}
    if missing := [name for name, path in sorted(paths.items()) if not os.path.lexists(path)]:
        raise ModelError(
            f"{folder} must be a model folder with {', '.join(sorted(FILES))}",
            f"no {', '.join(missing)}" if folder.is_dir() else "no such folder",
            "Check the path, or save the model again.",
        )
    facts = read_facts(paths["params.yaml"])
    options = read_options(paths["params.yaml"], facts)
    if "caescope_version" in facts and "weights_sha256" not in facts:
        text = f"{shown} does not tell whether its three files belong together: save the model again"
        warnings.warn(text, UserWarning, stacklevel=4)
    with torch.device("meta"):
        parts = {"encoder": Encoder(options), "decoder": Decoder(options)}
    encoder, decoder = (_load_part(paths, name, module, facts) for name, module in parts.items())
    return options, encoder, decoder


def _path_of(folder: Path, name: str) -> Path:
    """Return where a file of the last save lies: a save that was interrupted did not move all of them."""
    committed = folder / COMMITTED
    is_there = not committed.is_symlink() and os.path.lexists(committed / name)
    return committed / name if is_there else folder / name


def _load_part(paths: dict[str, Path], part: str, module: Encoder | Decoder, facts: dict) -> list[np.ndarray]:
    path = paths[f"{part}.h5"]
    arrays, ours = read_weights_and_writer(path, weight_shapes(module))
    if ours and "weights_sha256" in facts and facts["weights_sha256"][part] != hash_weights(arrays):
        raise ModelError(
            f"{path} must hold the weights that params.yaml was saved with",
            "others, of which weights_sha256 differs",
            "Take all three files from the same save, or save the model again.",
        )
    return arrays
