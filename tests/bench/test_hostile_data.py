"""Mirrors and files that are broken or mean harm: each is one line, in bounded time, space and memory."""

import gzip
import os
import resource
import shutil
import signal
import socket
import ssl
import subprocess
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import urllib3

from bench.datasets import DataError, DataFile, base, download, files, idx, verify
from bench.datasets.verify import checksum, read
from tests.bench.hostile_server import OK, Hostile
from tests.bench.test_data_files import CONTENT, Place, failure, placed
from tests.bench.test_datasets import INFOS, idx_bytes, mat_bytes


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    with placed(tmp_path, monkeypatch) as place:
        yield place


@pytest.fixture
def hostile(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hostile]:
    """Such a server, and more patience than a busy machine needs; a test of what is slow takes less."""
    monkeypatch.setattr(download, "SILENCE", 20.0)
    monkeypatch.setattr(download, "GRACE", 20.0)
    server = Hostile()
    yield server
    server.over.set()
    server.listening.close()


def sized(mirror: str, **settings: object) -> DataFile:
    """A file of a known size at this mirror."""
    return DataFile(**{  # type: ignore[arg-type]
        "path": "family/rows.amat", "checksum": checksum(CONTENT, "sha256"), "mirrors": (mirror,),
        "most": len(CONTENT), **settings,
    })  # fmt: skip


def told(file: DataFile, place: Place) -> str:
    """Why the mirror failed; nothing of what it sent is left."""
    message = failure(lambda: files.fetch(file))
    assert [*place.cache.iterdir()] == []
    return message.rpartition("; put ")[0].rpartition("; ")[2].partition(": ")[2]


# Mirrors


@pytest.mark.parametrize(
    "start",
    [
        b"HTTP/1.1 200 OK\r\nX-Slow: ",
        OK + b"Content-Length: 8000\r\n\r\n",
        OK + b"\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n1f40\r\n",
    ],
    ids=["head", "body", "without-length", "chunk"],
)
def test_a_mirror_that_drips_is_given_up_at_the_deadline(
    place: Place, hostile: Hostile, start: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each drop comes within the timeout, so that it alone would wait for ever."""
    monkeypatch.setattr(download, "GRACE", 0.4)
    hostile.drips(start, b"0")
    begun = time.monotonic()
    assert told(sized(hostile.url), place).startswith("too slow: ")
    assert time.monotonic() - begun < 5


def test_a_silent_mirror_is_given_up(place: Place, hostile: Hostile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "SILENCE", 0.4)
    hostile.answer = lambda wire: hostile.over.wait() and None
    assert told(sized(hostile.url), place) == "read timeout"


def test_a_slow_line_has_the_time_that_its_bytes_need(
    place: Place, hostile: Hostile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The deadline moves with what has come, so that a large file on a slow line is no drip."""
    monkeypatch.setattr(download, "GRACE", 0.4)
    monkeypatch.setattr(download, "SLOWEST", len(CONTENT) / 4)

    def answer(wire: socket.socket) -> None:
        wire.sendall(OK + f"Content-Length: {len(CONTENT)}\r\n\r\n".encode())
        for start in range(0, len(CONTENT), 1000):
            time.sleep(0.1)
            wire.sendall(CONTENT[start : start + 1000])

    hostile.answer = answer
    assert files.fetch(sized(hostile.url)) == CONTENT


@pytest.mark.parametrize("start", [OK + b"\r\n", OK + b"Content-Encoding: gzip\r\n\r\n"], ids=["plain", "encoded"])
def test_a_mirror_that_never_ends_is_left_at_the_size_of_the_file(place: Place, hostile: Hostile, start: bytes) -> None:
    hostile.floods(start)
    assert told(sized(hostile.url), place) == "sends more bytes than the file has"
    assert hostile.sent < 20 << 20  # what the buffers of a connection hold, where the file has 8000 bytes


def test_a_file_that_is_announced_too_large_is_not_begun(place: Place, hostile: Hostile) -> None:
    hostile.floods(OK + b"Content-Length: 10737418240\r\n\r\n")
    assert told(sized(hostile.url), place) == "announces 10737418240 bytes, more than the file has"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (OK + b"Content-Length: 8\r\n\r\n" + CONTENT, "wrong checksum"),
        (OK + b"Content-Length: 9000\r\n\r\n" + CONTENT, "protocol error"),
        (OK + b"Content-Length: -1\r\n\r\n" + CONTENT[:-1], "wrong checksum"),
        (OK + b"Content-Length: 12\r\n\r\n<html>moved</html>", "a page in its place"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n0\r\n", "protocol error"),
        (b"HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n<html>no such page</html>", "HTTP 404"),
        (b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n", "HTTP 204"),
        (b"HTTP/1.1 206 Partial Content\r\nConnection: close\r\n\r\n" + CONTENT[:10], "HTTP 206"),
        (b"\x16\x03\x01 this is no web server", "connection error"),
        (b"", "connection error"),
    ],
    ids=["short", "cut", "negative", "page", "chunk", "404", "204", "206", "no-http", "nothing"],
)
def test_what_is_not_the_file_is_passed_over_with_its_reason(
    place: Place, hostile: Hostile, answer: bytes, why: str
) -> None:
    hostile.says(answer)
    assert told(sized(hostile.url), place) == why


def test_a_file_that_a_server_packs_on_the_way_is_the_file(place: Place, hostile: Hostile) -> None:
    """Though it was asked not to."""
    hostile.says(OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(CONTENT))
    file = sized(hostile.url)
    assert files.fetch(file) == CONTENT == files.fetch(from_the_cache_alone(file))


def from_the_cache_alone(file: DataFile) -> DataFile:
    """The same file, which only the cache can give."""
    return DataFile(file.path, file.checksum, (), most=file.most)


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("file:///etc/passwd", "redirects from http to file"),
        ("ftp://127.0.0.1/rows.amat", "redirects from http to ftp"),
        ("FILE:///etc/passwd", "redirects from http to file"),
        ("/rows.amat", "too many redirects"),
    ],
)
def test_a_redirect_leaves_the_web_never_and_ends(place: Place, hostile: Hostile, target: str, why: str) -> None:
    hostile.says(f"HTTP/1.1 302 Found\r\nConnection: close\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n".encode())
    assert told(sized(hostile.url), place) == why


