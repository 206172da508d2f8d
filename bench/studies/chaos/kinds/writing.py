"""Killed at one of the things that a run does to its files, or in the middle of a write."""

import signal

from bench.studies.chaos.inside import counted, cut, killed
from bench.studies.chaos.kinds import kind
from bench.studies.chaos.trial import Trial

_COUNTS: dict[tuple[str, bool], int] = {}


def events(trial: Trial, where: str, report: bool = False) -> int:
    """How many things a run that is left alone does to files of a place."""
    if (where, report) not in _COUNTS:
        into = trial.folder / "count"
        process = trial.start("--out", "counted", inside=[counted(where, into)], report=report)
        trial.over(process)
        _COUNTS[where, report] = int(into.read_text())
        trial.processes.remove(process)
    return _COUNTS[where, report]


def _killed_at(trial: Trial, where: str) -> None:
    trial.prepared()
    nth = trial.random.randint(1, events(trial, where))
    trial.start(inside=[killed(where, nth)])


@kind("kill-at-file", "SIGKILL before or after one of the files is opened, flushed, renamed or removed")
def at_file(trial: Trial) -> None:
    _killed_at(trial, str(trial.folder))


@kind("kill-at-record", "the same of a record's file")
def at_record(trial: Trial) -> None:
    _killed_at(trial, "/cells/")


@kind("kill-at-checkpoint", "the same of a checkpoint's file")
def at_checkpoint(trial: Trial) -> None:
    _killed_at(trial, "/checkpoints/")


@kind("kill-at-weights", "the same of the file of weights that cells share")
def at_weights(trial: Trial) -> None:
    _killed_at(trial, "/weights/")


@kind("kill-in-write", "SIGXFSZ from the kernel in the middle of a write, at 1 B to 64 kB")
def in_write(trial: Trial) -> None:
    trial.prepared()
    trial.start(inside=[cut(int(2 ** trial.random.uniform(0, 16)))])


@kind("kill-in-report", "SIGKILL while the report is written, or at one of its files", every=3)
def in_report(trial: Trial) -> None:
    trial.prepared()
    trial.over(trial.start())
    if trial.random.random() < 0.5:
        process = trial.start(report=True)
        process.wait(trial.random.uniform(0, 2.5))
        process.send(signal.SIGKILL)
    else:
        trial.start(report=True, inside=[killed(str(trial.out), trial.random.randint(1, 120))])
