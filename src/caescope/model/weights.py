"""Weights as arrays in Keras's order and layout."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from caescope.errors import ModelError
from caescope.model.architecture import Decoder, Encoder


def layers_of(module: Encoder | Decoder) -> list[tuple[str, nn.Conv2d | nn.Linear]]:
    """Return the layers that have weights, in the order of the data, under Keras's names for them."""
    named: list = [(f"conv2d_{i}" if i else "conv2d", layer) for i, layer in enumerate(module.convolutions)]
    dense: list = [] if module.dense is None else [("dense", module.dense)]
    return named + dense if isinstance(module, Encoder) else dense + named


def layer_names(module: Encoder | Decoder) -> list[str]:
    """Return Keras's names for the layers that have weights, in the order of the data."""
    return [name for name, _ in layers_of(module)]


def get_weights(module: Encoder | Decoder) -> list[np.ndarray]:
    """Return copies of all weights: for each layer the kernel, then the bias.

    Kernels of convolutions are (height, width, in, out), those of dense layers (in, out); float32.
    """
    arrays = []
    for _, layer in layers_of(module):
        kernel, bias = layer.weight.detach().cpu().numpy(), _bias(layer).detach().cpu().numpy()
        arrays += [np.ascontiguousarray(kernel.transpose(_to_keras(kernel.ndim))), bias.copy()]
    return arrays


def weight_shapes(module: Encoder | Decoder) -> list[tuple[int, ...]]:
    """Return the shapes of the arrays that `get_weights` returns."""
    shapes = []
    for _, layer in layers_of(module):
        shape = tuple(layer.weight.shape)
        shapes += [tuple(shape[axis] for axis in _to_keras(len(shape))), tuple(_bias(layer).shape)]
    return shapes


def set_weights(module: Encoder | Decoder, arrays: Sequence[np.ndarray]) -> None:
    """Replace all weights by arrays as `get_weights` returns them.

    Raises
    ------
    ModelError
        If their number or a shape differs, or one does not hold numbers; no weight has changed then.
    """
    arrays = [_parse_numbers(array) for array in arrays]
    expected = weight_shapes(module)
    if [array.shape for array in arrays] != expected:
        raise ModelError(
            f"Weights must have the shapes {expected}",
            f"{[array.shape for array in arrays]}",
            "Give what get_weights returned for the same options.",
        )
    with torch.no_grad():
        for (_, layer), kernel, bias in zip(layers_of(module), arrays[::2], arrays[1::2], strict=True):
            layer.weight.copy_(torch.tensor(kernel.transpose(_to_torch(kernel.ndim))))
            _bias(layer).copy_(torch.tensor(bias))


def _parse_numbers(array) -> np.ndarray:
    """Return weights from outside as float32."""
    try:
        numbers = np.asarray(array)
        if numbers.dtype.kind not in "fiub":
            raise TypeError(f"an array of dtype {numbers.dtype}")
    except (TypeError, ValueError) as error:
        advice = "Give what get_weights returned for the same options."
        raise ModelError("Weights must be arrays of numbers", str(error).rstrip("."), advice) from error
    with np.errstate(over="ignore"):  # too large for float32 is infinite, as in PyTorch
        return numbers.astype(np.float32)


def _bias(layer: nn.Conv2d | nn.Linear) -> torch.Tensor:
    assert layer.bias is not None
    return layer.bias


def _to_keras(ndim: int) -> tuple[int, ...]:
    return (2, 3, 1, 0) if ndim == 4 else (1, 0)


def _to_torch(ndim: int) -> tuple[int, ...]:
    return (3, 2, 0, 1) if ndim == 4 else (1, 0)