def test_a_redirect_within_the_web_is_followed(place: Place, hostile: Hostile) -> None:
    place.served["/there"] = CONTENT
    head = f"HTTP/1.1 301 Moved\r\nConnection: close\r\nLocation: {place.url}/there\r\n\r\n"
    hostile.says(head.encode())
    assert files.fetch(sized(hostile.url)) == CONTENT


def test_a_redirect_from_https_to_http_is_refused() -> None:
    """On the way to a file that would be verified anyhow; but nobody on the way need learn of it."""
    answer = requests.Response()
    answer.url, answer.status_code = "https://a.example/rows", 302
    answer.raw = urllib3.HTTPResponse()
    answer.headers["Location"] = "http://b.example/rows"
    with pytest.raises(download.Failed, match=r"^redirects from https to http$"):
        download._session().get_redirect_target(answer)
    answer.headers["Location"] = "https://b.example/rows"
    assert download._session().get_redirect_target(answer) == "https://b.example/rows"


def test_a_server_that_cannot_prove_who_it_is_is_passed_over(place: Place, hostile: Hostile, tmp_path: Path) -> None:
    """One whose certificate nobody signed, and one that does not speak TLS at all."""
    hostile.says(OK + b"\r\n" + CONTENT)
    url = hostile.url.replace("http:", "https:")
    assert told(sized(url), place) == "SSL error"
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate")
    key, own = tmp_path / "key.pem", tmp_path / "own.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=127.0.0.1", "-keyout", key,
         "-out", own, "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True,
    )  # fmt: skip
    hostile.wrapped = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    hostile.wrapped.load_cert_chain(own, key)
    assert told(sized(url), place) == "SSL error"


# The disk


