"""A disk that is full, read-only, broken, or not where it was."""

import errno
import os
import resource
import shutil
from pathlib import Path

from bench.studies.chaos.inside import failing
from bench.studies.chaos.kinds import kind
from bench.studies.chaos.kinds.writing import events
from bench.studies.chaos.process import mount
from bench.studies.chaos.trial import Trial

REMOUNT, READ_ONLY = 32, 1
"""Flags of mount(2)."""


def no_mount() -> str:
    """Why nothing can be mounted here; nothing where it can."""
    return "" if os.geteuid() == 0 else "mounting needs root"


def _disk(trial: Trial, size: int) -> None:
    """A disk of its own for the run's folder; it has room again before the run goes on."""
    trial.out.mkdir()
    mount("tmpfs", trial.out, options=f"size={size}k")
    trial.closing.append(lambda: mount("tmpfs", trial.out, REMOUNT, "size=100m"))


@kind("full-disk", "a disk with room for 4 to 400 kB, which gets more before the resume", needs=no_mount)
def full_disk(trial: Trial) -> None:
    trial.prepared()
    _disk(trial, trial.random.randint(1, 100) * 4)
    trial.start()


@kind("read-only", "the disk becomes read-only at some instant", needs=no_mount)
def read_only(trial: Trial) -> None:
    trial.prepared()
    _disk(trial, 100_000)
    process = trial.start()
    process.wait(trial.instant())
    try:
        mount("tmpfs", trial.out, REMOUNT | READ_ONLY, "size=100m")
    except OSError:  # busy, as a file is being written
        process.kill()


def _error(trial: Trial, which: int, where: str = "") -> None:
    trial.prepared()
    place = where or str(trial.out)
    nth = trial.random.randint(1, events(trial, where or str(trial.folder)))
    trial.start(inside=[failing(place, nth, which, trial.random.choice([1, 1, 1000]))])


@kind("io-error", "EIO from one thing that is done to a file, or from all that follow")
def io_error(trial: Trial) -> None:
    _error(trial, errno.EIO)


@kind("stale-handle", "ESTALE, as of a network's file system that came back")
def stale_handle(trial: Trial) -> None:
    _error(trial, errno.ESTALE)


@kind("no-space-once", "ENOSPC from one thing that is done to a file, or from all that follow")
def no_space(trial: Trial) -> None:
    _error(trial, errno.ENOSPC)


@kind("quota", "a file may not grow beyond 1 B to 64 kB (EFBIG)")
def quota(trial: Trial) -> None:
    trial.prepared()
    most = int(2 ** trial.random.uniform(0, 16))
    trial.start(limits=[(resource.RLIMIT_FSIZE, most)])


@kind("few-files", "no more than a handful of open files (EMFILE)")
def few_files(trial: Trial) -> None:
    trial.prepared()
    more = trial.random.randint(2, 10)  # with one Python itself cannot import

    def inside() -> None:
        most = max(map(int, os.listdir("/proc/self/fd"))) + more
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

    trial.start(inside=[inside])


@kind("deleted", "the folder is deleted under the run")
def deleted(trial: Trial) -> None:
    trial.prepared()
    process = trial.start()
    process.wait(trial.instant())
    shutil.rmtree(trial.out, ignore_errors=True)


@kind("moved", "the folder is moved under the run, and back before the resume")
def moved(trial: Trial) -> None:
    trial.prepared()
    process = trial.start()
    process.wait(trial.instant())
    away = trial.folder / "away"
    if trial.out.exists():
        trial.out.rename(away)
    trial.over(process)
    if away.exists():
        shutil.copytree(away, trial.out, dirs_exist_ok=True)


@kind("swept", "files of one subfolder are deleted under the run")
def swept(trial: Trial) -> None:
    trial.prepared()
    process = trial.start()
    process.wait(trial.instant())
    name = trial.random.choice(["cells", "checkpoints", "weights", "claims"])
    shutil.rmtree(trial.out / name, ignore_errors=True)


@kind("clock", "files carry times of up to a year before or after now, as where a clock was set")
def clock(trial: Trial) -> None:
    import signal
    import time

    trial.prepared()
    process = trial.start(namespace=not no_mount() and trial.random.random() < 0.5)
    process.wait(trial.instant())
    process.send(signal.SIGKILL)
    trial.over(process)
    for path in _files(trial.out):
        when = time.time() + trial.random.uniform(-1, 1) * 366 * 86400
        os.utime(path, (when, when))


def _files(out: Path) -> list[Path]:
    return sorted(out.rglob("*")) if out.exists() else []
