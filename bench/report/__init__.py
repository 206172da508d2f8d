"""Reports: records of cells as tables, figures and one HTML page, from the records alone (`bench.report.output`)."""
