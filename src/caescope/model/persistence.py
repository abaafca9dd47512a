"""A model folder: params.yaml, encoder.h5 and decoder.h5, and nothing else."""

import os
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from caescope.errors import ModelError
from caescope.files import write_atomically
from caescope.model.architecture import Decoder, Encoder
from caescope.model.hdf5 import format_weights, read_weights
from caescope.model.options import Options
from caescope.model.params import format_params, read_params
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
    contents = {
        "encoder.h5": format_weights(layer_names(encoder), get_weights(encoder)),
        "decoder.h5": format_weights(layer_names(decoder), get_weights(decoder)),
        "params.yaml": format_params(options, version("caescope")),
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

    Raises
    ------
    ModelError, FileFormatError
        If a file is missing, damaged, or does not fit the others.
    """
    folder = Path(folder)
    if missing := [name for name in sorted(FILES) if not (folder / name).is_file()]:
        raise ModelError(
            f"{folder} must be a model folder with {', '.join(sorted(FILES))}",
            f"no {', '.join(missing)}" if folder.is_dir() else "no such folder",
            "Check the path, or save the model again.",
        )
    options = read_params(folder / "params.yaml")
    with torch.device("meta"):
        encoder, decoder = Encoder(options), Decoder(options)
    return (
        options,
        read_weights(folder / "encoder.h5", weight_shapes(encoder)),
        read_weights(folder / "decoder.h5", weight_shapes(decoder)),
    )
