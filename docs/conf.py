"""Sphinx configuration."""

import os
import shutil
from importlib.metadata import metadata
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.ext.napoleon import NumpyDocstring

HERE = Path(__file__).parent
ONLINE = "READTHEDOCS" in os.environ

info = metadata("clipdim")
project = info["Name"]
author = info["Author"]
copyright = author
release = version = info["Version"]
repository_url = dict(entry.split(", ") for entry in info.get_all("Project-URL"))["Source"]

extensions = [
    "myst_nb",
    "sphinx_copybutton",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx_autodoc_typehints",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "**.ipynb_checkpoints", "paper/quick", "paper/table.md"]
default_role = "literal"

autosummary_generate = True
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_use_ivar = True
typehints_defaults = "braces"
always_use_bars_union = True

myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath", "html_image"]
myst_heading_anchors = 3
# the tutorials show what this version does, so they run each time
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 600
nb_execution_in_temp = True
nb_merge_streams = True

# the inventories lie on other servers: only a build that has a network may ask for them
intersphinx_mapping = {
    "anndata": ("https://anndata.readthedocs.io/en/stable/", None),
    "matplotlib": ("https://matplotlib.org/stable/", None),
    "mudata": ("https://mudata.readthedocs.io/en/latest/", None),
    "numpy": ("https://numpy.org/doc/stable/", None),
    "pandas": ("https://pandas.pydata.org/pandas-docs/stable/", None),
    "python": ("https://docs.python.org/3", None),
    "scanpy": ("https://scanpy.readthedocs.io/en/stable/", None),
    "torch": ("https://docs.pytorch.org/docs/stable/", None),
}
if not ONLINE:
    intersphinx_mapping = {}

html_static_path = ["_css"]
html_css_files = ["tables.css"]
html_theme = "sphinx_book_theme"
html_title = project
html_theme_options = {
    "repository_url": repository_url,
    "use_repository_button": True,
    "path_to_docs": "docs/",
    "navigation_with_keys": False,
}


def copy_tutorials(app: Sphinx) -> None:
    """Bring the notebooks of the repository's ``tutorials`` folder below the source folder, where Sphinx finds them."""
    target = HERE / "tutorials"
    target.mkdir(exist_ok=True)
    for notebook in (HERE.parent / "tutorials").glob("*.ipynb"):
        shutil.copy2(notebook, target)


def returns_as_written(self: NumpyDocstring, section: str) -> list[str]:
    """Keep "Returns" the definition list that it is: napoleon would set slot names in bold, literal marks included."""
    lines = self._dedent(self._consume_to_next_section())
    # sphinx_autodoc_typehints puts a lone colon first, a sign for the method that this one replaces
    return self._format_block(":returns: ", [line for line in lines if line != ":"])


def setup(app: Sphinx) -> None:
    """Register the above."""
    NumpyDocstring._parse_returns_section = returns_as_written
    app.connect("builder-inited", copy_tutorials)
