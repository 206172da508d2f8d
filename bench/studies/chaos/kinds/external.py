"""Runs that send their cells to a scheduler of dask which is there already, and of which some part is hurt."""

import inspect
import signal
from collections.abc import Callable

from bench.studies.chaos import cluster
from bench.studies.chaos.cluster import External
from bench.studies.chaos.kinds import kind
from bench.studies.chaos.process import Process
from bench.studies.chaos.trial import Trial


def missing() -> str:
    """Why there is no scheduler here; nothing where there is."""
    from bench.cli.run import run_verb

    if "scheduler" not in inspect.signature(run_verb).parameters:
        return "`gradest run` has no --scheduler"
    return cluster.missing()


def _not_ours() -> str:
    """What a cluster's own workers write is for whoever started them."""
    cluster.said()
    return ""


def _run(trial: Trial) -> tuple[External, Process]:
    trial.prepared()
    trial.closing.append(lambda: trial.told.extend(filter(None, [cluster.none_left()])))
    trial.workers_said = _not_ours
    external = External(trial)
    trial.meanwhile = external.replace
    return external, trial.start("--scheduler", external.address)


def _after(trial: Trial, hurt: Callable[[External, Process], None], times: int = 1) -> None:
    external, process = _run(trial)
    for _ in trial.until(times):
        external.replace()
        external.ready()
        process = trial.restarted(process, "--scheduler", external.address)
        cluster.some_worker(trial, process)
        process.wait(trial.instant(0.6))
        hurt(external, process)


@kind("external-worker-killed", "a worker of a scheduler outside gets SIGKILL", needs=missing)
def worker_killed(trial: Trial) -> None:
    def hurt(external: External, process: Process) -> None:
        cluster.send(trial, cluster.any_worker(trial), signal.SIGKILL)

    _after(trial, hurt, times=4)


@kind("external-nanny-killed", "a worker's nanny gets SIGKILL, and another worker comes", needs=missing)
def nanny_killed(trial: Trial) -> None:
    def hurt(external: External, process: Process) -> None:
        external.lose(trial.random.randrange(2))
        external.replace()

    _after(trial, hurt)


@kind(
    "external-workers-gone",
    "all its workers are lost, those that come instead are killed as they start, and others come",
    needs=missing,
)
def workers_gone(trial: Trial) -> None:
    def hurt(external: External, process: Process) -> None:
        for which in range(len(external.nannies)):
            external.lose(which)
        external.replace()
        external.kill_at_start()
        external.replace()

    _after(trial, hurt)


@kind("external-scheduler-killed", "the scheduler gets SIGKILL, and comes back", needs=missing)
def scheduler_killed(trial: Trial) -> None:
    def hurt(external: External, process: Process) -> None:
        external.scheduler.send(signal.SIGKILL)
        trial.signals += 1
        external.scheduler.wait(10)
        external.scheduler = external.start_scheduler()

    _after(trial, hurt)


@kind("external-runner-killed", "the run gets SIGKILL, its workers stay", needs=missing)
def runner_killed(trial: Trial) -> None:
    external, process = _run(trial)
    for _ in trial.until(4):
        process = trial.restarted(process, "--scheduler", external.address)
        process.wait(trial.instant(0.8))
        process.send(signal.SIGKILL)
        trial.over(process)


@kind("external-runner-interrupted", "the run hears Ctrl-C, its workers stay", needs=missing)
def runner_interrupted(trial: Trial) -> None:
    _, process = _run(trial)
    process.wait(trial.instant())
    process.send(signal.SIGINT)
