"""``python -m caescope`` is the command ``caescope``."""

from caescope.cli import main

main()
