"""The tutorial's autoencoder (8-16 filters, 20 latents, mean squared error) in every library.

Each contender trains with its own loop and its own default batch. ``compile(images)`` does what only the
first step must, ``epoch(images, batch)`` trains once over the images, ``recipe(images)`` trains as long as
its recipe goes between two looks at the error and returns the epochs, and ``predict(images)`` returns
reconstructions.
Keras trains the reference notebook's recipe (Adamax at Keras's own rate, ReLU latents) and, as "tuned", what
its users would come to: Adam and linear latents, as the other peers have them.
"""

import os
from copy import deepcopy
from typing import Any

import numpy as np

CHANNELS = (8, 16)
LATENTS = 20


class Contender:
    """What most of them share; ``model`` is the library's own."""

    default_batch = 32
    model: Any

    def weights(self):
        """Return a copy of the weights, for `restore`."""
        return self.model.get_weights()

    def restore(self, weights) -> None:
        """Put the weights back."""
        self.model.set_weights(weights)

    def compile(self, images: np.ndarray) -> None:
        """Nothing, but for compilers."""

    def epoch(self, images: np.ndarray, batch: int) -> None:
        raise NotImplementedError

    def recipe(self, images: np.ndarray) -> int:
        self.epoch(images, self.default_batch)
        return 1


class Keras(Contender):
    """Keras 3 as its users write it; the backend is chosen by the environment variable KERAS_BACKEND."""

    def __init__(self, tuned: bool = False):
        import keras
        from keras import layers

        small = {"kernel_size": 3, "padding": "same", "activation": "relu"}
        stages = [layer for f in CHANNELS for layer in (layers.Conv2D(f, **small), layers.MaxPooling2D(2))]
        self.model = keras.Sequential(
            [
                keras.Input((28, 28, 1)),
                *stages,
                layers.Flatten(),
                layers.Dense(LATENTS, activation=None if tuned else "relu"),
                layers.Dense(7 * 7 * 16, activation="relu"),
                layers.Reshape((7, 7, 16)),
                layers.UpSampling2D(2),
                layers.Conv2D(8, **small),
                layers.UpSampling2D(2),
                layers.Conv2D(1, 3, padding="same", activation="sigmoid"),
            ]
        )
        self.model.compile(optimizer="adam" if tuned else "adamax", loss="mse")

    def compile(self, images: np.ndarray) -> None:
        """Let the backend compile the step without learning anything."""
        weights = self.weights()
        self.epoch(images[: self.default_batch], self.default_batch)
        self.restore(weights)

    def epoch(self, images: np.ndarray, batch: int) -> None:
        self.model.fit(images, images, batch_size=batch, epochs=1, verbose=0)

    def predict(self, images: np.ndarray) -> np.ndarray:
        return self.model.predict(images, batch_size=512, verbose=0)


def torch_networks():
    """Encoder and decoder in plain PyTorch, channels first."""
    from torch import nn

    encoder = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(7 * 7 * 16, LATENTS),
    )
    decoder = nn.Sequential(
        nn.Linear(LATENTS, 7 * 7 * 16),
        nn.ReLU(),
        nn.Unflatten(1, (16, 7, 7)),
        nn.Upsample(scale_factor=2),
        nn.Conv2d(16, 8, 3, padding=1),
        nn.ReLU(),
        nn.Upsample(scale_factor=2),
        nn.Conv2d(8, 1, 3, padding=1),
        nn.Sigmoid(),
    )
    return encoder, decoder


class TorchContender(Contender):
    """What those whose model is a torch module share."""

    def weights(self):
        return deepcopy(self.model.state_dict())

    def restore(self, weights) -> None:
        self.model.load_state_dict(weights)


