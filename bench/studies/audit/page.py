"""The audit as a page: what was simulated, and what came of it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bench.statistics import FEW_EFFECTIVE_DRAWS, LEAST_RARE_EVENTS
from bench.studies import results
from bench.studies.audit.coverage import LABELS, NULL_DRAWS
from bench.studies.audit.pools import POOL
from bench.studies.audit.replicates import RUNS, SPREAD

EDGES = (0, 1, 2, 5, 8, 12, 20, 50, 150, np.inf)
CANCELLING = ("muprop", "rodeo")
"""Control variates that cancel what one rare outcome does."""
Tables = Mapping[str, Sequence[Mapping[str, Any]]]


def markdown(tables: Tables, made: str) -> str:
    """The page."""
    cover, null = pd.DataFrame(tables["coverage"]), pd.DataFrame(tables["null"])
    groups, false = int(null["groups"].sum()), int(null["false"].sum())
    return results.page(
        "Whether intervals and comparisons keep what they promise",
        f"Made by `python -m bench.studies.audit` ({made}). Nominal level 95 % throughout.",
        "## A variance's interval, by the rare outcomes that were expected",
        f"{POOL} draws of each estimator at each point, cut into samples; the truth is exact where the noise can be "
        f"integrated over, else that of all draws. Below {LEAST_RARE_EVENTS:g} rare outcomes no interval is given.",
        _frame(_by_events(cover)),
        f"With the rule, points of all sizes cover {_of(cover[cover['interval'] == 'yes'])} in the mean, without it "
        f"{_of(cover)}, and those without an interval would cover {_of(cover[cover['interval'] == 'no'])}. "
        f"{' and '.join(CANCELLING)} cancel what one rare outcome does, so that their variance rests on pairs of them: "
        "the rule does not see that, and their intervals stay too narrow for longer.",
        "## By the number of draws and |logit|, and the flag by kurtosis that was",
        _frame(_by_draws(cover)),
        f"Flagged now: fewer than {FEW_EFFECTIVE_DRAWS:g} draws over their kurtosis.",
        f"## One estimator under {LABELS} labels",
        f"n = {NULL_DRAWS}, {groups} groups of equal labels at {len(null)} points. Anything is called worse in {false} "
        f"of them ({false / groups:.1%}); under a Gaussian law of log variances in "
        f"{int(null['false, Gaussian law'].sum())}, and with each tested against the lowest by itself, as before, in "
        f"{int(null['false, one by one'].sum())}.",
        _frame(_by_error(null)),
        "## Power of comparisons",
        f"Twenty log variances of standard error .05, {RUNS // 10} runs: how many of those that are truly above the "
        "lowest are told apart, and in what share of runs one that is lowest is called worse.",
        _frame(pd.DataFrame(tables["power"])),
        "## Trajectories and minibatches",
        f"{RUNS} runs; lognormal effects of these standard deviations, and draws that add {SPREAD}. Covered: the "
        "variance's, the paired ratio's and an additive quantity's interval; components as found in the mean.",
        _frame(pd.DataFrame(tables["replicates"])),
        "## The interval of an effect, by which seeds are counted",
        _frame(pd.DataFrame(tables["effects"])),
    )


def _of(rows: pd.DataFrame) -> str:
    return f"{rows['covered'].mean():.3f}"


def _by_events(rows: pd.DataFrame) -> pd.DataFrame:
    known = rows.dropna(subset=["rare events"])
    bins = pd.cut(known["rare events"], EDGES, right=False)
    found = []
    for edge, group in known.groupby(bins, observed=True):
        others = group[~group["estimator"].isin(CANCELLING)]
        found.append(
            {
                "rare outcomes expected": str(edge),
                "points": len(group),
                "covered": group["covered"].mean(),
                f"without {' and '.join(CANCELLING)}": others["covered"].mean(),
                "a tenth of those below": others["covered"].quantile(0.1),
                "too low": group["too low"].mean(),
            }
        )
    return pd.DataFrame(found)


def _by_draws(rows: pd.DataFrame) -> pd.DataFrame:
    toys = rows[rows["point"].str.startswith("|logit|")]
    shown = ["covered", "covered, flagged", "covered, kurtosis above 10", "covered, kurtosis at most 10"]
    found = toys.groupby(["point", "draws"])[shown].mean().reset_index()
    share = toys.assign(given=toys["interval"] == "yes").groupby(["point", "draws"])["given"].mean()
    return found.assign(**{"given an interval": share.to_numpy()})


def _by_error(rows: pd.DataFrame) -> pd.DataFrame:
    bins = pd.cut(rows["median standard error"], (0, 0.05, 0.1, 0.2, 0.4, np.inf))
    columns = ["groups", "false, one by one", "false, Gaussian law", "false"]
    found = rows.groupby(bins, observed=True)[columns].sum().reset_index()
    return found.astype({"median standard error": str})


def _frame(frame: pd.DataFrame) -> str:
    cells = [[f"{value:.3g}" if isinstance(value, float) else str(value) for value in row] for row in frame.to_numpy()]
    return results.table([str(column) for column in frame.columns], cells)
