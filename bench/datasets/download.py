"""Downloading a data file from the first of its mirrors that serves the right bytes."""

import logging
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.datasets.base import DataError, DataFile, need
from bench.datasets.verify import read

TIMEOUT = 30.0
"""Seconds without an answer after which a mirror is given up."""


def retrieve(file: DataFile, cache: Path) -> bytes:
    """The verified bytes of `file`, which is kept in the folder `cache` for the next time.

    What arrives stays in a scratch folder until it is verified and is then renamed, so that no partial or
    wrong file is ever found under its name, even when the process is killed or two of them download at once.

    Raises:
        DataError: no mirror serves the file, with the reason for each; or the cache cannot be written.
    """
    failures = []
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="download-", dir=cache) as scratch:
            for number, url in enumerate(file.mirrors):
                # A name for each mirror: pooch takes a file already in place, even a wrong one, as it is.
                arrived = Path(scratch, f"{number}-{Path(file.path).name}")
                try:
                    _retrieve(url, arrived)
                    content = read(arrived, file)
                except DataError:
                    failures.append(f"{url} (wrong checksum)")
                except (OSError, ValueError) as error:  # the errors of requests derive from OSError
                    failures.append(f"{url} ({_reason(error)})")
                else:
                    target = cache / file.path
                    target.parent.mkdir(parents=True, exist_ok=True)
                    arrived.replace(target)
                    return content
    except OSError as error:
        raise DataError(f"{file.path} cannot be written to the cache {cache} ({error.strerror})") from error
    raise DataError(f"tried {', '.join(failures)}")


def _retrieve(url: str, target: Path) -> None:
    pooch = need("pooch", "to download data")
    with _quiet(pooch.get_logger()):
        pooch.retrieve(
            url,
            known_hash=None,  # the caller verifies: pooch knows no git blob ids
            fname=target.name,
            path=target.parent,
            downloader=pooch.HTTPDownloader(timeout=TIMEOUT, chunk_size=1 << 16),
        )


@contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def _reason(error: Exception) -> str:
    """A download error in a few words: "HTTP 404", "connection error", "read timeout"."""
    response = getattr(error, "response", None)
    if response is not None:
        return f"HTTP {response.status_code}"
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(error).__name__).lower()
    return getattr(error, "strerror", None) or words