class PlainTorch(TorchContender):
    """PyTorch with the loop that everybody writes, in the memory format that is faster.

    The weights lie channels last; the images have one channel, so either format describes them, and
    contiguous ones are faster than a permuted view.
    """

    def __init__(self, bfloat16: bool = False):
        import torch

        self.torch, self.bfloat16 = torch, bfloat16
        self.model = torch.nn.Sequential(*torch_networks()).to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-3, fused=True)

    def epoch(self, images: np.ndarray, batch: int) -> None:
        x = self.torch.from_numpy(images).reshape(-1, 1, 28, 28)
        for rows in self.torch.randperm(len(x)).split(batch):
            inputs = x[rows]
            self.optimizer.zero_grad()
            with self.torch.autocast("cpu", dtype=self.torch.bfloat16, enabled=self.bfloat16):
                reconstructions = self.model(inputs)
            self.torch.nn.functional.mse_loss(reconstructions.float(), inputs).backward()
            self.optimizer.step()

    def predict(self, images: np.ndarray) -> np.ndarray:
        with self.torch.inference_mode():
            x = self.torch.from_numpy(images).reshape(-1, 1, 28, 28)
            return self.torch.cat([self.model(part) for part in x.split(512)]).permute(0, 2, 3, 1).numpy()


class Pythae(TorchContender):
    """pythae's AE with its own trainer."""

    default_batch = 64

    def __init__(self):
        from pythae.models import AE, AEConfig
        from pythae.models.base.base_utils import ModelOutput
        from pythae.models.nn import BaseDecoder, BaseEncoder

        encode, decode = torch_networks()

        def wrap(base, layers, answer):
            class Wrapped(base):
                def __init__(self):
                    base.__init__(self)
                    self.layers = layers

                def forward(self, x):
                    return ModelOutput(**{answer: self.layers(x)})

            return Wrapped()

        config = AEConfig(input_dim=(1, 28, 28), latent_dim=LATENTS)
        encoder = wrap(BaseEncoder, encode, "embedding")
        decoder = wrap(BaseDecoder, decode, "reconstruction")
        self.model, self.trainers = AE(config, encoder, decoder), {}

    def epoch(self, images: np.ndarray, batch: int) -> None:
        trainer = self.trainers.get((len(images), batch)) or self._trainer(images, batch)
        trainer.train_step(1)

    def _trainer(self, images: np.ndarray, batch: int):
        import tempfile

        import torch
        from pythae.data.datasets import BaseDataset
        from pythae.trainers import BaseTrainer, BaseTrainerConfig

        x = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
        config = BaseTrainerConfig(
            output_dir=tempfile.mkdtemp(), per_device_train_batch_size=batch, learning_rate=1e-3
        )
        trainer = BaseTrainer(self.model, BaseDataset(x, torch.ones(len(x))), training_config=config)
        trainer.prepare_training()
        self.trainers[len(images), batch] = trainer
        return trainer

    def predict(self, images: np.ndarray) -> np.ndarray:
        import torch

        with torch.inference_mode():
            x = torch.from_numpy(images.transpose(0, 3, 1, 2))
            parts = [self.model({"data": part}).recon_x for part in x.split(512)]
            return torch.cat(parts).permute(0, 2, 3, 1).numpy()


class Caescope(Contender):
    """This library with its defaults; its recipe for a given quality is one cycle in small batches."""

    default_batch = 128

    def __init__(self):
        from caescope import CAE

        self.model = CAE((28, 28, 1), LATENTS, CHANNELS, seed=0).model

    def epoch(self, images: np.ndarray, batch: int) -> None:
        self.model.fit(images, batch_size=batch, verbose=0)

    def recipe(self, images: np.ndarray) -> int:
        self.epoch(images, 64)
        return 1

    def predict(self, images: np.ndarray) -> np.ndarray:
        return self.model.predict(images)


# name: (class, its arguments, Keras's backend)
CONTENDERS = {
    "caescope": (Caescope, {}, None),
    "Keras 3 on TensorFlow": (Keras, {}, "tensorflow"),
    "Keras 3 on TensorFlow, tuned": (Keras, {"tuned": True}, "tensorflow"),
    "Keras 3 on JAX": (Keras, {}, "jax"),
    "Keras 3 on PyTorch": (Keras, {}, "torch"),
    "pythae": (Pythae, {}, None),
    "plain PyTorch": (PlainTorch, {}, None),
    "plain PyTorch, bfloat16": (PlainTorch, {"bfloat16": True}, None),
}


def make(name: str) -> Contender:
    """Return a contender; its libraries are imported here and not before."""
    kind, arguments, backend = CONTENDERS[name]
    if backend is not None:
        os.environ["KERAS_BACKEND"] = backend
    return kind(**arguments)
