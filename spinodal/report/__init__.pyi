from .comparison import Row, Verdict, markdown_table, rich_table, table, verdicts
from .page import page, write_report

__all__ = ["Row", "Verdict", "markdown_table", "page", "rich_table", "table", "verdicts", "write_report"]
