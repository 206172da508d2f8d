"""Where a number came from: every field from its own source, and a hash that follows an estimator's files."""

import hashlib
import importlib.metadata
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch

import bench.datasets
from bench.cli import doctor
from bench.run import provenance, version
from estimators import registry


@pytest.fixture(autouse=True)
def _afresh() -> Iterator[None]:
    """What is looked up once in a process is looked up in each test, and nothing made up is kept."""

    def forget() -> None:
        for remembered in (version.checkout, provenance._cpu, provenance._driver, version.version):
            remembered.cache_clear()

    forget()
    yield
    forget()


def _answer(text: str) -> Any:
    return lambda *arguments, **options: subprocess.CompletedProcess(arguments, 0, stdout=text)


CPUINFO = "processor\t: 0\nmodel\t\t: 17\nmodel name\t: A Processor: 3 GHz\nprocessor\t: 1\nmodel name\t: Another\n"


def test_every_field_says_what_it_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name, value in (
        (platform, "node", "a host"),
        (platform, "platform", "a platform"),
        (platform, "python_version", "3.99.1"),
        (os, "cpu_count", 6),
        (os, "getloadavg", (0.5, 0.25, 0.125)),
        (torch, "get_num_threads", 3),
        (torch, "get_float32_matmul_precision", "high"),
        (torch.cuda, "get_device_name", "a GPU"),
        (provenance, "checkout", ("c0ffee", True)),
        (importlib.metadata, "version", "0.7.1"),
    ):
        monkeypatch.setattr(module, name, lambda *_, value=value: value)
    for module, name, value in ((torch.version, "cuda", "12.9"), (torch, "__version__", "2.99"),
                                (numpy, "__version__", "1.2.3")):  # fmt: skip
        monkeypatch.setattr(module, name, value)
    monkeypatch.setattr(Path, "read_text", lambda self: {"/proc/cpuinfo": CPUINFO}[str(self)])
    monkeypatch.setattr(subprocess, "run", _answer("570.1\n580.2\n"))
    expected = {
        "host": "a host",
        "platform": "a platform",
        "cpu": "A Processor: 3 GHz",
        "cores": 6,
        "load": [0.5, 0.25, 0.125],
        "threads": 3,
        "matmul_precision": "high",
        "gpu": "a GPU",
        "driver": "570.1",
        "cuda": "12.9",
        "python": "3.99.1",
        "torch": "2.99",
        "numpy": "1.2.3",
        "gradest": "0.7.1",
        "commit": "c0ffee",
        "dirty": True,
    }
    assert provenance.machine("cuda") == expected
    assert list(provenance.machine("cuda")) == list(expected)
    assert provenance.machine("cpu") == expected | {"gpu": None, "driver": None, "cuda": None}


def test_a_record_holds_the_machine_and_the_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "machine", lambda device: {"host": f"of {device}"})
    rloo = registry.get("rloo").create()
    found = provenance.provenance(rloo, "cuda")
    assert found == {"host": "of cuda", "estimator_source": provenance.source_hash(rloo)}


def test_what_a_machine_does_not_tell_is_none_or_its_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*arguments: Any, **options: Any) -> Any:
        raise FileNotFoundError

    def slow(*arguments: Any, **options: Any) -> Any:
        assert options["timeout"] == 10
        raise subprocess.TimeoutExpired("nvidia-smi", 10)

    def failed(*arguments: Any, **options: Any) -> Any:
        assert options["check"]
        raise subprocess.CalledProcessError(9, "nvidia-smi")

    for run in (absent, slow, failed, _answer("\n")):
        provenance._driver.cache_clear()
        monkeypatch.setattr(subprocess, "run", run)
        assert provenance._driver() is None
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    monkeypatch.setattr(platform, "processor", lambda: "a name")
    monkeypatch.setattr(Path, "read_text", lambda self: "processor : 0\nFeatures : fp\n")
    assert provenance._cpu() == "arm64"
    monkeypatch.setattr(Path, "read_text", absent)
    for processor, expected in (("a name", "a name"), ("", "arm64")):
        provenance._cpu.cache_clear()
        monkeypatch.setattr(platform, "processor", lambda processor=processor: processor)
        assert provenance._cpu() == expected


def test_without_an_installed_package_the_version_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        assert name == "gradest"
        raise importlib.metadata.PackageNotFoundError

    monkeypatch.setattr(importlib.metadata, "version", absent)
    assert version.version() == "unknown"


