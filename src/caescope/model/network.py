"""Networks that take and return NumPy arrays: predict, fit and evaluate mean what they mean in Keras."""

import os
import warnings
from collections.abc import Callable, Sequence
from math import prod

import numpy as np
import torch
from torch import nn

from caescope.callbacks import CallbackList, Checkpoint, History, Progress
from caescope.errors import DataError, OptionError
from caescope.images import parse_images
from caescope.model import weights
from caescope.model.architecture import Autoencoder, Decoder, Encoder
from caescope.model.memory import batches_of, images_at_a_time, images_encoded_at_a_time
from caescope.model.objectives import new_objective
from caescope.model.options import Options
from caescope.model.pairs import ImagePairs, ImageSource, Pairs, StreamedPairs
from caescope.model.precision import to_unit
from caescope.model.summary import summarize
from caescope.model.team import ALONE, Team
from caescope.model.training import Plan, mean_loss, train
from caescope.parallel import blocks_of, map_in_order, one_thread_each, share_of
from caescope.parsing import parse_integer

BATCH_SIZE = 128
N_PREVIEW = 6


class Network:
    """An encoder, decoder or autoencoder that takes and returns arrays.

    Attributes
    ----------
    module : torch.nn.Module
        The network itself: tensors in, tensors out, channels last.
    input_shape : tuple of int
        Of one item that comes in, without the axis of the images.
    output_shape : tuple of int
        Of one item that goes out.
    predict_precision : {"float32", "bfloat16"}
        In which numbers ``predict`` computes.
    """

    def __init__(
        self,
        name: str,
        module: nn.Module,
        options: Options,
        device: torch.device,
        predict_precision: str,
    ):
        self.name, self.options, self.device = name, options, device
        self.predict_precision = predict_precision
        self.module = module.to(device)
        image, latent = options.input_shape, options.latent_shape
        self.input_shape = latent if name == "decoder" else image
        self.output_shape = latent if name == "encoder" else image

    def predict(self, x, batch_size: int | None = None, verbose: int | str = 0) -> np.ndarray:
        """Run the network on every item.

        Parameters
        ----------
        x : array_like, shape (n, *input_shape)
            Images (float in [0, 1] or uint8) or, for the decoder, latents.
        batch_size : int, optional
            Items at a time at most; by default as many as are fastest. Only the last digits
            of the result depend on it.
        verbose : int
            Accepted because Keras has it; nothing is printed.

        Returns
        -------
        numpy.ndarray, shape (n, *output_shape), float32

        Raises
        ------
        DataError
            If x is not of the network's input shape or holds NaN or infinity.
        """
        x = self._parse(x, "x")
        size = self._parse_batch_size(batch_size)
        result = np.empty((len(x), *self.output_shape), np.float32)
        self.module.eval()

        @torch.inference_mode()
        def predict_rows(rows: slice) -> None:
            result[rows] = self._compute(_as_tensor(x[rows]).to(self.device)).cpu().numpy()

        with batches_of(size):
            self._for_all(predict_rows, len(x), size)
        return result

    def _compute(self, x: torch.Tensor) -> torch.Tensor:
        """Return float32, from numbers of the precision; latents are made in float32 from such features."""
        x = to_unit(x).to(getattr(torch, self.predict_precision))
        if isinstance(self.module, Encoder):
            return self.module.latents(self.module.features(x).float())
        return self.module(x).float()

    def summary(self) -> None:
        """Print the layers, their output shapes and their numbers of weights."""
        summarize(self)

    def count_params(self) -> int:
        """Return the number of weights."""
        return sum(parameter.numel() for parameter in self.module.parameters())

    def get_weights(self) -> list[np.ndarray]:
        """Return copies of all weights, in Keras's order and layout."""
        return [array for part in self._parts() for array in weights.get_weights(part)]

    def set_weights(self, arrays: Sequence[np.ndarray]) -> None:
        """Replace all weights by arrays as `get_weights` returns them.

        Raises
        ------
        ModelError
            If their number or a shape differs.
        """
        arrays = list(arrays)
        for part in self._parts()[:-1]:
            count = len(weights.weight_shapes(part))
            weights.set_weights(part, arrays[:count])
            arrays = arrays[count:]
        weights.set_weights(self._parts()[-1], arrays)

    def _parts(self) -> list[Encoder | Decoder]:
        if isinstance(self.module, Autoencoder):
            return [self.module.encoder, self.module.decoder]
        return [self.module]  # pyright: ignore[reportReturnType]

    def _for_all(self, function: Callable[[slice], None], n_items: int, most: int) -> None:
        """Call a function for every block: a core each is faster than all cores for one after the other."""
        threads = torch.get_num_threads() if self.device.type == "cpu" else 1
        if threads == 1 or n_items == 1:  # as it is within a thread that has a core to itself
            for rows in blocks_of(n_items, most):
                function(rows)
            return
        with one_thread_each():
            for _ in map_in_order(function, blocks_of(n_items, share_of(n_items, most, threads)), threads):
                pass

    def _parse_batch_size(self, batch_size: int | None) -> int:
        fastest = self._images_at_a_time()
        return fastest if batch_size is None else min(parse_integer(batch_size, "batch_size"), fastest)

    def _images_at_a_time(self) -> int:
        if isinstance(self.module, Encoder):
            numbers = getattr(torch, self.predict_precision)
            return images_encoded_at_a_time(self.options, self.device, numbers)
        return images_at_a_time(self.options, self.device)

    def _parse(self, x, name: str) -> np.ndarray:
        x = parse_latents(x, self.input_shape, name) if self.name == "decoder" else parse_images(x, name)
        if x.shape[1:] == self.input_shape:
            return np.ascontiguousarray(x)
        sizes = ", ".join(map(str, self.input_shape))
        raise DataError(
            f"{name} must have shape (n_images, {sizes}) for this {self.name}",
            f"an array of shape {x.shape}",
            "Give images of that size, or make a CAE with another input_shape.",
        )

    def __repr__(self) -> str:
        sizes = (" × ".join(map(str, shape)) for shape in (self.input_shape, self.output_shape))
        return f"<{self.name}: {' → '.join(sizes)}, {self.count_params():,} weights>"


