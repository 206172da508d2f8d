"""What the tests of this package share."""

import pytest
from matplotlib.figure import Figure

from tests.bench.golden.publish import undrawn


@pytest.fixture(autouse=True)
def _nothing_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Figure, "savefig", undrawn)
