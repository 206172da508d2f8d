"""The pytest-benchmark suite: steps, moments and stacked seeds, each beside its floor. `tox -e timing` runs it."""
