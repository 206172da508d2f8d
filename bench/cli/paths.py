"""Files and folders as they are typed."""

from pathlib import Path


def path(typed: str) -> Path:
    """The path that was typed, for the `parser` of every argument and option that is one.

    Raises:
        ValueError: it is empty, as where a variable of the shell that is not set was to name it.
    """
    if not typed:  # for pathlib the folder that one is in, which nobody named
        raise ValueError("expected the path of a file or a folder, got an empty one; the folder you are in is '.'")
    return Path(typed)
