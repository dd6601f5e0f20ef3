from .comparison import Row, markdown_table, rich_table, table
from .page import write_report

__all__ = ["Row", "markdown_table", "rich_table", "table", "write_report"]
