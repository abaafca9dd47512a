"""One encoder (8-16 filters, 20 latents) with the same weights in every library.

Each is made from a model folder's encoder.h5. ``encode(images, batch)`` takes images (n, 28, 28, 1) and
returns latents (n, 20), both float32. ``default_batch`` is the library's own; where it has none, it is None:
everything at once, and this library cuts that as it likes.
"""

import os
from pathlib import Path

import numpy as np

CHANNELS = (8, 16)
LATENTS = 20
SMALL_SHAPE = (7, 7, 16)  # height, width, channels before the dense layer


class Caescope:
    """This library's own `predict`."""

    default_batch = None

    def __init__(self, folder: Path):
        from caescope import CAE

        self.network = CAE(path=str(folder), load=True).encoder

    def encode(self, images: np.ndarray, batch: int | None) -> np.ndarray:
        return self.network.predict(images, batch_size=batch)


class Keras:
    """Keras 3's `predict`; the backend is chosen by the environment variable KERAS_BACKEND."""

    default_batch = 32

    def __init__(self, folder: Path):
        import keras
        from keras import layers

        small = {"kernel_size": 3, "padding": "same", "activation": "relu"}
        stages = [layer for f in CHANNELS for layer in (layers.Conv2D(f, **small), layers.MaxPooling2D(2))]
        self.model = keras.Sequential(
            [keras.Input((28, 28, 1)), *stages, layers.Flatten(), layers.Dense(LATENTS)]
        )
        self.model.load_weights(folder / "encoder.h5")

    def encode(self, images: np.ndarray, batch: int | None) -> np.ndarray:
        return self.model.predict(images, batch_size=batch, verbose=0)


def read_channels_first(folder: Path) -> list[np.ndarray]:
    """Return kernels and biases as PyTorch and ONNX have them: (out, in, height, width) and (out, in)."""
    import h5py

    with h5py.File(folder / "encoder.h5") as file:
        layers = [file[layer] for layer in file.attrs["layer_names"]]
        arrays = [layer[name][:] for layer in layers for name in layer.attrs["weight_names"]]
    *convolutions, dense, bias = arrays
    kernels = [a.transpose(3, 2, 0, 1) if a.ndim == 4 else a for a in convolutions]
    dense = dense.reshape(*SMALL_SHAPE, LATENTS).transpose(3, 2, 0, 1).reshape(LATENTS, -1)
    return [np.ascontiguousarray(a) for a in (*kernels, dense, bias)]


class PlainTorch:
    """PyTorch in inference mode, weights channels last."""

    default_batch = None

    def __init__(self, folder: Path):
        import torch
        from contenders import torch_networks

        self.torch = torch
        self.module = torch_networks()[0].eval().to(memory_format=torch.channels_last)
        with torch.no_grad():
            for weight, array in zip(self.module.parameters(), read_channels_first(folder), strict=True):
                weight.copy_(torch.from_numpy(array))

    def encode(self, images: np.ndarray, batch: int | None) -> np.ndarray:
        with self.torch.inference_mode():
            x = self.torch.from_numpy(images).reshape(-1, 1, 28, 28)
            return self.torch.cat([self.module(part) for part in x.split(batch or len(x))]).numpy()


class OnnxRuntime:
    """ONNX Runtime on the CPU with all of its cores."""

    default_batch = None

    def __init__(self, folder: Path):
        import onnxruntime

        graph = make_onnx(read_channels_first(folder)).SerializeToString()
        self.session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])

    def encode(self, images: np.ndarray, batch: int | None) -> np.ndarray:
        x, size = images.reshape(-1, 1, 28, 28), batch or len(images)
        parts = (x[start : start + size] for start in range(0, len(x), size))
        return np.concatenate([self.session.run(None, {"images": part})[0] for part in parts])


def make_onnx(arrays: list[np.ndarray]):
    """Return the encoder as an ONNX model, images (n, 1, 28, 28) to latents (n, 20)."""
    from onnx import TensorProto, helper, numpy_helper

    nodes, name = [], "images"
    for i in range(len(CHANNELS)):
        names = [f"{kind}{i}" for kind in ("convolved", "rectified", "pooled")]
        weights = [f"w{2 * i}", f"w{2 * i + 1}"]
        nodes += [
            helper.make_node("Conv", [name, *weights], [names[0]], pads=[1, 1, 1, 1]),
            helper.make_node("Relu", [names[0]], [names[1]]),
            helper.make_node("MaxPool", [names[1]], [names[2]], kernel_shape=[2, 2], strides=[2, 2]),
        ]
        name = names[2]
    dense = [f"w{2 * len(CHANNELS)}", f"w{2 * len(CHANNELS) + 1}"]
    nodes += [
        helper.make_node("Flatten", [name], ["flat"]),
        helper.make_node("Gemm", ["flat", *dense], ["latents"], transB=1),
    ]
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 1, 28, 28])
    latents = helper.make_tensor_value_info("latents", TensorProto.FLOAT, ["n", LATENTS])
    weights = [numpy_helper.from_array(array, f"w{i}") for i, array in enumerate(arrays)]
    graph = helper.make_graph(nodes, "encoder", [images], [latents], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)


# name: (class, Keras's backend)
ENCODERS = {
    "caescope": (Caescope, None),
    "Keras 3 on TensorFlow": (Keras, "tensorflow"),
    "Keras 3 on JAX": (Keras, "jax"),
    "Keras 3 on PyTorch": (Keras, "torch"),
    "ONNX Runtime": (OnnxRuntime, None),
    "plain PyTorch": (PlainTorch, None),
}


def make(name: str, folder: Path):
    """Return an encoder; its libraries are imported here and not before."""
    kind, backend = ENCODERS[name]
    if backend is not None:
        os.environ["KERAS_BACKEND"] = backend
    return kind(folder)
