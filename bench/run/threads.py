"""The threads of the process that a cell runs in, so that seconds of CPU compare, wherever it runs."""

from contextlib import suppress

import torch


def set_threads(threads: int) -> None:
    """So many for each operation, and one operation at a time.

    The second is decided once a process; where something has used torch's other threads before, it stays as it was.
    """
    torch.set_num_threads(threads)
    if torch.get_num_interop_threads() != 1:
        with suppress(RuntimeError):
            torch.set_num_interop_threads(1)
