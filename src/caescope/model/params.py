"""params.yaml: the options of a saved autoencoder.

Format version 1 holds the eight architecture options ``filters, input_shape, kernel, latent_features, lossfn,
optimizer, pool, stride`` as plain lists, integers and names; then ``latent_activation``, ``format_version``
and ``caescope_version``. Older writers stop after the eight, put tuples as ``!!python/tuple``, and always
mean a ReLU after the latents.

To change the format: raise FORMAT_VERSION; let `read_params` still read every earlier version, filling in
what it meant; and keep in ``tests/test_persistence.py`` the text of a params.yaml as the old version
wrote it.
"""

from pathlib import Path
from typing import Any

import yaml

from caescope.errors import ModelError, OptionError
from caescope.files import decoding, printable, read_bytes
from caescope.model.options import Options, parse_options

FORMAT_VERSION = 1
MAX_BYTES = 64 * 2**10
REQUIRED = ("filters", "input_shape", "kernel", "latent_features", "lossfn", "optimizer", "pool", "stride")


class _Loader(yaml.SafeLoader):
    """YAML's safe tags and tuples; no anchors, no key twice."""

    def compose_node(self, parent, index):
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("an alias, which options do not need")
        return super().compose_node(parent, index)

    def construct_mapping(self, node, deep=False):
        keys = [key.value for key, _ in node.value]
        if len(set(map(str, keys))) < len(keys):
            raise yaml.YAMLError("a key that comes twice")
        return super().construct_mapping(node, deep)


def _construct_tuple(loader: yaml.SafeLoader, node: Any) -> tuple:
    return tuple(loader.construct_sequence(node))


_Loader.add_constructor("tag:yaml.org,2002:python/tuple", _construct_tuple)


def format_params(options: Options, version: str) -> bytes:
    """Return the content of params.yaml."""
    facts = options.as_dict() | {"format_version": FORMAT_VERSION, "caescope_version": version}
    return yaml.safe_dump(facts, sort_keys=False).encode()


def read_params(path: Path) -> Options:
    """Read params.yaml of any version.

    Raises
    ------
    FileFormatError
        If it is missing or no YAML mapping of plain values and tuples.
    ModelError
        If an option is missing or cannot be used, or the format is newer than this version knows.
    """
    with decoding(path, "a YAML mapping of options"):
        facts = yaml.load(read_bytes(path, MAX_BYTES), _Loader)  # noqa: S506 - a safe loader, with tuples
        if not isinstance(facts, dict):
            raise ValueError(f"a {type(facts).__name__}")
    _demand_known_format(path, facts)
    if missing := [name for name in REQUIRED if name not in facts]:
        raise ModelError(
            f"{path} must hold {', '.join(REQUIRED)}", f"no {', '.join(missing)}", "Save the model again."
        )
    options = {name: facts[name] for name in REQUIRED}
    try:
        return parse_options(**options, latent_activation=facts.get("latent_activation", "relu"))
    except OptionError as error:
        raise ModelError(
            f"{path}: {error.must}", printable(error.received), "Save the model again."
        ) from error


def _demand_known_format(path: Path, facts: dict[str, Any]) -> None:
    version = facts.get("format_version", 0)
    if isinstance(version, int) and 0 <= version <= FORMAT_VERSION:
        return
    raise ModelError(
        f"format_version of {path} must be at most {FORMAT_VERSION}",
        printable(f"format_version={version!r}"),
        "Install a newer caescope to read it.",
    )
