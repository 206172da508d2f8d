"""Pseudoterminals of a given width, and what a person would read on them."""

import fcntl
import os
import pty
import re
import struct
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO


class Screen:
    """A terminal to write to; `lines` once it is closed."""

    def __init__(self, columns: int) -> None:
        self.controller, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.file: TextIO = open(terminal, "w")  # noqa: SIM115  (closed by `screen`)
        self.read = bytearray()
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self) -> None:
        while True:
            try:
                part = os.read(self.controller, 1 << 16)
            except OSError:  # the last writer is gone
                return
            if not part:
                return
            self.read += part

    @property
    def lines(self) -> list[str]:
        """Each line that was drawn, those that were drawn over later among them, without colours."""
        return re.split(r"[\r\n]+", re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", self.read.decode()).strip())


@contextmanager
def screen(columns: int) -> Iterator[Screen]:
    """A terminal of 24 lines of so many columns."""
    found = Screen(columns)
    try:
        yield found
    finally:
        found.file.close()
        found.reader.join()
        os.close(found.controller)
