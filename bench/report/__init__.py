"""Reports: records of cells as tables, figures and one HTML page, from the records alone."""

import bench.report.matplotlib_alone  # noqa: F401  (first: whatever draws imports matplotlib)
from bench.report.output import ALL_FORMATS, FORMATS, write
from bench.report.summary import RELATIVE_TO, Summary, summarise

__all__ = ["ALL_FORMATS", "FORMATS", "RELATIVE_TO", "Summary", "summarise", "write"]
