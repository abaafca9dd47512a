"""How the documentation is built: Sphinx, MyST and autodoc, without any access to a network."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

from caescope import __version__

project = "caescope"
author = "The caescope developers"
copyright = f"2026, {author}"
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "commands", "mathml"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
default_role = "any"
html_theme = "furo"
html_title = f"caescope {__version__}"
html_static_path = ["_static"]
html_css_files = ["tables.css"]
html_show_sphinx = False
html_math_renderer = "mathml"
exclude_patterns = ["_build"]

autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_default_options = {"members": True}
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_param = False
napoleon_use_ivar = True

# Names in docstrings in single backquotes may be of other libraries, and words in types, such as "shape", are
# attributes of several classes
suppress_warnings = ["ref.any", "ref.python", "myst.xref_missing"]
nitpicky = False
