"""In which numbers networks compute. Weights, losses, latents and files are float32 in either case."""

import torch

from caescope.errors import OptionError

PRECISIONS = ("auto", "float32", "bfloat16")


def parse_precision(name: str, device: torch.device, option: str = "precision") -> str:
    """Return "float32" or "bfloat16"; "auto" is bfloat16 where the device computes faster in it."""
    if name not in PRECISIONS:
        must = f"{option} must be one of {', '.join(PRECISIONS)}"
        raise OptionError(must, f"{option}={name!r}", 'Use "auto", which is what the device is fast in.')
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


def to_unit(images: torch.Tensor) -> torch.Tensor:
    """Return images of uint8, or floats in [0, 1], as floats in [0, 1]."""
    return images / 255 if images.dtype == torch.uint8 else images
