"""How the report writes values down: numbers, intervals, names, times and text from outside."""

import math
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from reprlib import Repr

from caescope.files import printable

NAMES = {
    "tsne": "t-SNE",
    "t-sne": "t-SNE",
    "umap": "UMAP",
    "pca": "PCA",
    "pacmap": "PaCMAP",
    "kmeans": "KMeans",
    "mixture": "Gaussian mixture",
    "hdbscan": "HDBSCAN",
    "histogram": "histogram of brightness and colour",
}


def written(value, spec: str) -> str:
    """Return a number in a format of Python's; what is absent or not a number is a dash.

    >>> written(0.91234, ".1%"), written(float("nan"), ".3f"), written(70000, ",.0f")
    ('91.2%', '–', '70,000')
    """
    absent = not isinstance(value, int | float) or math.isnan(value)
    return "–" if absent else format(value, spec).replace("inf", "∞")


def between(ends, spec: str) -> str:
    """Return an interval; an absent one is nothing.

    >>> between([0.9012, 0.9344], ".1%"), between(None, ".1%")
    ('90.1% to 93.4%', '')
    """
    return " to ".join(written(end, spec) for end in ends) if isinstance(ends, list | tuple) else ""


def counted(n: float, noun: str) -> str:
    """Return a number of things.

    >>> counted(1, "cluster"), counted(1200, "cluster")
    ('1 cluster', '1,200 clusters')
    """
    return f"{written(n, ',.0f')} {noun}{'' if n == 1 else 's'}"


def listed(items: Iterable, last: str = "and") -> str:
    """Return items as a sentence has them.

    >>> listed(["a"]), listed(["a", "b"]), listed("abc")
    ('a', 'a and b', 'a, b and c')
    """
    *first, end = [str(item) for item in items] or [""]
    return f"{', '.join(first)} {last} {end}" if first else end


def named(value) -> str:
    """Return what people call a method; one that is not known keeps its name.

    >>> named("tsne"), named("isomap")
    ('t-SNE', 'isomap')
    """
    return NAMES.get(str(value).lower(), str(value))


def variable(number) -> str:
    """Return the name of a latent variable, as the columns of latents.parquet have it.

    >>> variable(7)
    'z007'
    """
    return f"z{written(number, '03.0f')}"


def visible(text: str) -> str:
    r"""Return text with every invisible character as an escape, so that none can turn round what follows.

    >>> visible("a\u202eb\n")
    'a\\u202eb\\n'
    """
    return printable(text, len(text))


def shown(value) -> str:
    """Return any value as text; nested ones are shortened, since YAML can repeat a list without end."""
    if value is None:
        return "not set"
    short = Repr()
    short.maxlevel, short.maxlist, short.maxdict, short.maxstring, short.maxlong = 3, 20, 20, 200, 40
    return visible(value if isinstance(value, str) else short.repr(value))


def moment(value) -> str:
    """Return a time to the minute.

    >>> moment("2026-03-01T09:05:07.123+00:00")
    '2026-03-01 09:05 UTC'
    """
    try:
        time = datetime.fromisoformat(str(value))
    except ValueError:
        return str(value)
    return f"{time:%Y-%m-%d %H:%M} {time.tzname() or ''}".strip()


def in_order(names: Iterable[str]) -> Sequence[str]:
    """Return names by their number where all are numbers, else as they came.

    >>> in_order(["0", "10", "9"]), in_order(["dog", "10", "cat"])
    (['0', '9', '10'], ['dog', '10', 'cat'])
    """
    names = list(names)
    are_numbers = all(re.fullmatch(r"-?\d{1,18}", name, re.ASCII) for name in names)
    return sorted(names, key=int) if are_numbers else names


FILTERS = {
    function.__name__: function
    for function in (written, between, counted, listed, named, variable, shown, moment, in_order)
}
