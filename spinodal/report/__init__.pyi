from .comparison import Row, markdown_table, rich_table, table
from .page import page, write_report

__all__ = ["Row", "markdown_table", "page", "rich_table", "table", "write_report"]
