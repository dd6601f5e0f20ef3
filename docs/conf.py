"""The site, which `make docs` builds into build/site: settings of Sphinx. What is ours of it lies in extensions/."""

import hashlib
import sys
from pathlib import Path

from spinodal.version import __version__

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "extensions"))

project = "spinodal"
copyright = "the authors of spinodal"
version = release = __version__
html_title = f"spinodal {__version__}"

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinxcontrib.bibtex",
    # ours
    "citations",  # [glpr2023] in any text leads to the bibliography
    "docstrings",  # plain docstrings, their equations as they are written
    "generated",  # pages of rooms, commands, recipes, mixers and observables, made of what they say of themselves
    "live_page",  # the explorer beside the pages
    "thumbnails",  # of the gallery
]
exclude_patterns = ["extensions/**"]
source_suffix = {".stored.md": "myst-nb", ".md": "myst-nb", ".rst": "restructuredtext"}
nitpicky = True
nitpick_ignore_regex = [
    (r"py:.*", r"(?!spinodal\.).*")
]  # types of other libraries, whose sites are not asked

myst_enable_extensions = ["html_image"]  # <img> tags are pictures of the site too
myst_heading_anchors = 4
myst_links_external_new_tab = False
bibtex_bibfiles = ["../references.bib"]
bibtex_default_style = "keys"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_inherit_docstrings = False
autodoc_preserve_defaults = True
autodoc_class_signature = "mixed"
python_maximum_signature_line_length = 88
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

sources = b"".join(path.read_bytes() for path in sorted(HERE.parent.glob("spinodal/**/*.py")))
nb_execution_mode = "cache"
digest = hashlib.sha256(sources).hexdigest()[:16]
nb_execution_cache_path = str(HERE.parent / "build" / "notebooks" / digest)  # outputs of this code alone
nb_execution_in_temp = True
nb_execution_excludepatterns = ["*.stored.md"]
nb_custom_formats = {".stored.md": "stored_outputs.read"}  # of notebooks that train or hear
nb_execution_timeout = 120
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_merge_streams = True
nb_output_stderr = "remove"  # bars of progress

smartquotes = False
html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
highlight_language = "text"  # of blocks that name none
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"
