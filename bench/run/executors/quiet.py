"""Dask's loggers, which tell at length, over many lines, what is said here in one."""

import logging

LOGGERS = ("distributed", "tornado", "asyncio")


class Quiet:
    """Keeps them silent from `begin` to `end`."""

    def __init__(self) -> None:
        self._levels = dict[str, int]()

    def begin(self) -> None:
        """Silence them, each by itself: dask gives those of its parts levels of their own."""
        names = {*LOGGERS, *(name for name in logging.root.manager.loggerDict if name.startswith(LOGGERS))}
        self._levels = {name: logging.getLogger(name).level for name in names}
        for name in names:
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)

    def end(self) -> None:
        """Let them say again what they said before."""
        for name, level in self._levels.items():
            logging.getLogger(name).setLevel(level)
