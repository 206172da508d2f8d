"""What the fork server of workers imports: all that a cell needs, once."""

import faulthandler

from bench.studies.chaos.lane import warm
from bench.studies.chaos.process import STACKS

faulthandler.register(STACKS, file=2)  # and so do the workers that are forked from it
warm()
import distributed.cli.dask_worker  # noqa: E402, F401
