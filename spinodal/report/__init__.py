"""What comes out of runs, to be looked at: a page in the run's folder, and the same table in words."""

from spinodal.report.comparison import Row, markdown_table, rich_table, table
from spinodal.report.page import write_report

__all__ = ["Row", "markdown_table", "rich_table", "table", "write_report"]
