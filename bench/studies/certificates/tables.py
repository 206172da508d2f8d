"""The tables of certificates: every check and every bias as CSV, and pages of what was certified and measured."""

from collections.abc import Iterator, Mapping, Sequence

from scipy import stats

from bench.studies import results
from bench.studies.results import Row
from estimators.checks import ALPHA, Certificate, Result
from estimators.checks.grid import LEVELS
from estimators.families import FAMILIES

COLUMNS = (
    "estimator", "family", "declared", "check", "status", "quantity", "objective", "level", "value", "low", "high",
    "message",
)  # fmt: skip


def rows(certificate: Certificate) -> Iterator[Row]:
    """A row for each check, and one for each number that the bias check rests on."""
    for result in certificate.results:
        case = {"estimator": certificate.estimator, "declared": "unbiased" if certificate.unbiased else "biased"}
        case |= {"family": result.family, "check": result.check, "status": result.status}
        numbers = result.numbers
        yield Row(quantity="verdict", case=case | {"message": " ".join([result.message, *result.warnings])})
        for level, value in numbers.get("detectable", {}).get("by_level", {}).items():
            yield Row(quantity="detectable bias", case=case | {"level": level}, value=value)
        for pooled in numbers.get("pooled", ()) if result.status == "passed" else ():
            at = case | {"level": pooled["level"]}
            yield Row(quantity="detectable factor", case=at, value=pooled["detectable"])
        for objective, found in numbers.get("by_objective", {}).items():
            for bias in found["by_level"]:
                at = case | {"objective": objective, "level": bias["level"]}
                yield Row(quantity="bias", case=at, value=bias["bias"], low=bias["low"], high=bias["high"])


def csv(certificates: Sequence[Certificate]) -> str:
    """The rows of all certificates."""
    return results.csv([row.columns() for one in certificates for row in rows(one)], COLUMNS)


def _outcome(certificate: Certificate, family: str) -> str:
    failed = [result.check for result in certificate.failures if result.family == family]
    if failed:
        return f"refuted: {', '.join(failed)}"
    return "certified" if certificate.unbiased else "measured"


def _share(value: float | None) -> str:
    return "-" if value is None else "exact" if value < 1e-4 else f"{value:.1%}"


def _certified(result: Result, seconds: float) -> list[str]:
    """What the check of an unbiased estimator could have seen, level by level."""
    numbers = result.numbers
    single = numbers.get("detectable", {}).get("by_level", {})
    pooled = {found["level"]: found["detectable"] for found in numbers.get("pooled", ())}
    levels = [f"{_share(single.get(level))} / {_share(pooled.get(level))}" for level in LEVELS]
    return [f"{numbers.get('problems', 0)}", f"{numbers.get('draws', 0):.1e}", *levels, f"{seconds:.0f}"]


def _measured(by_level: Sequence[Mapping[str, float]]) -> list[str]:
    """The bias of a biased estimator, level by level."""
    return [f"{bias['bias']:.1%} [{max(bias['low'], 0.0):.1%}, {bias['high']:.1%}]" for bias in by_level]


def markdown(certificates: Sequence[Certificate], command: str, made: str) -> str:
    """The certified in one table, the measured in another."""
    certified, measured, warnings = [], [], []
    for certificate in certificates:
        name, samples = certificate.estimator, ", ".join(map(str, certificate.samples))
        for result in certificate.results:
            family = result.family
            warnings += [f"- {name}, {family}, {result.check}: {warning}" for warning in result.warnings]
            if result.check not in ("unbiased", "bias"):
                continue
            shared = [name, family, _outcome(certificate, family), samples]
            if certificate.unbiased:
                certified.append([*shared, *_certified(result, certificate.seconds)])
            for objective, bias in () if certificate.unbiased else result.numbers.get("by_objective", {}).items():
                measured.append([*shared, objective, *_measured(bias["by_level"])])
    levels = [f"{level:g}" for level in LEVELS]
    events = "; ".join(
        f"{name} " + ", ".join(" x ".join(map(str, event)) for event in family.certified_events)
        for name, family in FAMILIES.items()
    )
    shared = ["estimator", "family", "outcome", "samples"]
    return results.page(
        "Certificates",
        f"Every registered estimator against the exact gradient, in float64: latents {events}; |logit| or, for "
        "Gaussians, sharpness s with scale 2 / 10^(s/8) of 0, 1, 3, 6, 15; objectives constant, quadratic, cubic, "
        "coupled quadratic, a frozen tanh network, and one with log q inside (bounds have log q in all). "
        "Each also passed, or its outcome says otherwise: generator, evaluations, dtype, rows, leading-dims, "
        f"state, auxiliary, finite, theta, value, constant. Made by `{command}`; {made}.",
        "## Declared unbiased",
        "Under each level: the bias, relative to the length of the exact gradient, that every single problem of "
        "that level would have shown with 99 % chance, and after the stroke the error of a factor on all "
        f"problems of that level. The family-wise error of a certificate is {ALPHA:g}, by Bernstein's inequality "
        "at each of up to four looks; from |logit| 6 on rare outcomes are forced and weighted.",
        results.table([*shared, "problems", "draws", *levels, "s"], certified),
        "## Declared biased",
        "Bias relative to the length of the exact gradient, its noise floor subtracted, with a 95 % interval "
        "(normal, of a U-statistic; at most 65,536 draws a problem): the largest over sizes and samples at each "
        "level. 0 in the interval: none to be seen.",
        results.table([*shared, "objective", *levels], measured),
        *(["## Warnings", "\n".join(warnings)] if warnings else []),
    )


def null_csv(rows: Sequence[Row]) -> str:
    """A row for each repeated certificate."""
    columns = ("estimator", "draws", "seed", "verdict", "failed", "smallest_p")
    return results.csv([row.columns() | {"smallest_p": row.value} for row in rows], columns)


def null(rows: Sequence[Row], made: str) -> str:
    """How often a correct estimator was refuted."""
    cells = []
    for name, draws in dict.fromkeys((row.case["estimator"], row.case["draws"]) for row in rows):
        own = [row for row in rows if row.case["estimator"] == name]
        wrong = sum(row.case["verdict"] == "refuted" for row in own)
        ends = stats.binomtest(wrong, len(own)).proportion_ci(method="exact")
        share = f"{wrong / len(own):.2%} [{ends.low:.2%}, {ends.high:.2%}]"
        smallest = min(row.value for row in own)
        cells.append([name, str(draws), str(len(own)), str(wrong), share, f"{smallest:.1e}"])
    titles = ["estimator", "draws a problem at most", "certificates", "refuted", "share", "smallest p bound"]
    return results.page(
        "How often chance refutes a correct estimator",
        "Whole certificates of estimators that are right, each with a seed of its own; the share refuted with "
        f"its exact 95 % interval (Clopper and Pearson). Promised: at most {ALPHA:g}. The last column is the "
        f"smallest bound on a p-value of any single mean. Made by `tox -e certify-null`; {made}.",
        results.table(titles, cells),
    )
