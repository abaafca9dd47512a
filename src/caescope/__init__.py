"""See what is in an image collection that nobody labelled."""

from importlib import import_module

# name: the module that defines it; None where the name is a module itself
_NAMES = {
    "CAE": "caescope.cae",
    "CaescopeError": "caescope.errors",
    "run": "caescope.pipeline",
    "analysis": None,
    "callbacks": None,
    "data": None,
    "errors": None,
    "metrics": None,
    "plots": None,
    "report": None,
}

__all__ = ["__version__", *_NAMES]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str):
    """Import what a name needs when it is first used, so that ``import caescope`` stays light."""
    if name == "__version__":
        return import_module("importlib.metadata").version("caescope")
    if name not in _NAMES:
        raise AttributeError(f"module 'caescope' has no attribute {name!r}")
    home = _NAMES[name]
    return import_module(f"caescope.{name}") if home is None else getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted(__all__)
