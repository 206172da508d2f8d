"""Whether a suite's draws are enough for how sharp its toys are."""

from bench.measure.rare import expected_rare_events, least_draws
from bench.measure.toy import IntegratedMoments
from bench.problems.toys import ToyConfig
from bench.statistics import LEAST_RARE_EVENTS
from bench.suite.draws import fits
from bench.suite.schema import Suite
from estimators.errors import BadInput
from estimators.registry import get


def check_draws(suite: Suite, source: str) -> None:
    """Refuse toys so sharp that no estimator of the suite could have an interval from its draws.

    Args:
        suite: checked.
        source: names it.

    Raises:
        BadInput: what is expected among the draws, and how many draws would do.
    """
    moments, drawn = suite.moments, [one for one in suite.estimators if not get(one.name).enumerates]
    if moments is None or not drawn:
        return
    for problem in suite.problems:
        if not isinstance(problem, ToyConfig):
            continue
        of_each = [fits(one, problem, samples=suite.samples, budgets=suite.budgets) for one in drawn]
        samples = max((config.samples or 1 for found in of_each for config in found.configs), default=1)
        for point in problem.points():
            if isinstance(moments.of(point, suite.common(problem, drawn[0])), IntegratedMoments):
                continue
            q = point.q()
            expected = expected_rare_events(q, moments.draws * samples)
            if expected < LEAST_RARE_EVENTS:
                raise BadInput(
                    f"{source}: moments.draws = {moments.draws} is too few for {problem.label} at |logit| "
                    f"{point.logit:g}: {expected:.2g} rare outcomes are expected among them, and an interval takes "
                    f"{LEAST_RARE_EVENTS:g}; take at least {least_draws(q, samples)} draws, a smaller |logit|, "
                    "or exact = true"
                )
