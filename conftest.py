"""What all tests share, doctests among them."""

import sys

import pytest


@pytest.fixture(autouse=True)
def _closed_figures():
    """Close the figures that a test drew; matplotlib keeps them, and warns of many."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
