"""Settings of the documentation; ``make docs`` builds it into ``docs/_build/html``."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "docs" / "_ext")]

project = "Palimpsest"
author = "The Palimpsest developers"
copyright = f"2026, {author}"

extensions = [
    *("myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"),
    *("from_code", "sample_report"),
]
exclude_patterns = ["_build"]
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3
smartquotes_action = "D"  # dashes; quotes in settings are those one types
highlight_language = "none"  # a block without a language is a formula or a tree

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_type_aliases = {
    name: name for name in ("Array", "Curves", "Matrix", "Runs", "Samples", "Strata")
}
napoleon_use_ivar = True
napoleon_use_rtype = False

html_theme = "furo"
html_title = "Palimpsest"
html_static_path = ["_static"]
html_css_files = ["style.css"]
html_copy_source = False
html_show_sourcelink = False
