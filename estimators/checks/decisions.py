"""How the means of a subject's problems are known: proved, bounded or sampled, and how sharply."""

from typing import Any, NamedTuple

from estimators.checks.sequence import Sampled


class Decided(NamedTuple):
    """How the means of the problems of a level, or of all levels, are known."""

    proved: int
    """Problems whose mean is known by integration."""
    exact: float
    """The largest share of the gradient's length that is not excluded there."""
    bounded: int
    """Problems whose mean is bounded by Sobol points."""
    bound: float
    """The largest bound, 99 % each."""
    sampled: int
    detectable: float
    """The largest bias that sampling would have missed with more than 1 % chance."""

    def __add__(self, other: Any) -> "Decided":
        """Of both."""
        pairs = zip(self, other, strict=True)
        return Decided(*(a + b if isinstance(a, int) else max(a, b) for a, b in pairs))


def decisions(found: Sampled) -> dict[float, Decided]:
    """How the means of each level's problems are known, constant objectives left out."""
    by_level: dict[float, Decided] = {}
    for tally in found.tallies:
        known = (tally.mean.abs() + tally.error)[:, : tally.width].norm(dim=1) / tally.norm
        seen = tally.detectable(found.log_alpha)[:, : tally.width].amax(1) / tally.norm
        for index, row in enumerate(tally.grid.rows):
            if row.objective == "constant" or bool(tally.rare[index]):
                continue
            one = Decided(0, 0.0, 0, 0.0, 1, float(seen[index]))
            if bool(tally.proved.rows[index]):
                one = Decided(1, float(known[index]), 0, 0.0, 0, 0.0)
            elif bool(tally.bounded.rows[index]):
                one = Decided(0, 0.0, 1, float(known[index]), 0, 0.0)
            by_level[row.level] = by_level[row.level] + one if row.level in by_level else one
    return dict(sorted(by_level.items()))


def decided_words(by_level: dict[float, Decided], sharpness: str) -> str:
    """The same in words."""
    whole = sum(by_level.values(), Decided(0, 0.0, 0, 0.0, 0, 0.0))
    parts = []
    if whole.proved:
        parts.append(
            f"proved to {whole.exact:.0e} of the gradient's length in {whole.proved} problems, by integration over the "
            "noise"
        )
    if whole.bounded:
        levels = ", ".join(f"{d.bound:.1%} at {level:g}" for level, d in by_level.items() if d.bounded)
        parts.append(
            f"bounded in {whole.bounded}, by Sobol points over the noise: by {sharpness}, no bias above {levels}, with "
            "99 % confidence each"
        )
    if whole.sampled:
        levels = ", ".join(f"{d.detectable:.1%} at {level:g}" for level, d in by_level.items() if d.sampled)
        parts.append(
            f"sampled in {whole.sampled}: by {sharpness}, 99 % chance to see on any one problem a bias of {levels} of "
            "the gradient's length"
        )
    return "; ".join(parts)
