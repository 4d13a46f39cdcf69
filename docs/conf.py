from importlib import metadata
from importlib.util import find_spec

project = "ranvier"
author = "The ranvier developers"
copyright = "2026, The ranvier developers"
try:
    release = metadata.version("ranvier")
except metadata.PackageNotFoundError:
    release = "0+source"
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx.ext.mathjax",
]
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
# Needed by ranvier.io.onnx alone: its pages are made without them.
autodoc_mock_imports = [name for name in ("onnx", "ml_dtypes") if find_spec(name) is None]
autodoc_member_order = "bysource"
autodoc_typehints = "description"
napoleon_use_ivar = True  # attributes are described once, by their class
html_theme = "furo"
html_title = "ranvier"
exclude_patterns = ["_build"]
nitpicky = False
