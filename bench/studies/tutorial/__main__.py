"""`python -m bench.studies.tutorial docs/images`: run the code of docs/tutorial.md, and keep the pictures it makes.

It takes a minute. What installs is left out: this is installed.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from io import BytesIO
from pathlib import Path
from typing import Annotated

import typer

from bench.run.store import write_atomic
from bench.studies import page_code

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "tutorial.md"
PICTURES = {
    "tutorial-logit.png": "runs/first/figures/logit-coupled-bernoulli-4.png",
    "tutorial-paper.png": "paper/figures/logit-coupled-bernoulli-4.png",
    "tutorial-elbo.png": "runs/first/figures/elbo-steps-digits-bernoulli-8-linear.png",
    "tutorial-model.png": "model.png",
    "tutorial-mine.png": "runs/mine/figures/variance-digits-bernoulli-8-linear.png",
}
"""Each picture of the page, and the file that its code leaves."""
SCREEN = "tutorial-report.png"
"""And the first screen of its report, where there is a browser to take it."""
REPORT = "runs/first/report.html"


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


def screen(page: Path) -> bytes | None:
    """The first screen of a page as a PNG of few colours; None without Chromium."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        return None
    from PIL import Image

    made = page.with_name("screen.png")
    options = ("--headless", "--no-sandbox", "--hide-scrollbars", "--window-size=1280,1000", f"--screenshot={made}")
    subprocess.run([browser, *options, page.as_uri()], check=True, capture_output=True, timeout=120)
    file = BytesIO()
    with Image.open(made) as image:
        image.convert("RGB").quantize(64).save(file, "png", optimize=True)
    return file.getvalue()


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
            if (first := screen(Path(REPORT).resolve())) is not None:
                write_atomic(out / SCREEN, first)
            print(out / SCREEN if first else f"{SCREEN} stays as it was: there is no Chromium here")
        finally:
            os.chdir(before)


if __name__ == "__main__":
    typer.run(main)
