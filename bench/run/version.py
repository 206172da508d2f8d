"""Which gradest this is: its version, and the commit of the checkout that it runs from. Free of torch."""

import importlib.metadata
import subprocess
from functools import cache
from pathlib import Path


@cache
def checkout() -> tuple[str | None, bool | None]:
    """Commit and dirty flag of the checkout that this package runs from; None where it is installed elsewhere."""
    here = Path(__file__).resolve()

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=here.parent, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        git("ls-files", "--error-unmatch", here.name)  # else it is somebody else's repository that we lie in
        return git("rev-parse", "HEAD"), bool(git("status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.CalledProcessError):
        return None, None


@cache
def version() -> str:
    """Version of gradest, "unknown" where it runs from a folder that was never installed."""
    try:
        return importlib.metadata.version("gradest")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def words() -> str:
    """Version and commit in a line."""
    commit, dirty = checkout()
    changed = ", with changes" if dirty else ""
    return f"gradest {version()}" + (f" (commit {commit[:12]}{changed})" if commit else "")
