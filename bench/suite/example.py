"""One example of each configured estimator, constructed once in a process, which no cell runs.

It shows whether the options are taken, what a call returns, and which source is behind a record.
"""

from functools import lru_cache
from typing import Any

from bench.config import EstimatorConfig
from estimators import registry
from estimators.base import Estimator


def example(config: EstimatorConfig) -> Estimator:
    """The example of a configuration; nothing may change it.

    Raises:
        BadInput: no such estimator, or options that it does not take.
    """
    registered: Any = registry.get(config.name).cls
    return _constructed(config, registered)


@lru_cache(maxsize=4096)
def _constructed(config: EstimatorConfig, registered: type) -> Estimator:
    """Kept for as long as the same class is registered under the name."""
    return registry.get(config.name).create(**config.arguments())
