"""Files that are damaged between two runs."""

import signal
from pathlib import Path

from bench.studies.chaos.kinds import kind
from bench.studies.chaos.trial import Trial


def damage(trial: Trial, path: Path) -> None:
    """Do to a file what disks and editors do."""
    content, draw = bytearray(path.read_bytes()), trial.random
    where = draw.randrange(max(len(content), 1))
    match draw.choice(["flip", "flip", "cut", "empty", "zeros", "double", "digit", "digit", "gone", "folder"]):
        case "flip" if content:
            content[where] ^= 1 << draw.randrange(8)
        case "cut":
            del content[where:]
        case "empty":
            content.clear()
        case "zeros":
            content[where : where + 64] = bytes(len(content[where : where + 64]))
        case "double":
            content += bytes(content)
        case "digit":
            digits = [i for i, value in enumerate(content) if chr(value).isdigit()]
            if digits:
                content[draw.choice(digits)] = ord(draw.choice("0123456789"))
        case "gone":
            path.unlink()
            return
        case "folder":
            path.unlink()
            path.mkdir()
            return
    path.write_bytes(content)


def _between(trial: Trial, pattern: str, *, whole: bool) -> None:
    trial.prepared()
    trial.damaged = True
    process = trial.start()
    if not whole:
        process.wait(trial.instant(1.0))
        process.send(signal.SIGKILL)
    trial.over(process)
    files = sorted(path for path in trial.out.glob(pattern) if path.is_file())
    for path in trial.random.sample(files, min(len(files), trial.random.choice([1, 1, 3]))):
        damage(trial, path)


def _mend(trial: Trial, name: str) -> None:
    """Remove a file, or what lies in its place, once a run has asked for that by name."""

    def removed(said: str) -> None:
        if name in said:
            if (path := trial.out / name).is_dir():
                path.rmdir()
            path.unlink(missing_ok=True)
            trial.excused = True

    trial.mended = removed


@kind("damaged-record", "1 or 3 records of a finished run")
def record(trial: Trial) -> None:
    _between(trial, "cells/*.json", whole=True)


@kind("damaged-plan", "plan.json")
def plan(trial: Trial) -> None:
    _between(trial, "plan.json", whole=trial.random.random() < 0.5)
    _mend(trial, "plan.json")


@kind("damaged-suite", "suite.toml in the run's folder")
def suite(trial: Trial) -> None:
    _between(trial, "suite.toml", whole=trial.random.random() < 0.5)

    _mend(trial, "suite.toml")


@kind("damaged-checkpoint", "a checkpoint of a run that was killed")
def checkpoint(trial: Trial) -> None:
    _between(trial, "checkpoints/*", whole=False)


@kind("damaged-weights", "the weights that cells share")
def weights(trial: Trial) -> None:
    _between(trial, "weights/*", whole=False)


@kind("damaged-claim", "a claim of a run that was killed")
def claim(trial: Trial) -> None:
    _between(trial, "claims/*", whole=False)


@kind("damaged-archive", "the archive of a published run's records", every=3)
def archive(trial: Trial) -> None:
    trial.prepared()
    trial.damaged = True
    trial.over(trial.start())
    from bench.run.store import Store

    Store(trial.out).pack()
    damage(trial, trial.out / "cells.zip")
    _mend(trial, "cells.zip")


@kind("swapped-records", "two records have changed places")
def swapped(trial: Trial) -> None:
    trial.prepared()
    trial.damaged = True
    trial.over(trial.start())
    first, second = trial.random.sample(sorted(trial.out.glob("cells/*.json")), 2)
    kept = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(kept)


@kind("strange-files", "files and folders of others, with names such as ours, which must stay")
def strange(trial: Trial) -> None:
    import os
    import time

    trial.prepared()
    process = trial.start()
    process.wait(trial.instant())
    process.send(signal.SIGKILL)
    trial.over(process)
    others = [trial.out / name for name in (".mine.tmp", "cells/.notes.json.tmp", "mine/.kept.12-ab.tmp", "notes.txt")]
    for path in others:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
        os.utime(path, (time.time() - 10**6,) * 2)
    trial.over(trial.start())
    if gone := [path.name for path in others if not path.exists()]:
        trial.told.append(f"deleted files of others: {', '.join(gone)}")
