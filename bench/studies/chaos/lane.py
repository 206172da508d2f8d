"""A process that tries faults one after another: it has imported all that a run needs, and forks the runs.

It reads requests from stdin, a line of JSON each with the kind and the seed of a fault, and answers with a line.
"""

import gc
import importlib
import json
import os
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

from bench.studies.chaos import cluster, kinds
from bench.studies.chaos.process import NEW_MOUNTS, PRIVATE, mount, unshare
from bench.studies.chaos.trial import Trial, at_most
from bench.studies.chaos.verdict import Reference

IMPORTED = (
    "bench.cli",
    "bench.cli.report",
    "bench.cli.terminal",
    "bench.run.executors",
    "bench.run.runner",
    "bench.run.status",
    "bench.suite.load",
    "matplotlib.backends.backend_agg",
    "matplotlib.pyplot",
    "pandas",
    "pyarrow.parquet",
    "scipy.stats",
    "seaborn",
)
BEAT = 0.2
"""Seconds between two heartbeats of a runner, so that a dead one is known in little more than a second."""
LIMIT = 240.0
"""Seconds that a fault may take: all waits of it together, each of which has a limit of its own."""
INTERVAL = 0.01
"""Seconds between two checkpoints, so that a training of tenths of a second has some."""


def warm() -> None:
    """Import all that a run imports, some of it while it runs, and make checkpoints as often as time allows."""
    for name in IMPORTED:
        importlib.import_module(name)
    import bench.run.claims
    import bench.run.keeper
    import bench.run.work
    from bench.run.executors import inline
    from bench.run.runner import run_suite
    from bench.studies.chaos import suites
    from bench.suite.load import parse_suite

    bench.run.claims.BEAT, bench.run.claims.STALE, bench.run.work.POLL = BEAT, 6 * BEAT, BEAT / 4
    bench.run.keeper.INTERVAL = INTERVAL
    bench.run.keeper.SHARE = 0.5
    other = suites.SMALL.replace("steps = 40", "steps = 2").replace("[0, 20]", "[0, 1]")  # nothing of it is remembered
    with tempfile.TemporaryDirectory() as folder:
        run_suite(parse_suite(other.encode(), "small.toml"), Path(folder), executor=inline)
    for remembered in (bench.run.claims.kernel, bench.run.claims._pids_of):
        remembered.cache_clear()  # a run in a namespace of its own has others
    gc.collect()
    gc.freeze()


def tried(name: str, seed: int, references: dict[str, Reference]) -> dict[str, Any]:
    """Try a fault; whatever goes wrong in the study itself is told, and is no verdict."""
    began = time.monotonic()
    try:
        with Trial(name, seed, references, cluster.said) as trial, at_most(LIMIT):
            kinds.KINDS[name].run(trial)
            found = trial.judged()
    except Exception as error:
        told, where = getattr(error, "__notes__", []), "".join(traceback.format_tb(error.__traceback__))
        found = {"broken": f"{type(error).__name__}: {error}", "under_way": [*told, where]}
    return {"kind": name, "seed": seed, "wall": time.monotonic() - began, **found}


def serve() -> None:
    """Answer requests until the input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    if os.geteuid() == 0:
        try:
            unshare(NEW_MOUNTS)
            mount("", Path("/"), PRIVATE)
        except OSError:  # then what a fault mounts is seen outside, until it is unmounted
            pass
    cluster.begin()
    kinds.load()
    warm()
    references: dict[str, Reference] = {}
    for line in sys.stdin:
        request = json.loads(line)
        answers.write(json.dumps(tried(request["kind"], request["seed"], references)) + "\n")
        answers.flush()


if __name__ == "__main__":
    serve()
