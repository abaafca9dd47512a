"""What differs between what something was made with and what is asked for now."""

import json
from collections.abc import Collection, Mapping
from typing import Any


def as_plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as they come back from a file: tuples become lists."""
    return json.loads(json.dumps(settings))


def describe_differences(
    there: Mapping[str, Any], here: Mapping[str, Any], contents: Collection[str] = ()
) -> str:
    """Return in words which settings differ, or an empty text.

    Parameters
    ----------
    there, here : mapping of str to plain values
    contents : collection of str
        Names whose values are digests, which tell a reader nothing.

    Examples
    --------
    >>> describe_differences({"epochs": 3, "images": "0f"}, {"epochs": 4, "images": "a1"}, ["images"])
    'epochs 3 there and 4 here; other images'
    """
    names = [name for name in {**here, **there} if there.get(name) != here.get(name)]
    return "; ".join(
        f"other {name}" if name in contents else f"{name} {there.get(name)} there and {here.get(name)} here"
        for name in names
    )
