"""`python -m bench.studies.tutorial docs/images`: run the code of docs/tutorial.md, and keep the pictures it makes.

It takes a minute. What installs is left out: this is installed.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from bench.run.store import write_atomic
from bench.studies import page_code

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "tutorial.md"
PICTURES = {
    "tutorial-logit.png": "runs/first/figures/logit-coupled-bernoulli-4.png",
    "tutorial-elbo.png": "runs/first/figures/elbo-steps-digits-bernoulli-8-linear.png",
    "tutorial-model.png": "model.png",
    "tutorial-mine.png": "runs/mine/figures/variance-digits-bernoulli-8-linear.png",
}
"""Each picture of the page, and the file that its code leaves."""


def shell(words: tuple[str, ...], folder: Path) -> str:
    """Run a command of gradest, as a process of its own; any other is left out."""
    if words[0] != "gradest":
        return ""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "bench", *words[1:]], cwd=folder, env=environment, capture_output=True, text=True
    )
    if done.returncode not in (0, 1):  # 1 is an estimator that is refuted, which the page shows
        raise SystemExit(f"{' '.join(words)} ended with {done.returncode}: {done.stderr}")
    return done.stdout


def main(out: Annotated[Path, typer.Argument(help="Folder of the pictures.")]) -> None:
    """Run the page in a new folder, and copy its pictures."""
    out = out.resolve()
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        try:
            page_code.run(PAGE.read_text(), Path(name), shell)
            for picture, made in PICTURES.items():
                write_atomic(out / picture, Path(made).read_bytes())
                print(out / picture)
        finally:
            os.chdir(before)


if __name__ == "__main__":
    typer.run(main)
