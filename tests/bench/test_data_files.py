"""Where the files of data sets come from: the user's folder, the cache, mirrors; missing, corrupt, unwritable."""

import dataclasses
import gzip
import http.server
import logging
import re
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from bench import datasets
from bench.datasets import (
    DataError,
    DataFile,
    base,
    files,
    omniglot,
)
from bench.datasets.matlab import read_matlab
from bench.datasets.verify import checksum, read
from tests.bench.test_datasets import INFOS, mat_bytes

CONTENT = b"0 1 1 0\n" * 1000
WRONG = b"<html>moved</html>"


class Place:
    """A user's folder, a cache and a server on this machine, all empty at first."""

    def __init__(self, folder: Path) -> None:
        """Keeps the folders under `folder`; the server answers 404 to what is not in `served`."""
        self.own, self.cache = folder / "own", folder / "cache"
        self.own.mkdir()
        self.served: dict[str, bytes] = {}
        self.missing_bytes = 0
        self.requests: list[str] = []
        place = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                place.requests.append(self.path)
                content = place.served.get(self.path)
                if content is None:
                    return self.send_error(404)
                self.send_response(200)
                self.send_header("Content-Length", str(len(content) + place.missing_bytes))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            self.dead = f"http://127.0.0.1:{unused.getsockname()[1]}"

    def file(self, *mirrors: str, path: str = "family/rows.amat", content: bytes = CONTENT) -> DataFile:
        """A data file with these mirrors; without any, one that refuses connections."""
        return DataFile(path, checksum(content, "sha256"), mirrors or (f"{self.dead}/rows.amat",))

    def put(self, folder: Path, name: str, content: bytes) -> Path:
        """Writes a file into one of the folders."""
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def cached(self) -> list[str]:
        """Every file in the cache."""
        return sorted(path.relative_to(self.cache).as_posix() for path in self.cache.rglob("*") if path.is_file())


@contextmanager
def placed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """`$GRADEST_DATA`, the cache and the mirrors, in a temporary folder."""
    pytest.importorskip("pooch", reason="knows the cache folder")
    place = Place(folder)
    monkeypatch.setenv("GRADEST_DATA", str(place.own))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(files, "cache_folder", lambda: place.cache)
    monkeypatch.setenv("HOME", str(folder))  # folders are written from there, and fit into a line
    yield place
    place.server.shutdown()
    place.server.server_close()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    with placed(tmp_path, monkeypatch) as place:
        yield place


def begun(checksum: str) -> str:
    """A checksum as a message shows it."""
    return f"{checksum[: checksum.index(':') + 13]}..."


def failure(call: Callable[[], object]) -> str:
    """The message of the DataError that `call` must raise, which must be one line."""
    with pytest.raises(DataError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message and len(message) <= 300
    return message


def test_own_folder_comes_first(place: Place) -> None:
    """`$GRADEST_DATA` wins over the cache and the network."""
    place.put(place.own, "family/rows.amat", CONTENT)
    place.put(place.cache, "family/rows.amat", WRONG)
    assert files.fetch(place.file(f"{place.url}/rows.amat")) == CONTENT
    assert place.requests == []


@pytest.mark.parametrize("folder", ["own", "cache"])
def test_a_compressed_copy_is_as_good(place: Place, folder: str) -> None:
    """The checksum is that of the official text, whatever holds it."""
    place.put(getattr(place, folder), "family/rows.amat.gz", gzip.compress(CONTENT, 1))
    assert files.fetch(place.file()) == CONTENT


def test_a_file_that_is_officially_compressed_is_verified_as_it_lies(place: Place) -> None:
    """The same content compressed anew is another file."""
    official = gzip.compress(CONTENT)
    file = place.file(path="family/rows.gz", content=official)
    path = place.put(place.own, file.path, official)
    assert files.fetch(file) == official
    path.write_bytes(gzip.compress(CONTENT, 1))
    assert "is corrupt" in failure(lambda: files.fetch(file))


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("rows.amat", WRONG, begun(checksum(WRONG, "sha256"))),
        ("rows.amat", CONTENT[:-1], begun(checksum(CONTENT[:-1], "sha256"))),
        ("rows.amat", b"", begun(checksum(b"", "sha256"))),
        ("rows.amat.gz", gzip.compress(CONTENT)[:-20], "a broken gzip stream"),
        ("rows.amat.gz", WRONG, begun(checksum(WRONG, "sha256"))),
        ("rows.amat.gz", gzip.compress(CONTENT)[:20] + b"\xff" * 20, "a broken gzip stream"),
    ],
    ids=["wrong", "truncated", "empty", "truncated-gz", "not-gz", "damaged-gz"],
)
def test_a_corrupt_file_of_the_user_is_reported_and_kept(place: Place, name: str, content: bytes, found: str) -> None:
    """Nothing else is tried: the user meant this file."""
    path = place.put(place.own, f"family/{name}", content)
    place.put(place.cache, "family/rows.amat", CONTENT)
    file = place.file(f"{place.url}/rows.amat")
    message = failure(lambda: files.fetch(file))
    assert message == (
        f"{path} is corrupt (expected {begun(file.checksum)}, found {found}); replace it with {place.url}/rows.amat"
    )
    assert path.read_bytes() == content and place.requests == []


