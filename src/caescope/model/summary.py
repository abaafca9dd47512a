"""The table that ``summary()`` prints."""

import sys

import torch
from rich.table import Table
from torch import nn

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
    """Run one empty item through the network and note what every layer makes of it."""
    rows = []

    def note(name: str):
        def hook(layer, _, output):
            is_convolution = isinstance(layer, nn.Conv2d)
            shape = tuple(output.permute(0, 2, 3, 1).shape[1:] if is_convolution else output.shape[1:])
            kind = f"convolution {'×'.join(map(str, layer.kernel_size))}" if is_convolution else "dense"
            rows.append((name, kind, shape, sum(weight.numel() for weight in layer.parameters())))

        return hook

    layers = [
        (name, layer)
        for name, layer in network.module.named_modules()
        if isinstance(layer, (nn.Conv2d, nn.Linear))
    ]
    handles = [layer.register_forward_hook(note(name)) for name, layer in layers]
    try:
        with torch.inference_mode():
            network.module(torch.zeros((1, *network.input_shape), device=network.device))
    finally:
        for handle in handles:
            handle.remove()
    return rows