def test_the_commit_is_that_of_the_checkout_and_dirty_where_a_tracked_file_differs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*arguments: str) -> str:
        author = ("-c", "user.name=n", "-c", "user.email=e", "-c", "commit.gpgsign=false")
        done = subprocess.run(["git", *author, *arguments], cwd=tmp_path, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def found() -> tuple[str | None, bool | None]:
        version.checkout.cache_clear()
        return version.checkout()

    source = tmp_path / "package" / "version.py"
    source.parent.mkdir()
    source.write_text("one")
    monkeypatch.setattr(version, "__file__", str(source))
    assert found() == (None, None)
    git("init", "--quiet")
    (tmp_path / "other").write_text("x")
    git("add", "other")
    git("commit", "--quiet", "-m", "first")
    assert found() == (None, None)  # somebody else's repository, in which the package lies
    git("add", "package")
    git("commit", "--quiet", "-m", "second")
    assert found() == (git("rev-parse", "HEAD"), False)
    (tmp_path / "untracked").write_text("x")
    assert found()[1] is False
    (tmp_path / "other").write_text("y")
    assert found() == (git("rev-parse", "HEAD"), True)
    monkeypatch.setenv("PATH", "")
    assert found() == (None, None)


FILES = {
    "a_base": "import torch\nclass Base(torch.nn.Module): pass\n",
    "a_part": "import torch\nclass Part(torch.nn.Module): pass\n",
    "an_estimator": "import torch\nfrom a_base import Base\nfrom a_part import Part\nclass Own(Base):\n"
    "    def __init__(self):\n        super().__init__()\n        self.part = torch.nn.Sequential(Part())\n",
    "beside": "x = 1\n",
}


def test_the_hash_of_an_estimator_follows_its_files_and_those_of_its_bases_and_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And neither torch's nor the place where they lie."""

    def hashed(folder: str, changed: str = "") -> str:
        (tmp_path / folder).mkdir()
        texts = {name: text + "# edited\n" * (name == changed) for name, text in FILES.items()}
        for name, text in texts.items():
            (tmp_path / folder / f"{name}.py").write_text(text)
            sys.modules.pop(name, None)
        monkeypatch.syspath_prepend(str(tmp_path / folder))
        found = provenance.source_hash(importlib.import_module("an_estimator").Own())
        digests = sorted(hashlib.sha256(texts[name].encode()).hexdigest() for name in FILES if name != "beside")
        assert found == hashlib.sha256("".join(digests).encode()).hexdigest()
        return found

    first = hashed("first")
    assert hashed("elsewhere") == first
    assert hashed("beside", "beside") == first
    assert len({first, *(hashed(f"new-{name}", name) for name in ("a_base", "a_part", "an_estimator"))}) == 4
    for name in FILES:
        sys.modules.pop(name, None)


def test_classes_of_one_source_hash_alike_and_a_class_of_the_prompt_has_none() -> None:
    rloo = registry.get("rloo")
    assert provenance.source_hash(rloo.create(samples=2)) == provenance.source_hash(rloo.create(samples=5))
    assert provenance.source_hash(rloo.create()) != provenance.source_hash(registry.get("arm").create())
    typed = type("Typed", (torch.nn.Module,), {"__module__": "nowhere"})()
    assert provenance.source_hash(typed) == hashlib.sha256(b"").hexdigest()


def test_the_doctor_says_what_was_found_and_what_it_is_for(monkeypatch: pytest.MonkeyPatch) -> None:
    class Info:
        def __init__(self, name: str) -> None:
            self.name = name

    def load(name: str, *, download: bool) -> None:
        assert download is False
        if name == "second":
            raise bench.datasets.DataError("no such file")

    def found(name: str) -> str:
        if name in ("pooch", "gradest"):
            raise importlib.metadata.PackageNotFoundError
        return f"{len(name)}.0"

    monkeypatch.setattr(bench.datasets, "available", lambda: (Info("first"), Info("second")))
    monkeypatch.setattr(bench.datasets, "load", load)
    monkeypatch.setattr(importlib.metadata, "version", found)
    monkeypatch.setattr(platform, "python_version", lambda: "3.99.1")
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.delenv("GRADEST_DATA", raising=False)
    rows = [tuple(row.values()) for row in doctor.examine()]
    assert list(doctor.examine()[0]) == ["what", "found", "note"]
    data = "folder of data files, looked in before the user cache"
    assert rows == [
        ("gradest", "unknown", "this package"),
        ("python", "3.99.1", "3.11 or later"),
        ("cores", "6", "torch would use 3 threads; suites set their own"),
        *((name, f"{len(name)}.0", "needed to run") for name in ("torch", "numpy", "pydantic", "typer", "rich")),
        *((name, f"{len(name)}.0", "needed for reports")
          for name in ("pandas", "seaborn", "matplotlib", "scipy", "pyarrow", "jinja2")),
        ("pooch", "missing", "optional"),
        *((name, f"{len(name)}.0", "optional") for name in ("distributed", "pytest-benchmark")),
        ("cuda", "none", "torch sees no CUDA GPU; suites run on the CPU"),
        ("GRADEST_DATA", "not set", data),
        ("data first", "here", "files found, checksums right"),
        ("data second", "not here", "no such file"),
    ]  # fmt: skip
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU")
    monkeypatch.setattr(torch.version, "cuda", "12.9")
    monkeypatch.setenv("GRADEST_DATA", "/some/where")
    rows = [tuple(row.values()) for row in doctor.examine()]
    assert ("cuda", "a GPU", "--device cuda, CUDA 12.9") in rows
    assert ("GRADEST_DATA", "/some/where", data) in rows
