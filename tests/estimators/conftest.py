"""What the tests of this package share."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.estimators.still import Noted


@pytest.fixture
def seen() -> Iterator[list[dict[str, Any]]]:
    """What `Noted` is called with."""
    Noted.seen = []
    yield Noted.seen
    Noted.seen = []