def test_no_space_left_is_said_of_the_cache_and_of_no_mirror(place: Place, tmp_path: Path) -> None:
    """A limit on the size of files stands in for a small disk where none can be mounted."""
    place.served["/rows.amat"] = CONTENT
    file = place.file(f"{place.url}/rows.amat")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        message = failure(lambda: files.fetch(file))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "; the cache cannot be written (File too large); " in message
    assert [*place.cache.iterdir()] == []

    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "small", small], capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        place.cache = small
        assert "; the cache cannot be written (No space left on device); " in failure(lambda: files.fetch(file))
        assert [*small.iterdir()] == []
        subprocess.run(["mount", "-o", "remount,ro", small], check=True)
        assert "; the cache cannot be written (Read-only file system); " in failure(lambda: files.fetch(file))
    finally:
        subprocess.run(["umount", small], check=True)


def test_what_a_killed_download_leaves_is_removed_an_hour_later_and_nothing_else(
    place: Place, hostile: Hostile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "GRACE", 60.0)
    hostile.drips(OK + b"Content-Length: 8000\r\n\r\n", b"0")
    child = os.fork()
    if not child:
        try:
            files.fetch(sized(hostile.url))
        finally:
            os._exit(1)
    until = time.monotonic() + 20
    while not [*place.cache.glob("download-*/0-rows.amat")] and time.monotonic() < until:
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    (left,) = place.cache.glob("download-*")

    others = [place.cache / name for name in ("download-of-mine", "download-abcd1234", "download-abcd5678")]
    for other in others[:2]:
        other.mkdir()
    place.put(others[1], "thesis.txt", b"years of work")
    others[2].symlink_to(others[1])
    place.served["/rows.amat"] = CONTENT
    file = place.file(f"{place.url}/rows.amat")
    assert files.fetch(file) == CONTENT
    assert left.is_dir()  # it may be at work

    (place.cache / file.path).unlink()
    past = time.time() - 2 * download.STALE
    for path in (*left.iterdir(), left, *others[1].iterdir(), *others[:2]):
        os.utime(path, (past, past))
    assert files.fetch(file) == CONTENT
    assert not left.exists() and all(other.exists() for other in others) and [*others[1].iterdir()]


# Files


