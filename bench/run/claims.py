"""Claims: which of several runners on one folder has which cell, so that they share its work and do none of it twice.

    DIR/claims/<cell id>.json        made by the runner that takes the cell, and by no other then; gone at its end
    DIR/claims/alone-<machine>.json  the same for a machine, while a runner measures times there
    DIR/claims/runner-<token>.json   a runner's heartbeat, touched every `BEAT` seconds for as long as it runs

A runner that is killed leaves its claims. Those of cells mark what was under way, one of which may have killed it. The
next runner takes such a cell over, and knows how often a runner died of it or beside it.

Nothing depends on a claim being right: two runners with one cell, as when one of them was stopped for a minute and goes
on, write the same record twice. Nothing here needs torch.
"""

import json
import os
import platform
import re
import secrets
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, Self

from bench.run.files import MEGABYTE, Unreadable, content_of, put_aside, write_atomic

BEAT = 5.0
"""Seconds between two heartbeats."""
STALE = 6 * BEAT
"""Seconds without a heartbeat after which a runner is taken for dead, where its process cannot be asked after."""
LARGEST = MEGABYTE
"""Of a claim, and of a heartbeat."""
_CELL = re.compile(r"[0-9a-f]{16}")
_ALONE = "alone-"


def _start_of(pid: int) -> str | None:
    """When a process began, as its kernel counts; None where there is no such process, or no /proc."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    return None


@cache
def kernel() -> str:
    """The machine, however many containers run on it: the boot of its kernel, else its name."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return platform.node()


@cache
def _pids_of() -> str:
    """Among whose processes a number means the same process as here."""
    with suppress(OSError):
        return os.readlink("/proc/self/ns/pid")
    return platform.node()


def _alone() -> str:
    """The name under which a runner claims this machine."""
    return f"{_ALONE}{kernel()}"


class Runner(NamedTuple):
    """A runner, as its heartbeat says."""

    token: str
    host: str
    """The machine's name."""
    pid: int
    kernel: str
    """See `kernel`."""
    pids: str
    """The namespace of its pid."""
    start: str | None
    """Of its process, which tells it from a later one with its pid."""

    @property
    def words(self) -> str:
        """Where it runs, for a sentence."""
        return f"process {self.pid} on {self.host}"

    @property
    def is_gone(self) -> bool:
        """Whether its process is known to have ended; false as well where it cannot be asked after from here."""
        if (self.kernel, self.pids) != (kernel(), _pids_of()):
            return False
        if self.start is not None:
            return _start_of(self.pid) != self.start
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except OSError:  # another user's
            return False
        return False


class Claim(NamedTuple):
    """What a claim says."""

    cell: str
    token: str
    """Of the runner that made it."""
    deaths: int
    """How many runners in a row ended while they had the cell, none of which got any further with it."""
    step: int
    """How far the cell was when it was taken."""
    title: str
    """Of the cell."""


def _read(path: Path) -> dict[str, Any]:
    """What a file of ours holds; nothing where it is gone, or torn."""
    for _ in range(20):
        with suppress(OSError, Unreadable, ValueError, RecursionError):
            found = json.loads(content_of(path, LARGEST) or b"")
            if isinstance(found, dict):
                return found
        try:
            if time.time() - path.stat().st_mtime > 1:
                break
        except OSError:
            break
        time.sleep(0.01)  # it may be about to be written
    return {}


