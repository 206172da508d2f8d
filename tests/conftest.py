"""What the tests share."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from bench.training.memory import keep_freed_memory
from estimators import registry
from tests.bench.processes import unloaded

pytest_plugins = ["pytester"]

# Workers of pytest-xdist are given 80 columns, and verbs fit their output to them: a test that wants a width says so.
os.environ.pop("COLUMNS", None)


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """Two threads on a loaded machine make tiny products slower, and results depend on their number."""
    torch.set_num_threads(1)
    keep_freed_memory()


@pytest.fixture(autouse=True, scope="session")
def _load_is_no_concern() -> None:
    """Tests beside each other are a load, and for half a minute in every process a timing cell would wait for its end.

    What waits, and for how long, is tested by loads of a test's own.
    """
    os.getloadavg = unloaded


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(20221022)


@pytest.fixture
def forget() -> Iterator[None]:
    """Forget what a test registers."""
    registry.load_all()
    before = dict(registry._entries)
    yield
    registry._entries.clear()
    registry._entries.update(before)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if torch.cuda.is_available():
        return
    for item in items:
        if "gpu" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="torch sees no CUDA device here"))


@pytest.fixture
def data_root() -> Path:
    """The folder of real data files."""
    root = os.environ.get("GRADEST_DATA")
    if not root:
        pytest.skip("GRADEST_DATA is not set, so there are no real data files to read")
    return Path(root)


@pytest.fixture(autouse=True)
def _distributions_validate_by_default() -> Iterator[None]:
    """torch's compiler, which a checkpoint loads too, turns validation off for the whole process."""
    yield
    torch.distributions.Distribution.set_default_validate_args(__debug__)


@pytest.fixture(autouse=True)
def _stays_in_its_folder() -> Iterator[None]:
    """A test that left the process in another folder would make others fail that look for the sources in this one."""
    here = Path.cwd()
    yield
    there = Path.cwd()
    if there != here:
        os.chdir(here)
        pytest.fail(f"the test left the process in {there}")
