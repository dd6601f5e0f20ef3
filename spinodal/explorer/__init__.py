"""The explorer: tokens that move in a browser, by the library's own steps, and recordings that are played there.

file        what
source/     the page's modules, style and elements
build       one HTML file of them; explorer.html is the page as it was built
recording   a recording as a value
reading     the recording that a run or an observation leaves
page        the page with a recording in it
component   the player in other pages
notebook    the page in a cell of a notebook
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
