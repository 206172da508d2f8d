"""Downloading a data file from the first of its mirrors that serves the right bytes."""

import os
import re
import shutil
import stat
import tempfile
import threading
import time
from collections.abc import Generator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench.datasets.base import DataError, DataFile, need
from bench.datasets.verify import most_of_a_copy, read

SILENCE = 30.0
"""Seconds without an answer after which a mirror is given up."""
GRACE = 60.0
"""Seconds that a mirror has for an answer and the first bytes, however few come."""
SLOWEST = 50_000
"""Bytes a second that must have come on average beyond that, or the mirror is given up, however steadily it drips."""
STALE = 3600.0
"""Seconds after which the scratch folder of a download is that of a process that was killed: none takes as long."""
_CHUNK = 1 << 16
_SCRATCH = re.compile(r"download-[a-z0-9_]{8}")
_ARRIVED = re.compile(r"\d+-.+")


class Failed(Exception):
    """A mirror did not serve the file; the message says why in a few words."""


def retrieve(file: DataFile, cache: Path) -> bytes:
    """What a parser takes of `file`, verified; the file is kept in the folder `cache` for the next time.

    What arrives stays in a scratch folder until it is verified and on the disk, and is then renamed, so that no partial
    or wrong file is ever found under its name, even when the process is killed or two of them download at once.

    Raises:
        DataError: no mirror serves the file, with the reason for each; or the cache cannot be written.
    """
    need("requests", "to download data")
    failures = []
    try:
        cache.mkdir(parents=True, exist_ok=True)
        _sweep(cache)
        with tempfile.TemporaryDirectory(prefix="download-", dir=cache, ignore_cleanup_errors=True) as scratch:
            for number, url in enumerate(file.mirrors):
                arrived = Path(scratch, f"{number}-{Path(file.path).name}")
                try:
                    _Download(url, arrived, most_of_a_copy(file)).wait()
                    content = read(arrived, file)
                except Failed as error:
                    failures.append((url, str(error)))
                except DataError:
                    failures.append((url, _wrong(arrived)))
                else:
                    target = cache / file.path
                    target.parent.mkdir(parents=True, exist_ok=True)
                    arrived.replace(target)
                    return content
                arrived.unlink(missing_ok=True)  # a full disk has room for the next mirror's
    except OSError as error:
        raise DataError(f"the cache cannot be written ({error.strerror})") from error
    raise DataError(_told(failures))


class _Download:
    """One download, in a thread of its own: a name server or a head of an answer that drips heeds no timeout."""

    def __init__(self, url: str, target: Path, most: int) -> None:
        self.url, self.target, self.most = url, target, most
        self.came = 0
        self.given_up = threading.Event()
        self.fault: Exception | None = None
        self.thread = threading.Thread(target=self._run, name=f"download of {target.name}", daemon=True)

    def wait(self) -> None:
        """Return when the whole file is on the disk.

        Raises:
            Failed: the mirror did not serve it.
            OSError: it cannot be written.
        """
        until = time.monotonic() + GRACE
        self.thread.start()
        try:
            while self.thread.is_alive():
                left = until + self.came / SLOWEST - time.monotonic()
                if left <= 0:
                    raise Failed(f"too slow: {self.came} bytes in {GRACE + self.came / SLOWEST:.0f} s")
                self.thread.join(min(left, 1.0))
        finally:
            self.given_up.set()
        if self.fault:
            raise self.fault

    def _run(self) -> None:
        try:
            with closing(self._chunks()) as chunks, open(self.target, "wb") as file:
                for chunk in chunks:
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
        except Exception as error:
            self.fault = error

    def _chunks(self) -> Generator[bytes, None, None]:
        """What the mirror sends, as it lies there: packed where it is packed."""
        import requests
        import urllib3

        try:
            with (
                _session() as session,
                session.get(self.url, stream=True, timeout=SILENCE, headers={"Accept-Encoding": "identity"}) as answer,
            ):
                if answer.status_code != 200:
                    raise Failed(f"HTTP {answer.status_code}")
                announced = answer.headers.get("Content-Length", "")
                if announced.isdecimal() and int(announced) > self.most:
                    raise Failed(f"announces {announced} bytes, more than the file has")
                # read1 returns what is there; read would wait until a chunk is whole.
                while not self.given_up.is_set() and (chunk := answer.raw.read1(_CHUNK, decode_content=False)):
                    self.came += len(chunk)
                    if self.came > self.most:
                        raise Failed("sends more bytes than the file has")
                    yield chunk
        except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
            if getattr(error, "response", None) is not None:  # as of a redirect too many
                error.response.close()  # type: ignore[union-attr]
            raise Failed(_reason(error)) from error


def _session() -> Any:
    """A session that follows a redirect to another address of the web, but from https to https alone."""
    import requests

    class Session(requests.Session):
        def get_redirect_target(self, resp: requests.Response) -> str | None:
            target = super().get_redirect_target(resp)
            if target is not None:
                before, after = urlsplit(resp.url).scheme, urlsplit(target).scheme
                if after and after not in {"https", before}:
                    resp.close()
                    raise Failed(f"redirects from {before} to {after}")
            return target

    return Session()


def _sweep(cache: Path) -> None:
    """Remove the scratch folders of killed downloads: those of this user that hold nothing else, and are old."""
    for folder in cache.glob("download-*"):
        with suppress(OSError):
            found = folder.lstat()
            ours = stat.S_ISDIR(found.st_mode) and (not hasattr(os, "getuid") or found.st_uid == os.getuid())
            if not (ours and _SCRATCH.fullmatch(folder.name)):
                continue
            inside = list(folder.iterdir())
            newest = max(found.st_mtime, *(path.lstat().st_mtime for path in inside), 0)
            if time.time() - newest > STALE and all(_ARRIVED.fullmatch(path.name) for path in inside):
                shutil.rmtree(folder)


def _wrong(arrived: Path) -> str:
    """Why what arrived is not the file, in a few words."""
    with open(arrived, "rb") as file:
        start = file.read(256).lstrip().lower()
    return "a page in its place" if start.startswith((b"<!doctype", b"<html")) else "wrong checksum"


def _told(failures: list[tuple[str, str]]) -> str:
    """Why each mirror failed; in one word where all did so alike."""
    if not failures:
        return "no mirror is known"
    reasons = {reason for _, reason in failures}
    if len(failures) > 1 and len(reasons) == 1:
        return f"{len(failures)} mirrors: {reasons.pop()}"
    return ", ".join(f"{urlsplit(url).netloc}: {reason}" for url, reason in failures)


def _reason(error: Exception) -> str:
    """A download error in a few words: "connection error", "read timeout", "SSL error"."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=SSL)(?=E)", " ", type(error).__name__)
    return words.lower().replace("ssl", "SSL")
