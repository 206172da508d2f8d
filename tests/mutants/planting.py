"""Plants the mutants of an area in a copy of the checkout and runs the area's tests on each, by mutmut."""

import configparser
import os
import random
import re
import shutil
import subprocess
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
CHECKOUT = HERE.parents[1]
KILLED = frozenset({"killed", "timeout", "segfault", "caught by type check"})
"""What mutmut says of a mutant that was seen; an endless loop or a crash is no silent wrong number."""
LEFT = frozenset({"survived", "no tests"})
"""What it says of one that was not."""
_STATUS = re.compile(r"^\s+(?P<name>\S+__mutmut_\d+): (?P<status>.+)$", re.MULTILINE)
_NAME = re.compile(r"(?P<module>.+)\.(?:x_|xǁ(?P<owner>.+)ǁ)(?P<function>.+)__mutmut_\d+")


@dataclass(frozen=True)
class Area:
    """Sources that are mutated together, and the tests that are run on them."""

    name: str
    sources: Sequence[str]
    tests: Sequence[str]
    target: float
    sampled: int

    @property
    def files(self) -> list[Path]:
        """What the globs of the sources name in this checkout; mutmut's own `*` would go on into folders."""
        return sorted({path for glob in self.sources for path in CHECKOUT.glob(glob)})


@dataclass(frozen=True)
class Mutant:
    """A mutant, and what became of it."""

    name: str
    status: str
    change: str = ""
    """The lines that it takes out and puts in, as in a diff; empty where it was killed."""

    @property
    def function(self) -> str:
        """The function that it is planted in, such as `bench.report.compare.pairs.Pair.differ`."""
        found = _NAME.fullmatch(self.name)
        if found is None:
            raise ValueError(f"{self.name!r} is no name of a mutant, such as bench.seeds.x_derive__mutmut_6")
        return ".".join(part for part in found.group("module", "owner", "function") if part)

    @property
    def module(self) -> str:
        """The module that it is planted in."""
        return self.name.rpartition(".")[0]

    @property
    def line(self) -> str:
        """What it puts in, whatever the indentation."""
        return "\n".join(line[1:].strip() for line in self.change.splitlines() if line.startswith("+"))


def areas(path: Path = HERE / "areas.toml") -> list[Area]:
    """The areas of a file, in its order."""
    return [Area(**area) for area in tomllib.loads(path.read_text())["area"]]


def statuses(printed: str) -> dict[str, str]:
    """What `mutmut results --all true` says of each mutant."""
    return {found["name"]: found["status"] for found in _STATUS.finditer(printed)}


def sample(names: Iterable[str], number: int, seed: int) -> list[str]:
    """So many of the mutants at random, from each module in proportion to how many it has, and one at least."""
    of: Mapping[str, list[str]] = defaultdict(list)
    for name in sorted(names):
        of[Mutant(name, "").module].append(name)
    share = min(1.0, number / max(1, sum(map(len, of.values()))))
    drawn = []
    for module, found in sorted(of.items()):
        drawn += random.Random(f"{seed} {module}").sample(found, max(1, round(share * len(found))))
    return drawn


def _copy(to: Path) -> None:
    """The files of the checkout that git knows or would take, and no others."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(listed, cwd=CHECKOUT, capture_output=True, check=True).stdout.decode().split("\0"):
        if name and (CHECKOUT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(CHECKOUT / name, to / name)


def _configure(area: Area, folder: Path) -> None:
    beside = [path.name for path in folder.iterdir() if path.name not in ("tests", "pyproject.toml")]
    lists = {
        "source_paths": ["bench", "estimators"],
        "only_mutate": [file.relative_to(CHECKOUT).as_posix() for file in area.files],
        "also_copy": sorted(beside),
        "pytest_add_cli_args": ["-pno:cacheprovider"],
        "pytest_add_cli_args_test_selection": area.tests,
    }
    config = configparser.ConfigParser()
    # A slow machine must not pass for an endless loop.
    config["mutmut"] = {"timeout_multiplier": "10", "timeout_constant": "2", "track_dependencies": "False"} | {
        key: "\n" + "\n".join(values) for key, values in lists.items()
    }
    with (folder / "setup.cfg").open("w") as file:
        config.write(file)


def _mutmut(folder: Path, *arguments: str) -> str:
    """What mutmut prints, run in a folder."""
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "mutmut", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode and arguments[0] != "run":
        raise RuntimeError(f"mutmut {' '.join(arguments[:2])} failed: {done.stderr[-2000:]}")
    return done.stdout + done.stderr


def _change(diff: str) -> str:
    lines = [line for line in diff.splitlines() if line[:1] in "+-" and not line.startswith(("+++", "---"))]
    return "\n".join(lines)


def plant(area: Area, folder: Path, seed: int, processes: int) -> tuple[int, list[Mutant]]:
    """How many mutants an area has, and a sample of them with what became of each.

    Args:
        area: what is mutated and the tests that are run.
        folder: an empty folder, which is left with the copy and mutmut's own records.
        seed: of the sample.
        processes: mutants at a time.

    Raises:
        RuntimeError: the area's tests fail without a mutant, or its sources have none.
    """
    _copy(folder)
    _configure(area, folder)
    made = _mutmut(folder, "run", "--max-children", str(processes), "no.such.mutant")
    names = statuses(_mutmut(folder, "results", "--all", "true"))
    if not names:
        raise RuntimeError(f"{area.name}: no mutants of {', '.join(area.sources)}: {made[-2000:]}")
    drawn = sample(names, area.sampled, seed)
    printed = _mutmut(folder, "run", "--max-children", str(processes), *drawn)
    found = statuses(_mutmut(folder, "results", "--all", "true"))
    untold = [name for name in drawn if found[name] not in KILLED | LEFT]
    if untold:
        raise RuntimeError(f"{area.name}: {len(untold)} of {len(drawn)} mutants were not tried: {printed[-2000:]}")
    changes = {name: _change(_mutmut(folder, "show", name)) for name in drawn if found[name] in LEFT}
    return len(names), [Mutant(name, found[name], changes.get(name, "")) for name in drawn]
