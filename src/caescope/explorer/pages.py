"""The page's own files: HTML, CSS and JavaScript in the folder ``static``."""

from functools import cache
from importlib.resources import files


@cache
def static_files() -> dict[str, bytes]:
    """Return the content of each file by its name."""
    folder = files("caescope.explorer") / "static"
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}