class Model(Network):
    """The autoencoder as a whole, which can be trained.

    Attributes
    ----------
    objective : Objective
        What ``fit`` minimises; ``evaluate`` measures the reconstruction in any case.
    precision : {"float32", "bfloat16"}
        In which numbers ``fit`` computes.
    """

    def __init__(
        self,
        module: Autoencoder,
        options: Options,
        device: torch.device,
        predict_precision: str,
        learning_rate: float | None,
        seed: int,
        precision: str,
    ):
        super().__init__("model", module, options, device, predict_precision)
        self.learning_rate, self.seed, self.precision = learning_rate, seed, precision
        self.objective = new_objective(module, options, getattr(torch, precision)).to(device)
        self.stop_training = False
        self.history: History | None = None

    def fit(
        self,
        x,
        y=None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: int | str = "auto",
        callbacks: Sequence | None = None,
        validation_split: float = 0.0,
        validation_data=None,
        shuffle: bool = True,
        initial_epoch: int = 0,
        *,
        checkpoint: str | os.PathLike | Checkpoint | None = None,
        team: Team = ALONE,
    ) -> History:
        """Train on images; the arguments mean what they mean in Keras.

        Parameters
        ----------
        x : array_like, shape (n_images, height, width, channels), or source
            Float in [0, 1] or uint8. A source (anything with ``shape``, ``read(indices)`` and a length, such
            as `caescope.data.find_source` returns for a folder) is read while training goes on, a few batches
            at a time.
        y : array_like of the same shape, optional
            What x should become; x itself by default.
        batch_size : int, optional
            Images for each step; 128 by default.
        epochs, initial_epoch : int
            Training goes from ``initial_epoch`` up to ``epochs``.
        verbose : {"auto", 0, 1, 2}
            Nothing, a progress bar, or one line for each epoch; "auto" is a bar where there is a terminal.
        callbacks : sequence of callbacks, optional
            Objects with Keras's hooks, for example `caescope.callbacks.TensorBoard`.
        validation_split : float in [0, 1)
            This share of the images, taken from the end before shuffling, is held back and measured.
        validation_data : array or (x, y), optional
            Images to measure instead.
        shuffle : bool
            Whether each epoch takes the images in a new order.
        checkpoint : path-like or `caescope.callbacks.Checkpoint`, optional
            A folder to keep the state of training in, every minute and at its end. If a state is there,
            training goes on from it: on a CPU the result is that of a training that was never interrupted,
            bit for bit. Ctrl-C and SIGTERM then wait for the end of the batch, and write the state.
        team : Team, optional
            The processes that train together, each of which calls this with the same images; see
            `caescope.model.team`.

        Returns
        -------
        History
            ``.history["loss"]``, ``["val_loss"]``, ``["learning_rate"]`` and ``["images_per_second"]`` hold
            one value for each epoch. The loss is the objective's, ``val_loss`` the reconstruction's; where
            these differ, what the objective is made of is there, too: ``["reconstruction_loss"]`` and
            ``["agreement_loss"]`` (invariant) or ``["divergence_loss"]`` (variational).

        Raises
        ------
        DataError, OptionError
            If images or an argument cannot be used.
        TrainingError
            If the loss is no longer finite, or a batch does not fit into memory.
        FileFormatError, OptionError
            If the checkpoint is damaged, or of a training with other options or images; it stays as it is.
        OutputError
            If the checkpoint cannot be written.
        TrainingStopped
            At Ctrl-C or SIGTERM, where there is a checkpoint; it is a KeyboardInterrupt.

        Notes
        -----
        The learning rate follows one cycle over the epochs asked for, and starts anew with every ``fit``. A
        `UserWarning` names latents that hardly differ between images any longer.
        """
        training, validation = self._parse_data(x, y, validation_split, validation_data)
        epochs = parse_integer(epochs, "epochs")
        plan = Plan(
            epochs=epochs,
            initial_epoch=parse_integer(initial_epoch, "initial_epoch", 0, epochs - 1),
            batch_size=parse_integer(BATCH_SIZE if batch_size is None else batch_size, "batch_size"),
            shuffle=bool(shuffle),
            learning_rate=self.learning_rate,
            seed=self.seed,
        )
        self.history = History()
        shown = [] if verbose == 0 else [Progress(verbose)]
        followers = [*shown, *(callbacks or [])] if team.leads else []
        callback_list = CallbackList([self.history, *followers])
        preview = (training if validation is None else validation).first(N_PREVIEW)
        steps = plan.steps(len(training))
        callback_list.attach(
            self, {"epochs": plan.epochs, "steps": steps, "verbose": verbose, "images": preview}
        )
        if checkpoint is not None and not isinstance(checkpoint, Checkpoint):
            checkpoint = Checkpoint(checkpoint)
        train(self, training, validation, plan, callback_list, checkpoint, team)
        return self.history

    def evaluate(self, x, y=None, batch_size: int | None = None, verbose: int | str = 0) -> float:
        """Return the loss (by default the mean squared error) between the reconstructions of x and y.

        Parameters
        ----------
        x : array_like, shape (n_images, height, width, channels)
        y : array_like of the same shape, optional
            x itself by default.
        batch_size : int, optional
            Images at a time at most; by default as many as are fastest. Only the last digits
            of the result depend on it.
        verbose : int
            Accepted because Keras has it; nothing is printed.
        """
        size = self._parse_batch_size(batch_size)
        return mean_loss(self, self._parse_pairs(x, y), size)

    def _parse_data(self, x, y, split: float, held_out) -> tuple[Pairs, Pairs | None]:
        pairs = self._parse_pairs(x, y)
        if held_out is not None:
            x, y = held_out if isinstance(held_out, (tuple, list)) else (held_out, None)
            return pairs, self._parse_pairs(x, y, "validation_data")
        if not isinstance(split, (int, float)) or not 0 <= split < 1:
            raise OptionError(
                "validation_split must lie in [0, 1)", f"validation_split={split!r}", "Use for example 0.1."
            )
        if split == 0:
            return pairs, None
        # Keras cuts here too
        n_training = int(len(pairs) * (1 - split))
        if n_training in (0, len(pairs)):
            raise DataError(
                "validation_split must leave at least one image on either side",
                f"{len(pairs)} images and validation_split={split}",
                "Give more images, or validation_data.",
            )
        return pairs.cut(slice(None, n_training)), pairs.cut(slice(n_training, None))

    def _parse_pairs(self, x, y, name: str = "x") -> Pairs:
        if isinstance(x, ImageSource):
            return self._stream(x, y, name)
        inputs = _as_tensor(self._parse(x, name))
        if y is None or y is x:
            return ImagePairs(inputs, inputs)
        targets = _as_tensor(self._parse(y, "y"))
        if len(targets) == len(inputs):
            return ImagePairs(inputs, targets)
        raise DataError(
            "x and y must hold as many images",
            f"{len(inputs)} and {len(targets)}",
            "Leave y out to reconstruct x itself.",
        )

    def _stream(self, source: ImageSource, y, name: str) -> StreamedPairs:
        if y is not None and y is not source:
            raise DataError(
                f"{name} must be its own target where it is a source",
                "a source and y",
                "Leave y out, or give arrays.",
            )
        if tuple(source.shape) == self.input_shape and len(source):
            return StreamedPairs(source, np.arange(len(source)))
        raise DataError(
            f"{name} must hold images of shape {self.input_shape} for this {self.name}",
            f"{len(source)} of shape {tuple(source.shape)}",
            "Give images of that size, or make a CAE with another input_shape.",
        )


def _as_tensor(array: np.ndarray) -> torch.Tensor:
    """Return the array's own memory as a tensor, which nobody writes to: it may be a read-only file's."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(array)


def parse_latents(latents, shape: tuple[int, ...], name: str = "latents") -> np.ndarray:
    """Return latents as float32 of shape (n_images, *shape), checked."""
    try:
        latents = np.asarray(latents, dtype=np.float32)
    except (TypeError, ValueError):
        latents = np.empty((0, 0), np.float32)
    if latents.shape[1:] != shape and latents.ndim == 2 and latents.shape[1] == prod(shape):
        latents = latents.reshape(-1, *shape)
    if latents.shape[1:] == shape and np.isfinite(latents).all():
        return latents
    raise DataError(
        f"{name} must be finite numbers of shape (n_images, {', '.join(map(str, shape))}) for this decoder",
        f"an array of shape {latents.shape}"
        + ("" if np.isfinite(latents).all() else " with NaN or infinity"),
        "Give what encoder.predict returned.",
    )
