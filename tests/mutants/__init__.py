"""How many small faults the tests see: `tox -e mutants` plants them by mutmut, one at a time, and runs the tests."""
