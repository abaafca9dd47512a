"""params.yaml: the options of a saved autoencoder.

Format version 2 holds the eight options ``filters, input_shape, kernel, latent_features, lossfn, optimizer,
pool, stride`` as plain lists, integers and names; then ``latent_activation``, ``architecture``,
``objective``, ``objective_weight`` (a number or null) and ``views`` (a preset's name, a mapping or null);
then ``format_version``, ``caescope_version`` and ``weights_sha256`` with keys ``encoder`` and ``decoder``.

Version 1 knows no ``architecture`` and means "plain", nor an ``objective`` and means "reconstruction". Its
first writers did not know what comes after ``latent_activation`` either, which readers may leave alone. Older
writers stop after the eight, put tuples as ``!!python/tuple``, and always mean a ReLU after the latents.

To change the format: raise FORMAT_VERSION; let `read_facts` still read every earlier version, filling in
what it meant; and keep in ``tests/test_persistence.py`` the text of a params.yaml as the old version
wrote it.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from caescope.errors import ModelError, OptionError
from caescope.files import decoding, printable
from caescope.model.members import read_member
from caescope.model.options import Options, parse_options

FORMAT_VERSION = 2
MAX_BYTES = 64 * 2**10
MAX_DEPTH = 10
MAX_DIGITS = 40  # Python takes long for integers of many digits, and refuses to print them
PARTS = ("encoder", "decoder")
REQUIRED = ("filters", "input_shape", "kernel", "latent_features", "lossfn", "optimizer", "pool", "stride")


class _Loader(yaml.SafeLoader):
    """YAML's safe tags and tuples; no aliases, no key twice, no deep nesting."""

    depth = 0

    def compose_node(self, parent, index):
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("an alias, which options do not need")
        if self.depth == MAX_DEPTH:
            raise yaml.YAMLError(f"lists or mappings {MAX_DEPTH} deep")
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node, deep=False):
        keys = [key.value for key, _ in node.value]
        if len(set(map(str, keys))) < len(keys):
            raise yaml.YAMLError("a key that comes twice")
        return super().construct_mapping(node, deep)


def _construct_tuple(loader: yaml.SafeLoader, node: Any) -> tuple:
    return tuple(loader.construct_sequence(node))


def _construct_integer(loader: yaml.SafeLoader, node: Any) -> int:
    if len(str(node.value)) > MAX_DIGITS:
        raise yaml.YAMLError(f"an integer of more than {MAX_DIGITS} digits")
    return loader.construct_yaml_int(node)


_Loader.add_constructor("tag:yaml.org,2002:python/tuple", _construct_tuple)
_Loader.add_constructor("tag:yaml.org,2002:int", _construct_integer)


def format_params(options: Options, version: str, hashes: Mapping[str, str]) -> bytes:
    """Return the content of params.yaml; ``hashes`` are those of the weights of encoder and decoder."""
    facts = options.as_dict() | {"format_version": FORMAT_VERSION, "caescope_version": version}
    return yaml.safe_dump(facts | {"weights_sha256": dict(hashes)}, sort_keys=False).encode()


def read_facts(path: Path) -> dict[str, Any]:
    """Read params.yaml of any version, and demand what is needed beside usable options.

    Raises
    ------
    FileFormatError
        If it is missing or no YAML mapping of plain values and tuples.
    ModelError
        If an option is missing, the format is newer than this version knows, or the hashes are none.
    """
    with decoding(path, "a YAML mapping of options"):
        facts = yaml.load(read_member(path, MAX_BYTES), _Loader)  # noqa: S506 - a safe loader, with tuples
        if not isinstance(facts, dict):
            raise ValueError(f"a {type(facts).__name__}")
    _demand_known_format(path, facts)
    if missing := [name for name in REQUIRED if name not in facts]:
        raise ModelError(
            f"{path} must hold {', '.join(REQUIRED)}", f"no {', '.join(missing)}", "Save the model again."
        )
    _demand_hashes(path, facts.get("weights_sha256", dict.fromkeys(PARTS, "0" * 64)))
    return facts


def read_options(path: Path, facts: Mapping[str, Any]) -> Options:
    """Return the options among the facts; ``path`` is for messages.

    Raises
    ------
    ModelError
        If an option cannot be used.
    """
    options = {name: facts[name] for name in REQUIRED}
    try:
        return parse_options(
            **options,
            latent_activation=facts.get("latent_activation", "relu"),
            architecture=facts.get("architecture", "plain"),
            objective=facts.get("objective", "reconstruction"),
            objective_weight=facts.get("objective_weight"),
            views=facts.get("views"),
        )
    except OptionError as error:
        raise ModelError(
            f"{path}: {error.must}", printable(error.received), "Save the model again."
        ) from error


def _demand_known_format(path: Path, facts: dict[str, Any]) -> None:
    version = facts.get("format_version", 0)
    if type(version) is int and 0 <= version <= FORMAT_VERSION:
        return
    raise ModelError(
        f"format_version of {path} must be at most {FORMAT_VERSION}",
        printable(f"format_version={version!r}"),
        "Install a newer caescope to read it.",
    )


def _demand_hashes(path: Path, hashes: Any) -> None:
    texts = [hashes.get(part) for part in PARTS] if isinstance(hashes, dict) else [None]
    if all(isinstance(text, str) and re.fullmatch("[0-9a-f]{64}", text) for text in texts):
        return
    raise ModelError(
        f"weights_sha256 of {path} must hold 64 hexadecimal digits for each of {', '.join(PARTS)}",
        printable(f"weights_sha256={hashes!r}"),
        "Save the model again.",
    )