class Board:
    """The claims of a folder, for whoever looks on: it writes nothing."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "claims"

    def path(self, cell: str) -> Path:
        """Where the claim of a cell is."""
        return self.folder / f"{cell}.json"

    def _beat(self, token: str) -> Path:
        return self.folder / f"runner-{token}.json"

    def claim(self, cell: str) -> Claim | None:
        """The claim of a cell; None where there is none."""
        if not self.path(cell).is_file():
            return None
        found = _read(self.path(cell))
        token, deaths, step = found.get("runner"), found.get("deaths"), found.get("step")
        # One that is torn was left by a runner that was killed as it made it.
        return Claim(
            cell,
            token if isinstance(token, str) and token.isalnum() else "",
            deaths if type(deaths) is int and 0 <= deaths < 1000 else 0,  # it goes into a record
            step if isinstance(step, int) else 0,
            str(found.get("title", cell)),
        )

    def claims(self) -> Iterator[Claim]:
        """All of them, by cell id."""
        for path in sorted(self.folder.glob("*.json")):
            if _CELL.fullmatch(path.stem) and (found := self.claim(path.stem)) is not None:
                yield found

    def runner(self, token: str) -> Runner | None:
        """A runner that is alive, as far as can be told; None where it is dead."""
        found = _read(self._beat(token)) if token else {}
        try:
            host, kernel_, pids = (str(found[key]) for key in ("host", "kernel", "pids"))
            start = None if found["start"] is None else str(found["start"])
            runner = Runner(token, host, int(found["pid"]), kernel_, pids, start)
            age = self._now() - self._beat(token).stat().st_mtime
        except (KeyError, TypeError, ValueError, OverflowError, OSError):
            return None
        # A beat of the future is that of a runner that died before the clock was set back: a living one would have
        # dated it anew.
        return None if abs(age) > STALE or runner.is_gone else runner

    def _now(self) -> float:
        """The time on the clock that dates the folder's files."""
        return time.time()

    def owner(self, cell: str) -> Runner | None:
        """The runner that has a cell; None where no living one has."""
        found = self.claim(cell)
        return self.runner(found.token) if found else None

    @property
    def timing(self) -> Runner | None:
        """The living runner that measures times on this machine, beside which nothing is to begin."""
        return self.owner(_alone())

    def running(self) -> dict[str, tuple[Claim, Runner]]:
        """The claims of living runners, by cell, with those."""
        living: dict[str, Runner | None] = {}
        found = {}
        for claim in self.claims():
            if claim.token not in living:
                living[claim.token] = self.runner(claim.token)
            if (runner := living[claim.token]) is not None:
                found[claim.cell] = claim, runner
        return found


