"""The harness of gradest: problems, measurements, suites, records and reports."""
