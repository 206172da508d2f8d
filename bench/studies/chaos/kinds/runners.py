"""Several runs on one folder at once, each the process 1 of a namespace of its own, as in containers."""

import os
import signal

from bench.studies.chaos.kinds import kind
from bench.studies.chaos.process import Process
from bench.studies.chaos.trial import Trial, pause


def no_namespace() -> str:
    """Why there are no namespaces here; nothing where there are."""
    return "" if os.geteuid() == 0 else "namespaces of process ids need root"


def _several(trial: Trial, count: int) -> list[Process]:
    trial.prepared()
    found = []
    for _ in range(count):
        found.append(trial.start(namespace=True))
        pause(trial.random.choice([0, 0, trial.random.uniform(0, 0.3)]))
    return found


@kind("two-runners", "two on one folder", needs=no_namespace, every=2)
def two(trial: Trial) -> None:
    _several(trial, 2)


@kind("two-runners-one-killed", "two on one folder, one gets SIGKILL", needs=no_namespace)
def two_one_killed(trial: Trial) -> None:
    first = trial.random.choice(_several(trial, 2))
    first.wait(trial.instant())
    first.send(signal.SIGKILL)


@kind("three-runners-one-killed", "three on one folder, one gets SIGKILL", needs=no_namespace)
def three_one_killed(trial: Trial) -> None:
    first = trial.random.choice(_several(trial, 3))
    first.wait(trial.instant())
    first.send(signal.SIGKILL)


@kind("three-runners-all-killed", "three on one folder, all get SIGKILL, one after another", needs=no_namespace)
def three_all_killed(trial: Trial) -> None:
    for one in _several(trial, 3):
        one.wait(trial.instant(0.5))
        one.send(signal.SIGKILL)


@kind("two-runners-one-stopped", "two on one folder, one stands still and goes on", needs=no_namespace, every=2)
def two_one_stopped(trial: Trial) -> None:
    first, second = _several(trial, 2)
    first.wait(trial.instant())
    first.send(signal.SIGSTOP)
    second.wait(trial.random.uniform(0, 3))
    first.send(signal.SIGCONT)


@kind("two-runners-interrupted", "two on one folder, both hear Ctrl-C", needs=no_namespace, every=2)
def two_interrupted(trial: Trial) -> None:
    for one in _several(trial, 2):
        one.wait(trial.instant(0.7))
        one.send(signal.SIGINT)
