"""The table that ``summary()`` prints."""

import sys
from collections.abc import Iterator

from rich.table import Table
from torch import nn

from caescope.model.architecture import Decoder, Encoder
from caescope.model.weights import layers_of
from caescope.progress import plain_console


def summarize(network) -> None:
    """Print one row for each layer with weights: its name, kernel, output shape and number of weights."""
    table = Table(title=repr(network), title_justify="left")
    for column in ("layer", "kind"):
        table.add_column(column)
    for column in ("output shape", "weights"):
        table.add_column(column, justify="right")
    for name, kind, shape, count in _rows(network):
        table.add_row(name, kind, " × ".join(map(str, shape)), f"{count:,}")
    plain_console(sys.stdout).print(table)


def _rows(network) -> list[tuple[str, str, tuple[int, ...], int]]:
    """Tell what every layer makes of one item; nothing is computed, for images can be large."""
    return [row for part in network.module.modules() for row in _rows_of(part)]


def _rows_of(part: nn.Module) -> Iterator[tuple[str, str, tuple[int, ...], int]]:
    if not isinstance(part, (Encoder, Decoder)):
        return
    options, encodes = part.options, isinstance(part, Encoder)
    height, width, _ = options.padded_shape if encodes else options.stage_shape
    for name, layer in layers_of(part):
        count = sum(weight.numel() for weight in layer.parameters())
        if isinstance(layer, nn.Linear):
            yield name, "dense", (layer.out_features,), count
            continue
        shrink, step = (layer.stride, options.pool) if encodes else ((1, 1), (1, 1))
        growth = (1, 1) if encodes else options.downsampling
        height, width = height * growth[0] // shrink[0], width * growth[1] // shrink[1]
        kind = f"convolution {'×'.join(map(str, layer.kernel_size))}"
        yield name, kind, (height, width, layer.out_channels), count
        height, width = height // step[0], width // step[1]
