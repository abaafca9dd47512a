"""The command line: each command parses, calls one library function, and prints what it wrote."""

from caescope.cli.commands import main

__all__ = ["main"]
