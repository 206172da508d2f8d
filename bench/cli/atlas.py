"""`gradest atlas`."""

import json
from typing import Annotated

import typer

from bench.cli import complete
from bench.cli.guard import DONE, JSON, reading


@reading
def atlas_verb(
    logit: Annotated[float, typer.Option(help="Sharpness of q: |logit|; for Gaussians s of scale 2 / 10^(s/8).")],
    latents: Annotated[str, typer.Option(help="Number of latents, LxC (such as 2x3) for categorical ones.")],
    f_evals: Annotated[int, typer.Option(help="Evaluations of f that may be spent.")],
    objective: Annotated[str, typer.Option(help="Objective; of a bound over K draws, such as mlp-iwae-2.")] = "mlp",
    family: Annotated[str, typer.Option(help="Family of q.", autocompletion=complete.family)] = "bernoulli",
    unbiased: Annotated[bool, typer.Option("--unbiased", help="Leave out the biased ones.")] = False,
    as_json: JSON = False,
) -> int:
    """Rank estimators by their exact error on a small problem, for equal evaluations of f, from the published atlas."""
    from bench.atlas.query import Question, ranked
    from bench.atlas.table import read
    from bench.cli.tables import print_lines, print_table

    answer = ranked(read(), Question(logit, latents, f_evals, objective, family, unbiased))
    if as_json:
        rows = [{key: None if value != value else value for key, value in row.items()} for row in answer.rows]  # no NaN
        print(json.dumps({"ranking": rows, "missing": answer.missing}, indent=1, allow_nan=False))
        return DONE
    print_table(answer.rows)
    if answer.missing:
        print_lines([f"Not integrated ({len(answer.missing)}; --json says why): {', '.join(answer.missing)}"])
    return DONE