@pytest.mark.parametrize("folder", ["own", "cache"])
@pytest.mark.parametrize("kind", ["pipe", "socket", "device", "folder"])
def test_what_is_no_file_is_said_at_once(place: Place, folder: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """To open a pipe would block until somebody writes into it."""
    path = getattr(place, folder) / "family/rows.amat"
    path.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as unix:
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "socket":
            monkeypatch.chdir(path.parent)  # the path of a socket has but 100 bytes
            unix.bind(path.name)
        elif kind == "device":
            path.symlink_to("/dev/zero")
        else:
            path.mkdir()
        said = {"folder": "Is a directory"}.get(kind, f"a {kind}, not a file")
        with pytest.raises(DataError, match=rf"^{path} cannot be read \({said}\)$"):
            read(path, place.file())
        message = failure(lambda: files.fetch(place.file()))
        if folder == "own":
            assert f"cannot be read ({said})" in message
        assert Path("/dev/zero").exists()  # a link is removed from the cache, and never what it leads to


def bomb(size: int) -> bytes:
    """A gzip stream that unpacks to this many zeros, of a thousandth of that."""
    piece = gzip.compress(bytes(1 << 24), 9)
    return piece * (size >> 24)


@pytest.mark.parametrize("name", ["rows.amat", "rows.amat.gz"])
def test_an_archive_that_unpacks_to_ten_gibibytes_is_not_unpacked(place: Place, name: str) -> None:
    """Of the 10 MB of it no more is read than a file of this size can have."""
    path = place.put(place.own, f"family/{name}", bomb(10 << 30))
    small = gzip.compress(bytes(1 << 23), 9)
    assert len(small) < 9000  # so that all of it is read
    file = sized("https://a.example/rows.amat")
    tracemalloc.start()
    try:
        assert "is corrupt" in failure(lambda: files.fetch(file))
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
        path.write_bytes(small)
        assert "found more than the 8000 bytes that it should unpack to" in failure(lambda: files.fetch(file))
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_a_file_that_is_not_the_right_one_is_parsed_by_nobody(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A MATLAB file may hold what unpacks to much, and what breaks a parser: only the right one is given to it."""
    asked = []
    info = INFOS["omniglot"]
    monkeypatch.setitem(base.SOURCES.entries, "omniglot", base.Source(info, lambda *given: asked.append(given)))
    place.put(place.own, info.files[0].path, mat_bytes(data=gzip_of_zeros(), testdata=gzip_of_zeros()))
    from bench import datasets

    assert "is corrupt" in failure(lambda: datasets.load("omniglot")) and asked == []


def gzip_of_zeros() -> object:
    """An array that MATLAB packs to a thousandth."""
    import numpy as np

    return np.zeros((1000, 1000), dtype=np.uint8)


def test_a_file_that_changes_while_it_is_read_is_not_called_corrupt(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = place.put(place.own, "family/rows.amat", CONTENT[:-8])
    looked = []

    def fstat(descriptor: int) -> os.stat_result:
        if looked:
            path.write_bytes(CONTENT)  # the writer goes on between the two looks
        looked.append(descriptor)
        return os.stat(descriptor)

    monkeypatch.setattr(verify.os, "fstat", fstat)
    assert "changed while it was read; try again when nothing writes to it" in failure(
        lambda: files.fetch(place.file())
    )


@pytest.mark.parametrize("name", ["train.gz", "train", "train.gz.gz"])
@pytest.mark.parametrize("packed", [None, 1, 9])
def test_good_images_are_good_however_they_are_packed(place: Place, name: str, packed: int | None) -> None:
    """By the checksum of what is inside, where the official one is of the packed bytes."""
    import numpy as np

    content = idx_bytes(np.arange(60, dtype=np.uint8).reshape(5, 3, 4))
    official = gzip.compress(content, 6, mtime=1)
    inside = base.Inside(checksum(content, "sha256"), len(content))
    file = DataFile("family/train.gz", checksum(official, "sha256"), (), most=len(official), inside=inside)
    path = place.put(place.own, f"family/{name}", content if packed is None else gzip.compress(content, packed))
    assert files.fetch(file) == content
    path.write_bytes(content[:-1] + b"x" if packed is None else gzip.compress(content[:-1] + b"x", packed))
    assert "is corrupt" in failure(lambda: files.fetch(file))


def test_every_file_states_its_size() -> None:
    """Those of static MNIST, 1568 bytes a row; of images, a byte a pixel behind 16 of the head."""
    every = {file.path: file for info in INFOS.values() for file in info.files}
    assert {path: file.most for path, file in every.items()} == {
        "digits.csv": 261118,
        "breast-cancer.csv": 119889,
        "binarized_mnist/binarized_mnist_train.amat": 78_400_000,
        "binarized_mnist/binarized_mnist_valid.amat": 15_680_000,
        "binarized_mnist/binarized_mnist_test.amat": 15_680_000,
        "mnist/train-images-idx3-ubyte.gz": 9_912_422,
        "mnist/t10k-images-idx3-ubyte.gz": 1_648_877,
        "fashion_mnist/train-images-idx3-ubyte.gz": 26_421_880,
        "fashion_mnist/t10k-images-idx3-ubyte.gz": 4_422_102,
        "omniglot/chardata.mat": 104_857_600,
        "caltech101_silhouettes/caltech101_silhouettes_28.mat": 701_202,
    }
    packed = {path: file.inside.most for path, file in every.items() if file.inside}
    assert packed == {
        path: 47_040_016 if "train" in path else 7_840_016 for path in every if path.endswith("-ubyte.gz")
    }
    assert idx.MNIST.files[0].inside != idx.FASHION.files[0].inside


@pytest.mark.parametrize("file", [file for info in INFOS.values() for file in info.files], ids=lambda file: file.path)
def test_the_official_files_have_the_sizes_and_checksums_that_are_stated(file: DataFile) -> None:
    """Of those that are here as they were published."""
    path = Path(os.environ.get("GRADEST_DATA", ""), file.path)
    if not ("GRADEST_DATA" in os.environ and path.exists()):
        pytest.skip(f"$GRADEST_DATA is not set or does not hold {file.path}")
    content = path.read_bytes()
    assert (len(content), checksum(content, "sha256")) == (file.most, file.checksum)
