"""How many draws of z an estimator takes in a suite: as many as it says, or as the suite's budget asks for."""

from bench.config import EstimatorConfig
from bench.suite.example import example
from estimators.entry import Entry


def draws_for(evaluations: int, config: EstimatorConfig, entry: Entry, event: tuple[int, ...]) -> int | None:
    """Draws with which an estimator evaluates f so often, or None where there is no such number."""
    for samples in range(1, evaluations + 1) if config.samples is None else (config.samples,):
        if entry.samples.allow(samples) and entry.evaluations(samples, event, config.options) == evaluations:
            return samples
    return None


def why_not(evaluations: int, config: EstimatorConfig, entry: Entry, event: tuple[int, ...]) -> str:
    """Why there is no such number of draws, in half a sentence with the nearest numbers of evaluations."""
    reason = f"cannot spend exactly {evaluations} evaluations of f a row"
    if entry.enumerates:
        return f"{reason}: it evaluates all joint states"
    if entry.f_evals is None:
        return f"{reason}: it does not say how many it takes; give @register(...) f_evals, a function of samples"
    most = max(2 * evaluations, entry.samples.min) + 2
    tried = range(1, most) if config.samples is None else (config.samples,)
    allowed = filter(entry.samples.allow, tried)
    possible = sorted({entry.evaluations(samples, event, config.options) or 0 for samples in allowed})
    near = [*[n for n in possible if n < evaluations][-1:], *[n for n in possible if n > evaluations][:1]]
    return f"{reason}; the nearest {'are' if near[1:] else 'is'} {' and '.join(map(str, near))}"


def resolve(config: EstimatorConfig, entry: Entry, preferred: int | None) -> EstimatorConfig:
    """The estimator with its number of samples filled in, its options checked."""
    samples = config.samples
    if samples is None and preferred is not None:
        samples = preferred if entry.samples.allow(preferred) else None
    if samples is None:
        samples = entry.samples.default
    resolved = config.model_copy(update={"samples": samples})
    example(resolved)
    return resolved