class Claims(Board):
    """A runner's own claims, and those of others, in a `with` block.

    Args:
        root: the run's folder.
        step_of: how far a cell's checkpoint is, which tells whether it got any further since it was taken.
    """

    def __init__(self, root: Path, step_of: Callable[[str], int] = lambda cell: 0) -> None:
        super().__init__(root)
        self.token = secrets.token_hex(8)
        self.step_of = step_of
        self._mine: dict[str, int] = {}
        self._ended = threading.Event()

    def __enter__(self) -> Self:
        pid = os.getpid()
        self._self = Runner(self.token, platform.node(), pid, kernel(), _pids_of(), _start_of(pid))
        self._beat_once()
        self._thread = threading.Thread(target=self._keep_beating, name="heartbeat", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        for cell in [*self._mine]:
            self.release(cell)
        for machine in self._alone_and_dead():
            with suppress(OSError):
                self._cleared(machine)
        for path in (self._beat(self.token), *self._of_the_dead()):
            with suppress(OSError):
                path.unlink()
        with suppress(OSError):  # others are at work in it, or a dead runner's claims lie there
            self.folder.rmdir()

    def _alone_and_dead(self) -> list[Claim]:
        """Claims of a machine by runners that are dead. They mark no cell: what was measured has a claim of its own."""
        found = filter(None, (self.claim(path.stem) for path in self.folder.glob(f"{_ALONE}*.json")))
        return [claim for claim in found if self.runner(claim.token) is None]

    def _of_the_dead(self) -> list[Path]:
        """Heartbeats that stopped; the claims of such runners lie on, and say what they need to."""
        tokens = (path.stem.removeprefix("runner-") for path in self.folder.glob("runner-*.json"))
        return [self._beat(token) for token in tokens if self.runner(token) is None]

    def _beat_once(self) -> None:
        try:
            os.utime(self._beat(self.token))
        # At first, where somebody emptied the folder, or put a file in its place, which the error names then.
        except (FileNotFoundError, NotADirectoryError):
            write_atomic(self._beat(self.token), json.dumps(self._self._asdict()).encode())

    def _keep_beating(self) -> None:
        while not self._ended.wait(BEAT):
            with suppress(OSError):  # a full disk, a folder that cannot be written: the run itself will find out
                self._beat_once()

    def _now(self) -> float:
        """By our own heartbeat, since the file system may be another machine's and date by that one's clock."""
        with suppress(OSError):
            os.utime(self._beat(self.token))
            return self._beat(self.token).stat().st_mtime
        with suppress(OSError), tempfile.TemporaryFile(dir=self.folder) as dated:  # before there is a heartbeat
            return os.fstat(dated.fileno()).st_mtime
        return super()._now()

    def _make(self, cell: str, content: dict[str, Any]) -> None:
        """Make a claim that is not there yet.

        Raises:
            FileExistsError: it is there.
        """
        self.folder.mkdir(parents=True, exist_ok=True)  # another runner may have removed it at its end
        with self.path(cell).open("x") as file:
            file.write(json.dumps(content))

    def take(self, cell: str, title: str = "") -> Runner | None:
        """Claim a cell; returns the living runner that has it already, None where it is ours now."""
        while True:
            found = self.claim(cell)
            if found is not None:
                if (owner := self.runner(found.token)) is not None:
                    return None if owner.token == self.token else owner
                if not self._cleared(found):
                    continue
            deaths, step = self._deaths_of(found), self.step_of(cell)
            try:
                self._make(cell, {"runner": self.token, "deaths": deaths, "step": step, "title": title})
            except FileExistsError:
                self._put_aside_what_is_no_file(self.path(cell))
                continue
            except FileNotFoundError:
                continue
            self._mine[cell] = deaths
            return None

    def _put_aside_what_is_no_file(self, path: Path) -> None:
        """Rename a folder, a pipe or a link to nowhere, of whose ever making: no claim could be made in its place."""
        with suppress(FileNotFoundError):
            if not path.is_file() and not stat.S_ISREG(path.lstat().st_mode):
                put_aside(path)

    def _cleared(self, dead: Claim) -> bool:
        """Move a dead runner's claim away, which a single one can of several that found it."""
        path, away = self.path(dead.cell), self.folder / f".{dead.cell}.json.{os.getpid()}-{self.token[:8]}.tmp"
        if self.claim(dead.cell) != dead:  # another runner has cleared it since
            return False
        try:
            path.rename(away)
        except FileNotFoundError:
            return False
        try:
            ours = str(_read(away).get("runner", "")) == dead.token or not dead.token
            if not ours:  # another runner was as quick, and has made its own claim since
                with suppress(OSError):
                    os.link(away, path)
            return ours
        finally:
            away.unlink(missing_ok=True)

    def put_back(self, cell: str, title: str = "") -> None:
        """Leave a cell of ours as its dead runner had left it, for whoever takes it next."""
        before = {"runner": "", "deaths": self._mine.pop(cell) - 1, "step": self.step_of(cell), "title": title}
        write_atomic(self.path(cell), json.dumps(before).encode())

    def deaths(self, cell: str) -> int:
        """How many runners in a row died while they had a cell that is ours now, and got no further with it."""
        return self._mine.get(cell, 0)

    def _deaths_of(self, claim: Claim | None) -> int:
        if claim is None:
            return 0
        return 1 if self.step_of(claim.cell) > claim.step else claim.deaths + 1

    def left_behind(self) -> dict[str, int]:
        """The cells that were under way when a runner died, with how many such deaths there were in a row."""
        living = self.running()
        return {claim.cell: self._deaths_of(claim) for claim in self.claims() if claim.cell not in living}

    def release(self, cell: str) -> None:
        """Give a cell of ours free again: it is done, or was left in good order."""
        self._mine.pop(cell, None)
        if (found := self.claim(cell)) is not None and found.token == self.token:  # or another took it over meanwhile
            with suppress(OSError):
                self.path(cell).unlink()

    @contextmanager
    def alone(self, wait: Callable[[], None]) -> Iterator[None]:
        """Nothing else of this folder's runs on this machine inside, by whatever runner.

        Args:
            wait: called until that is so; may raise to give up.
        """
        while self.take(_alone()):
            wait()
        try:
            while any(
                runner.kernel == kernel() and runner.token != self.token for _, runner in self.running().values()
            ):
                wait()
            yield
        finally:
            self.release(_alone())

    @property
    def kept_out(self) -> bool:
        """Whether another runner measures times on this machine, beside which nothing is to begin."""
        return (owner := self.timing) is not None and owner.token != self.token

    def drop(self, cell: str) -> None:
        """Remove what a dead runner left of a cell that is done."""
        if cell not in self._mine and self.owner(cell) is None:
            with suppress(OSError):
                self.path(cell).unlink()
