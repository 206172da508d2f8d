"""What the fork server of workers imports: all that a cell needs, once."""

from bench.studies.chaos.lane import warm

warm()
import distributed.cli.dask_worker  # noqa: E402, F401
