"""CAE: a convolutional autoencoder and everything that belongs to it."""

import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from caescope.errors import OptionError
from caescope.model.initialization import new_autoencoder
from caescope.model.network import Model, Network
from caescope.model.options import Options, parse_options
from caescope.model.persistence import load_model, save_model
from caescope.model.precision import parse_precision
from caescope.model.weights import set_weights
from caescope.parsing import parse_seed
from caescope.storage import path_or_url


class CAE:
    """A convolutional autoencoder that turns images into a few latents, and latents into images.

    Parameters
    ----------
    input_shape : (height, width, channels)
        Any size; what pooling does not divide is padded inside and cropped on the way out.
    latent_features : int or None
        Latents for each image; None leaves the latents convolutional.
    filters : sequence of int
        Filters of each stage of the encoder; the decoder mirrors them.
    kernel, stride, pool : int or (int, int)
        Of every convolution and pooling, (vertical, horizontal).
    optimizer, lossfn : str
        Keras's names, for example "adamax" and "mse".
    path : path-like, optional
        The model folder that `save` writes and ``load=True`` reads; it may be on storage: ``s3://bucket/model``.
    load : bool
        Read the model from ``path``; every other argument is then ignored, but for ``learning_rate``,
        ``seed``, ``device`` and the precisions, which no folder holds.
    latent_activation : {"linear", "relu"}
        A ReLU there loses variables: some are zero for every image.
    architecture : {"plain", "residual"}
        What a stage is made of: one convolution, or blocks with normalisation and a way around them, which
        rebuild better and take longer.
    objective : {"reconstruction", "denoising", "invariant", "variational"}
        What training minimises: the loss of the reconstruction; that of distorted images against the images
        themselves; that and how far latents of an image and of a distorted view lie apart (VICReg); or that
        and what latents tell beyond a normal distribution (beta-VAE).
    objective_weight : float, optional
        What the second term of the last two counts for; for "variational" it is beta. By default 2.5 and 1.
    views : {"digits", "natural", "histology", "noise"}, mapping or `caescope.views.Views`, optional
        How images are distorted for "denoising" (by default "noise") and "invariant" (by default "digits" in
        grey and "natural" in colour).
    learning_rate : float, optional
        The peak of the one-cycle schedule; by default the optimizer's own, or half of it for "residual".
        Dense layers of more than 784 inputs learn at 784/inputs of it, but for the objective "invariant".
    seed : int, optional
        Of the first weights and the order of the images; by default a new one every time.
    device : str
        "auto" takes a CUDA GPU if there is one, else the CPU.
    precision : {"auto", "float32", "bfloat16"}
        In which numbers training computes; "auto" is bfloat16 where the hardware has it (AMX, AVX512-BF16,
        GPUs from Ampere on). Weights, losses and files are float32 in either case.
    predict_precision : {"float32", "auto", "bfloat16"}
        The same for ``predict``, which returns float32 in any case. In bfloat16 latents are off by about a
        hundredth of their deviation.

    Attributes
    ----------
    model : Model
        Images to images.
    encoder : Network
        Images to latents; its weights are the model's.
    decoder : Network
        Latents to images; its weights are the model's.
    options : Options
        The options in their normal form.

    Raises
    ------
    OptionError
        If an option cannot be used.
    ModelError
        If the folder cannot be loaded.

    Examples
    --------
    >>> cae = CAE(input_shape=(28, 28, 1), latent_features=20, filters=[8, 16])
    >>> cae.encoder
    <encoder: 28 × 28 × 1 → 20, 16,948 weights>
    """

    model: Model
    encoder: Network
    decoder: Network

    def __init__(
        self,
        input_shape: Sequence[int] = (128, 128, 3),
        latent_features: int | None = 512,
        filters: Sequence[int] = (8, 16, 32),
        kernel: int | Sequence[int] = (3, 3),
        stride: int | Sequence[int] = 1,
        pool: int | Sequence[int] = (2, 2),
        optimizer: str = "adamax",
        lossfn: str = "mse",
        path: str | os.PathLike | None = None,
        load: bool = False,
        *,
        latent_activation: str = "linear",
        architecture: str = "plain",
        objective: str = "reconstruction",
        objective_weight: float | None = None,
        views: Any = None,
        learning_rate: float | None = None,
        seed: int | None = None,
        device: str = "auto",
        precision: str = "auto",
        predict_precision: str = "float32",
    ):
        self.path = None if path is None else path_or_url(path)
        self.seed = secrets.randbits(32) if seed is None else parse_seed(seed)
        saved = load_model(self._demand_path()) if load else None
        self.options: Options = (
            saved[0]
            if saved
            else parse_options(
                input_shape,
                latent_features,
                filters,
                kernel,
                stride,
                pool,
                optimizer,
                lossfn,
                latent_activation=latent_activation,
                architecture=architecture,
                objective=objective,
                objective_weight=objective_weight,
                views=views,
            )
        )
        place = parse_device(device)
        self._assemble(
            parse_learning_rate(learning_rate),
            place,
            parse_precision(precision, place),
            parse_precision(predict_precision, place, "predict_precision"),
        )
        if saved:
            set_weights(self._autoencoder.encoder, saved[1])
            set_weights(self._autoencoder.decoder, saved[2])

    def _assemble(
        self, learning_rate: float | None, device: torch.device, precision: str, predict_precision: str
    ) -> None:
        self._autoencoder = module = new_autoencoder(self.options, self.seed)
        how = (self.options, device, predict_precision)
        self.model = Model(module, *how, learning_rate, self.seed, precision)
        self.encoder = Network("encoder", module.encoder, *how)
        self.decoder = Network("decoder", module.decoder, *how)

    @property
    def predict_precision(self) -> str:
        """In which numbers the three networks predict, "float32" or "bfloat16"."""
        return self.model.predict_precision

    def save(self, path: str | os.PathLike | None = None) -> Path | str:
        """Write params.yaml, encoder.h5 and decoder.h5 into a folder, all of them or nothing.

        On storage they are written one by one, and what is half written is refused when it is loaded.

        Parameters
        ----------
        path : path-like, optional
            The folder; by default the ``path`` that the CAE was made with.

        Returns
        -------
        pathlib.Path or str
            The folder, or its URL.

        Raises
        ------
        OptionError
            If no path was given.
        OutputError
            If the folder cannot be written; what it held is then still there.
        """
        folder = self._demand_path() if path is None else path_or_url(path)
        save_model(folder, self.options, self._autoencoder.encoder, self._autoencoder.decoder)
        return folder

    def _demand_path(self) -> Path | str:
        if self.path is not None:
            return self.path
        raise OptionError("Saving and loading need a path", "path=None", 'Use for example CAE(path="model").')

    def __repr__(self) -> str:
        options = self.options
        return (
            f"CAE(input_shape={options.input_shape}, latent_features={options.latent_features}, "
            f"filters={options.filters}, {self.model.count_params():,} weights)"
        )


def parse_learning_rate(rate: float | None) -> float | None:
    """Return the learning rate as a float above 0, or None."""
    if rate is None:
        return None
    try:
        number = float(rate)
    except (TypeError, ValueError, OverflowError):
        number = 0.0
    if 0 < number < float("inf"):
        return number
    raise OptionError(
        "learning_rate must be a number above 0", f"learning_rate={rate!r}", "Leave it out for the default."
    )


def parse_device(name: str) -> torch.device:
    """Return the PyTorch device; "auto" is a CUDA GPU if there is one, else the CPU."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, TypeError, AssertionError, NotImplementedError) as error:
        advice = 'Use "auto", "cpu", or "cuda" where PyTorch was installed for a GPU.'
        raise OptionError(
            "device must be one that PyTorch can use here", f"device={name!r}", advice
        ) from error
    return device
