"""`python -m bench.studies.score_no_entropy RESULTS IMAGES`: train, publish the run, and draw the figure of the docs.

It takes about a minute. RESULTS is a folder of a run as `results/` has them, IMAGES where score-no-entropy.png goes.
"""

import shutil
import tempfile
from io import BytesIO
from pathlib import Path
from typing import Annotated

import typer

from bench.run.store import write_atomic

SUITE = Path(__file__).parent / "suite.toml"
PANELS = ("q_entropy", "mean_abs_logit", "test_elbo")


def main(
    out: Annotated[Path, typer.Argument(help="Folder of the published run.")],
    images: Annotated[Path, typer.Argument(help="Folder of the figure.")],
    redraw: Annotated[bool, typer.Option("--redraw", help="Train nothing; the figure alone.")] = False,
) -> None:
    """Train with and without the entropy's gradient, and show what becomes of q."""
    if not redraw:
        publish(out)
    write_atomic(images / "score-no-entropy.png", figure(out / "tables" / "posterior.csv"))
    print(images / "score-no-entropy.png")


def publish(out: Path) -> None:
    """Run the suite from nothing, and leave it in the form of results/."""
    from bench.cli.report import pack, report
    from bench.run.executors import inline
    from bench.run.runner import run_suite
    from bench.suite.load import load_suite

    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "run"
        outcome = run_suite(load_suite(str(SUITE)), made, executor=inline)
        assert not outcome.unwell, [record.reason for record in outcome.unwell]
        report([made], "md,tex,csv,html,pdf", None)
        pack(made)
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(made, out)


def figure(table: Path) -> bytes:
    """A PNG of the three quantities along training."""
    import bench.report.matplotlib_alone  # noqa: F401  (before anything else imports matplotlib)

    # isort: split
    import pandas as pd
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    from bench.studies.score_no_entropy.posterior import draw

    frame = pd.read_csv(table)
    with rc_context({"font.size": 8, "axes.spines.top": False, "axes.spines.right": False}):
        drawn = Figure(figsize=(7.6, 2.9), layout="constrained")
        panels = drawn.subplots(1, len(PANELS))
        for axes, quantity in zip(panels, PANELS, strict=True):
            draw(frame, axes, quantity)
        drawn.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
        file = BytesIO()
        drawn.savefig(file, dpi=150, metadata={"Software": None})
    return file.getvalue()


if __name__ == "__main__":
    typer.run(main)
