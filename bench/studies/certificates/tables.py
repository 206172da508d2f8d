"""The tables of certificates: every check and every bias as CSV, and pages of what was certified and measured."""

from collections.abc import Iterator, Mapping, Sequence

from scipy import stats

from bench.studies import results
from bench.studies.results import Row
from estimators.checks import ALPHA, CHECKS, Certificate, Result
from estimators.checks.grid import LEVELS
from estimators.families import FAMILIES

COLUMNS = (
    "estimator", "family", "declared", "check", "status", "quantity", "objective", "level", "problems", "value", "low",
    "high", "message",
)  # fmt: skip
KNOWN = (
    ("proved", "bias not excluded by proof", "exact"),
    ("bounded", "bound of the bias", "bound"),
    ("sampled", "bias seen by sampling", "detectable"),
)
"""How problems are decided: the count of them, what is said of them, and under which name."""


def rows(certificate: Certificate) -> Iterator[Row]:
    """A row for each check, and one for each number that the bias check rests on."""
    for result in certificate.results:
        case = {"estimator": certificate.estimator, "declared": "unbiased" if certificate.unbiased else "biased"}
        case |= {"family": result.family, "check": result.check, "status": result.status}
        numbers = result.numbers
        yield Row(quantity="verdict", case=case | {"message": " ".join([result.message, *result.warnings])})
        for level, value in numbers.get("detectable", {}).get("by_level", {}).items():
            yield Row(quantity="detectable bias", case=case | {"level": level}, value=value)
        for level, decided in numbers.get("decided", {}).items():
            for count, quantity, value in KNOWN:
                if decided[count]:
                    at = case | {"level": level, "problems": decided[count]}
                    yield Row(quantity=quantity, case=at, value=decided[value])
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


def _certified(result: Result, seconds: float) -> list[str]:
    """How the mean of an unbiased estimator is known, level by level."""
    by_level = result.numbers.get("decided", {})
    counts = [str(sum(found[name] for found in by_level.values())) for name in ("proved", "bounded", "sampled")]
    return [*counts, *(_known(by_level.get(f"{level:g}")) for level in LEVELS), f"{seconds:.0f}"]


def _known(decided: Mapping[str, float] | None) -> str:
    """What a level's problems exclude: a proof, a bound, or what sampling would have seen."""
    if decided is None:
        return "-"
    parts = [f"{decided['exact']:.0e}"] if decided["proved"] else []
    parts += [f"< {decided['bound']:.1%}"] if decided["bounded"] else []
    parts += [f"~ {decided['detectable']:.0%}"] if decided["sampled"] else []
    return ", ".join(parts)


def proved(certificates: Sequence[Certificate], level: float = 1e-8) -> tuple[int, int, int]:
    """Of what is declared unbiased: how many there are, how many are proved at every level, and in every problem."""
    total = somewhere = everywhere = 0
    for certificate in certificates:
        for result in certificate.results:
            if result.check == "unbiased":
                found = list(result.numbers.get("decided", {}).values())
                total += 1
                here = bool(found) and all(d["proved"] and d["exact"] <= level for d in found)
                somewhere += here
                everywhere += here and all(not (d["bounded"] or d["sampled"]) for d in found)
    return total, somewhere, everywhere


def _measured(by_level: Sequence[Mapping[str, float]]) -> list[str]:
    """The bias of a biased estimator, level by level."""
    return [
        f"{100 * bias['bias']:.3g} %"
        if bias["high"] - bias["low"] <= 1e-3 * bias["bias"] or bias["high"] < 1e-6
        else f"{bias['bias']:.1%} [{max(bias['low'], 0.0):.1%}, {bias['high']:.1%}]"
        for bias in by_level
    ]


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
    total, somewhere, everywhere = proved(certificates)
    events = "; ".join(
        f"{name} " + ", ".join(" x ".join(map(str, event)) for event in family.certified_events)
        for name, family in FAMILIES.items()
    )
    shared = ["estimator", "family", "outcome", "samples"]
    others = [name for name in CHECKS if name != "unbiased"]
    return results.page(
        "Certificates",
        f"Every registered estimator against the exact gradient, in float64: latents {events}; |logit| or, for "
        "Gaussians, sharpness s with scale 2 / 10^(s/8) of 0, 1, 3, 6, 15; objectives constant, quadratic, cubic, "
        "coupled quadratic, a frozen tanh network, and one with log q inside (bounds have log q in all). "
        f"Each also passed, or its outcome says otherwise: {', '.join(others)}. Made by `{command}`; {made}.",
        "## Declared unbiased",
        f"{somewhere} of {total} are proved to 1e-8 at every level, {everywhere} of them in every problem.",
        "An estimator is a function of its noise, and where the noise of a problem can be integrated over, its mean "
        "is known: under each level stands the share of the exact gradient's length that is not excluded, the largest "
        "of all problems that are proved. `< 0.4%` is the largest bound of those that are not, with 99 % confidence "
        "each: 16 independently scrambled sets of Sobol points over the noise, Student's t. `~ 5%` is what "
        "sampling would have seen with 99 % chance in those that neither decides, at a family-wise error of "
        f"{ALPHA:g} a certificate, by Bernstein's inequality. At 4096 draws costs of a millionth and of minus a "
        "million, the largest event of four, and 5 and 8 samples are left out; more draws also prove and bound more.",
        results.table([*shared, "proved", "bounded", "sampled", *levels, "s"], certified),
        "## Declared biased",
        "Bias relative to the length of the exact gradient: the largest over sizes and samples at each level. Without "
        "an interval it is exact, by integration over the noise. With one it is bounded (99 %, Sobol points) or "
        "sampled (95 %, of a U-statistic, its noise floor subtracted); 0 in the interval: none to be seen.",
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
