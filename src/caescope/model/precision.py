"""In which numbers training computes. Weights, losses, predictions and files are float32 in either case."""

import torch

from caescope.errors import OptionError

PRECISIONS = ("auto", "float32", "bfloat16")


def parse_precision(name: str, device: torch.device) -> str:
    """Return "float32" or "bfloat16"; "auto" is bfloat16 where the device computes faster in it."""
    if name not in PRECISIONS:
        must = f"precision must be one of {', '.join(PRECISIONS)}"
        raise OptionError(must, f"precision={name!r}", 'Use "auto", the default.')
    if name != "auto":
        return name
    return "bfloat16" if _is_fast_in_bfloat16(device) else "float32"


def _is_fast_in_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)  # tensor cores know it from Ampere on
    if device.type == "cpu" and hasattr(torch.cpu, "get_capabilities"):
        has = torch.cpu.get_capabilities()
        return bool(has.get("avx512_bf16") or has.get("amx_bf16"))
    return False
