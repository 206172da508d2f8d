"""Cells that do to their process what a person's own estimator may do."""

import resource

from bench.studies.chaos.kinds import kind
from bench.studies.chaos.trial import Trial


def _misbehaves(trial: Trial, name: str, statuses: set[str], codes: set[int], runs: int = 0) -> None:
    trial.prepared(name)
    (trial.folder / "armed").touch()
    trial.ill, trial.codes = frozenset(statuses), codes
    for _ in range(runs):
        trial.over(trial.start())


@kind("cell-kills-itself-once", "an estimator that sends its process SIGKILL, the first time", every=2)
def once(trial: Trial) -> None:
    _misbehaves(trial, "KillsItselfOnce", {"died"}, {0, 1}, runs=1)


@kind("cell-kills-itself", "an estimator that sends its process SIGKILL each time", every=3)
def each_time(trial: Trial) -> None:
    _misbehaves(trial, "KillsItself", {"died"}, {1}, runs=2)


@kind("cell-exits", "an estimator that ends its process without a word (os._exit)", every=3)
def exits(trial: Trial) -> None:
    _misbehaves(trial, "Exits", {"died"}, {1}, runs=2)
    trial.codes.add(7)  # its own, where the run has not put it aside yet


@kind("cell-raises-exit", "an estimator that raises SystemExit", every=2)
def interrupts(trial: Trial) -> None:
    _misbehaves(trial, "Interrupts", {"failed", "died"}, {1})


@kind("cell-raises", "an estimator that raises an exception", every=2)
def raises(trial: Trial) -> None:
    _misbehaves(trial, "Raises", {"failed"}, {1})


@kind("cell-wants-memory", "an estimator that asks for more memory than there is", every=2)
def wants_memory(trial: Trial) -> None:
    _misbehaves(trial, "RunsOutOfMemory", {"out-of-memory"}, {1})


@kind("memory-limit", "the process may have no more memory than it had, and 1 to 256 MB more (RLIMIT_AS)")
def memory_limit(trial: Trial) -> None:
    trial.prepared()
    with open("/proc/self/statm") as file:
        now = int(file.read().split()[0]) * resource.getpagesize()
    trial.start(limits=[(resource.RLIMIT_AS, now + int(2 ** trial.random.uniform(0, 8) * 2**20))])
