"""Where commands print: the terminal, or a page wide enough for a table."""

from rich.console import Console

console = Console(emoji=False)
if not console.is_terminal:
    console.width = 140
