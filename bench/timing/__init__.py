"""The pytest-benchmark suite: one training step of every estimator beside its floor. `tox -e timing` runs it."""
