"""A model folder: params.yaml, encoder.h5 and decoder.h5, and nothing else."""

import os
import shutil
import tempfile
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from caescope.errors import ModelError
from caescope.files import write_atomically
from caescope.model.architecture import Decoder, Encoder
from caescope.model.hdf5 import format_weights, hash_weights, read_weights_and_writer
from caescope.model.options import Options
from caescope.model.params import format_params, read_facts, read_options
from caescope.model.weights import get_weights, layer_names, weight_shapes

FILES = ("encoder.h5", "decoder.h5", "params.yaml")


def save_model(folder: str | os.PathLike, options: Options, encoder: Encoder, decoder: Decoder) -> None:
    """Write a model folder; all three files are complete on the disk before the first takes its place.

    A new folder appears as a whole. In one that exists, the earlier three files come back if one of the new
    ones cannot take its place; other files stay as they are.

    Raises
    ------
    ModelError
        If the folder cannot be written.
    """
    folder = Path(folder)
    weights = {"encoder": get_weights(encoder), "decoder": get_weights(decoder)}
    hashes = {part: hash_weights(arrays) for part, arrays in weights.items()}
    contents = {
        "encoder.h5": format_weights(layer_names(encoder), weights["encoder"]),
        "decoder.h5": format_weights(layer_names(decoder), weights["decoder"]),
        "params.yaml": format_params(options, version("caescope"), hashes),
    }
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.absolute().parent))
        try:
            new = partial / "new"
            new.mkdir()  # unlike what mkdtemp makes, others may read it
            for name in FILES:
                write_atomically(new / name, contents[name])
            if folder.exists():
                _replace_files(new, folder, old=partial / "old")
            else:
                os.replace(new, folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        raise ModelError(
            "The model folder must be writable", f"{folder} ({error.strerror})", "Give another path."
        ) from error


def _replace_files(new: Path, folder: Path, old: Path) -> None:
    """Move the files of ``new`` into ``folder``, or put back what was there; ``old`` keeps copies of it."""
    old.mkdir()
    for name in FILES:
        if (folder / name).exists():
            shutil.copy2(folder / name, old / name)
    try:
        for name in FILES:
            os.replace(new / name, folder / name)
    except BaseException:
        for name in FILES:
            if (old / name).exists():
                os.replace(old / name, folder / name)
            else:
                (folder / name).unlink(missing_ok=True)
        raise


def load_model(folder: str | os.PathLike) -> tuple[Options, list[np.ndarray], list[np.ndarray]]:
    """Return the options, the encoder's weights and the decoder's weights of a model folder.

    Weights that caescope wrote must be those that params.yaml was saved with. Of folders saved before there
    were hashes nobody can tell, and a `UserWarning` says so; weights that Keras wrote are taken as they are.

    Raises
    ------
    ModelError, FileFormatError
        If a file is missing, damaged, leads out of the folder, or does not fit the others.
    """
    folder = Path(folder)
    if missing := [name for name in sorted(FILES) if not os.path.lexists(folder / name)]:
        raise ModelError(
            f"{folder} must be a model folder with {', '.join(sorted(FILES))}",
            f"no {', '.join(missing)}" if folder.is_dir() else "no such folder",
            "Check the path, or save the model again.",
        )
    facts = read_facts(folder / "params.yaml")
    options = read_options(folder / "params.yaml", facts)
    if "caescope_version" in facts and "weights_sha256" not in facts:
        text = f"{folder} does not tell whether its three files belong together: save the model again"
        warnings.warn(text, UserWarning, stacklevel=3)
    with torch.device("meta"):
        parts = {"encoder": Encoder(options), "decoder": Decoder(options)}
    encoder, decoder = (_load_part(folder, name, module, facts) for name, module in parts.items())
    return options, encoder, decoder


def _load_part(folder: Path, part: str, module: Encoder | Decoder, facts: dict) -> list[np.ndarray]:
    path = folder / f"{part}.h5"
    arrays, ours = read_weights_and_writer(path, weight_shapes(module))
    if ours and "weights_sha256" in facts and facts["weights_sha256"][part] != hash_weights(arrays):
        raise ModelError(
            f"{path} must hold the weights that params.yaml was saved with",
            "others, of which weights_sha256 differs",
            "Take all three files from the same save, or save the model again.",
        )
    return arrays