def test_a_folder_in_the_place_of_a_file_is_reported(place: Place) -> None:
    """An error of the file system becomes one clear line."""
    (place.own / "family/rows.amat").mkdir(parents=True)
    assert "family/rows.amat cannot be read (Is a directory)" in failure(lambda: files.fetch(place.file()))


def test_the_cache_is_used_without_a_connection(place: Place) -> None:
    """No mirror is asked for what is at hand."""
    place.put(place.cache, "family/rows.amat", CONTENT)
    assert files.fetch(place.file(f"{place.url}/rows.amat")) == CONTENT
    assert place.requests == []


def test_the_second_mirror_serves_when_the_first_is_dead(
    place: Place, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """It does so in silence, and once."""
    place.served["/rows.amat"] = CONTENT
    file = place.file(f"{place.dead}/rows.amat", f"{place.url}/rows.amat")
    level = logging.getLogger("pooch").level
    assert files.fetch(file) == CONTENT
    assert files.fetch(file) == CONTENT
    assert place.requests == ["/rows.amat"]  # the second time it comes from the cache
    assert place.cached() == ["family/rows.amat"]
    assert capfd.readouterr() == ("", "") and not [r for r in caplog.records if r.name == "pooch"]
    assert logging.getLogger("pooch").level == level


def test_mirrors_are_asked_in_their_order_and_none_after_the_first_that_serves(place: Place) -> None:
    place.served |= {"/b": CONTENT, "/c": CONTENT}
    assert files.fetch(place.file(*(f"{place.url}/{name}" for name in "abc"))) == CONTENT
    assert place.requests == ["/a", "/b"]


def test_nothing_is_downloaded_where_that_is_not_wanted(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.served["/rows.amat"] = CONTENT
    file = place.file(f"{place.url}/rows.amat")
    message = failure(lambda: files.fetch(file, download=False))
    assert message.startswith("cannot find family/rows.amat in $GRADEST_DATA (")
    assert message.endswith(f"; not downloaded; put {place.url}/rows.amat there by hand")
    monkeypatch.setattr(
        datasets, "fetch", lambda file, *, download: failure(lambda: files.fetch(file, download=download))
    )
    monkeypatch.setitem(datasets._SOURCES, "omniglot", base.Source(omniglot.INFO, lambda info, content: content))
    assert "; not downloaded; " in str(datasets.load("omniglot", download=False))
    assert place.requests == []
    place.put(place.cache, "family/rows.amat", CONTENT)
    assert files.fetch(file, download=False) == CONTENT


def test_a_mirror_that_serves_something_else_is_passed_over(place: Place) -> None:
    """As when a host answers with a page of its own."""
    place.served |= {"/a": WRONG, "/b": CONTENT}
    assert files.fetch(place.file(f"{place.url}/a", f"{place.url}/b")) == CONTENT
    assert place.cached() == ["family/rows.amat"]


def test_wrong_bytes_are_an_error_and_leave_nothing(place: Place) -> None:
    """The line says where it looked, what it tried, why each failed and what to do."""
    place.served["/a"] = WRONG
    file = place.file(f"{place.url}/a", f"{place.url}/b", f"{place.dead}/c")
    at, dead = (url.removeprefix("http://") for url in (place.url, place.dead))
    assert failure(lambda: files.fetch(file)) == (
        f"cannot find family/rows.amat in $GRADEST_DATA (~/own) or the cache (~/cache); "
        f"{at}: a page in its place, {at}: HTTP 404, {dead}: connection error; put {place.url}/a there by hand"
    )
    assert list(place.cache.iterdir()) == []


def test_a_transfer_cut_short_leaves_nothing(place: Place) -> None:
    """A partial file is never taken for the whole."""
    place.served["/a"], place.missing_bytes = CONTENT, 100
    assert re.search(r"\d: protocol error; ", failure(lambda: files.fetch(place.file(f"{place.url}/a"))))
    assert list(place.cache.iterdir()) == []


def test_a_corrupt_cached_file_is_fetched_afresh(place: Place) -> None:
    """The cache heals itself."""
    place.put(place.cache, "family/rows.amat.gz", gzip.compress(CONTENT)[:-20])
    place.served["/rows.amat"] = CONTENT
    assert files.fetch(place.file(f"{place.url}/rows.amat")) == CONTENT
    assert place.cached() == ["family/rows.amat"]


def test_what_cannot_be_deleted_from_the_cache_is_named(place: Place) -> None:
    """As a folder under the name of the file."""
    path = place.cache / "family/rows.amat"
    path.mkdir(parents=True)
    message = failure(lambda: files.fetch(place.file(f"{place.url}/rows.amat")))
    assert message.startswith(f"{path} cannot be read (Is a directory), and cannot be deleted (")
    assert message.endswith("); delete it by hand") and place.requests == []


def test_a_corrupt_cached_file_that_cannot_be_replaced_is_named_and_gone(place: Place) -> None:
    """The line tells both faults."""
    place.put(place.cache, "family/rows.amat", WRONG)
    file = place.file()
    assert failure(lambda: files.fetch(file)).startswith(
        "the cached copy was corrupt and was discarded; cannot find family/rows.amat in "
    )
    assert place.cached() == []


@pytest.mark.parametrize("value", [None, ""])
def test_without_a_folder_of_the_user_the_advice_names_the_cache(
    place: Place, monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    """An empty variable is an unset one."""
    if value is None:
        monkeypatch.delenv("GRADEST_DATA")
    else:
        monkeypatch.setenv("GRADEST_DATA", value)
    message = failure(lambda: files.fetch(place.file()))
    assert " in $GRADEST_DATA (not set) or the cache (~/cache); " in message


def test_a_folder_of_the_user_that_does_not_exist_is_named(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A typo in the variable is visible."""
    monkeypatch.setenv("GRADEST_DATA", str(place.own / "typo"))
    assert "$GRADEST_DATA (~/own/typo, no such folder)" in failure(lambda: files.fetch(place.file()))


def test_a_cache_that_cannot_be_written_is_named(place: Place) -> None:
    """An unwritable cache is not blamed on the mirrors."""
    place.cache.write_bytes(b"a file where the folder should be")
    place.served["/rows.amat"] = CONTENT
    message = failure(lambda: files.fetch(place.file(f"{place.url}/rows.amat")))
    assert "the cache (~/cache); the cache cannot be written (File exists); " in message


def test_the_cache_is_the_one_pooch_gives_gradest() -> None:
    """The folder depends on the system, as pooch has it."""
    pooch = pytest.importorskip("pooch", reason="owns the cache folder")
    assert files.cache_folder() == Path(pooch.os_cache("gradest"))


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading and downloading need packages that the core does not."""
    monkeypatch.delenv("GRADEST_DATA", raising=False)
    monkeypatch.setitem(sys.modules, "pooch", None)
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    assert failure(lambda: datasets.load("mnist-static")) == (
        "data set 'mnist-static': the package 'pooch' is needed to find or download data that is not in "
        "$GRADEST_DATA; install it (pip install pooch)"
    )
    assert "the package 'scipy' is needed to read MATLAB files" in failure(lambda: read_matlab(b"", "X"))


@pytest.mark.parametrize("kind", ["sha256", "git-blob"])
@pytest.mark.parametrize("place_of_digit", [0, 20, -1])
def test_a_checksum_is_compared_to_its_last_digit(tmp_path: Path, kind: str, place_of_digit: int) -> None:
    path = tmp_path / "rows.amat"
    path.write_bytes(CONTENT)
    right = checksum(CONTENT, kind)
    assert read(path, DataFile("rows.amat", right, ())) == CONTENT
    digits = list(right.partition(":")[2])
    digits[place_of_digit] = "0" if digits[place_of_digit] != "0" else "1"
    with pytest.raises(DataError, match=f"is corrupt .*, found {re.escape(begun(right))}"):
        read(path, DataFile("rows.amat", f"{kind}:{''.join(digits)}", ()))


def test_git_blob_checksum_is_the_one_git_computes() -> None:
    """Known ids, of a line and of an empty file."""
    assert checksum(b"hello\n", "git-blob") == "git-blob:ce013625030ba8dba906f756967f9e9ca394464a"
    assert checksum(b"", "git-blob") == "git-blob:e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
    assert checksum(b"", "sha256") == "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_unknown_name_answers_with_the_nearest() -> None:
    """Or, where none is near, with all of them, as long as that is a line of 300 characters."""
    assert failure(lambda: datasets.load("mnist-statik")) == (
        "unknown data set 'mnist-statik'; did you mean 'mnist-static' or 'omniglot-static'? "
        f"Known: {len(INFOS)} names (gradest list datasets, or module:Name)"
    )
    assert failure(lambda: datasets.load("imagenet")).startswith("unknown data set 'imagenet'. Known: digits, ")


def test_errors_name_the_data_set(place: Place) -> None:
    """The files of several data sets are shared, so the path alone does not tell."""
    place.put(place.own, "mnist/train-images-idx3-ubyte.gz", WRONG)
    message = failure(lambda: datasets.load("mnist-threshold"))
    assert message.startswith(f"data set 'mnist-threshold': {place.own}/mnist/train-images-idx3-ubyte.gz is corrupt ")


def test_a_damaged_installation_is_recognised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The embedded file is verified as well."""
    (tmp_path / "digits.csv.gz").write_bytes(gzip.compress(b"0,1\n"))
    monkeypatch.setattr(files, "__file__", str(tmp_path / "files.py"))
    assert failure(lambda: datasets.load("digits")).endswith("; reinstall gradest")


def test_load_downloads_verifies_and_parses(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole way, for a small file in the form of Omniglot's, under a git blob id."""
    rng = np.random.default_rng(0)
    content = mat_bytes(data=rng.random((784, 25)), testdata=rng.random((784, 7)))
    place.served["/chardata.mat"] = content
    (file,) = omniglot.INFO.files
    file = dataclasses.replace(
        file, checksum=checksum(content, "git-blob"), mirrors=(f"{place.dead}/x", f"{place.url}/chardata.mat")
    )
    info = dataclasses.replace(omniglot.INFO, rows=(20, 5, 7), files=(file,))
    monkeypatch.setitem(datasets._SOURCES, "omniglot", base.Source(info, omniglot.parse))
    data = datasets.load("omniglot")
    assert [len(part) for part in (data.train, data.valid, data.test)] == [20, 5, 7]
    assert place.cached() == ["omniglot/chardata.mat"]
