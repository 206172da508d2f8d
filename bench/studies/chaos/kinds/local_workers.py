"""Runs over local worker processes: one of those, or the process that has the scheduler and the nannies, is hurt."""

import signal
from collections.abc import Callable

from bench.studies.chaos import cluster
from bench.studies.chaos.kinds import kind
from bench.studies.chaos.process import Process
from bench.studies.chaos.trial import Trial, pause


def _run(trial: Trial, *inside: Callable[[], None]) -> Process:
    trial.prepared()
    trial.inside += [cluster.from_server, *inside]
    trial.closing.append(lambda: trial.told.extend(filter(None, [cluster.none_left()])))
    return trial.start("--workers", "2")


def _after(trial: Trial, share: float, hurt: Callable[[Process], None], times: int) -> None:
    process = _run(trial)
    for _ in trial.until(times):
        process = trial.restarted(process, "--workers", "2")
        cluster.some_worker(trial, process)
        process.wait(trial.instant(share))
        hurt(process)


def _worker(trial: Trial, number: int, times: int = 1) -> None:
    _after(trial, 0.4, lambda process: cluster.send(trial, cluster.any_worker(trial), number), times)


@kind("worker-killed", "one of two local workers gets SIGKILL", needs=cluster.missing)
def worker_killed(trial: Trial) -> None:
    _worker(trial, signal.SIGKILL)


@kind("workers-killed", "four times one of two local workers gets SIGKILL", needs=cluster.missing, every=2)
def workers_killed(trial: Trial) -> None:
    _worker(trial, signal.SIGKILL, times=4)


@kind("worker-terminated", "one of two local workers gets SIGTERM", needs=cluster.missing, every=2)
def worker_terminated(trial: Trial) -> None:
    _worker(trial, signal.SIGTERM)


@kind("worker-stopped", "one of two local workers stands still, and goes on", needs=cluster.missing, every=2)
def worker_stopped(trial: Trial) -> None:
    process = _run(trial)
    pid = cluster.some_worker(trial, process)
    process.wait(trial.instant())
    cluster.send(trial, pid, signal.SIGSTOP)
    pause(trial.random.uniform(0, 2))
    cluster.send(trial, pid, signal.SIGCONT)


@kind(
    "workers-not-restarted",
    "both local workers get SIGKILL, and no process can be started in their place (EAGAIN)",
    needs=cluster.missing,
    every=2,
)
def not_restarted(trial: Trial) -> None:
    process = _run(trial, lambda: cluster.no_more_than(2))
    cluster.some_worker(trial, process)
    process.wait(trial.instant(2.0))  # which takes longer over workers
    for pid in cluster.workers():
        cluster.send(trial, pid, signal.SIGKILL)


def _runner(trial: Trial, number: int, times: int = 1) -> None:
    def hurt(process: Process) -> None:
        process.send(number)
        trial.over(process)

    _after(trial, 0.8, hurt, times)


@kind("runner-of-workers-killed", "the process that has two local workers gets SIGKILL", needs=cluster.missing)
def runner_killed(trial: Trial) -> None:
    _runner(trial, signal.SIGKILL)


@kind("runners-of-workers-killed", "the same, four times in a row", needs=cluster.missing, every=3)
def runners_killed(trial: Trial) -> None:
    _runner(trial, signal.SIGKILL, times=4)


@kind("runner-of-workers-interrupted", "the same, with Ctrl-C", needs=cluster.missing)
def runner_interrupted(trial: Trial) -> None:
    _runner(trial, signal.SIGINT)


@kind("runner-of-workers-terminated", "the same, with SIGTERM", needs=cluster.missing, every=2)
def runner_terminated(trial: Trial) -> None:
    _runner(trial, signal.SIGTERM)
