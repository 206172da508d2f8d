"""The checks generator and evaluations: what decides the noise, and how f is called."""

from functools import cache

import torch
from torch import Tensor
from torch.distributions import Distribution

from estimators.checks.compare import apart
from estimators.checks.grid import Grid
from estimators.checks.noise import Watch
from estimators.checks.result import Result, failed
from estimators.checks.sampling import call
from estimators.checks.subject import Subject, copied, run
from estimators.distributions import parameters
from estimators.elsewhere import Elsewhere
from estimators.entry import Needs
from estimators.objective import CountedObjective


@cache
def generator(subject: Subject) -> Result:
    """The generator alone decides the result, and no global generator is used.

    The result is cached for each subject, since other checks ask for it.
    """
    grid = subject.small()
    context = subject.context(len(grid.rows))
    estimator = subject.create(grid)
    before = torch.get_rng_state()
    noises, results = [], []
    for seed, train in ((1, False), (1, False), (2, False), (1, True)):
        with Elsewhere() as elsewhere, Watch() as watch:
            results.append(run(copied(estimator).train(train), grid, seed, context=context))
        for draw in watch.draws:
            if draw.generator is None:
                message = f"{draw.source} is called without the generator: noise must come from the one that is given"
                return failed("generator", subject.family, message)
        used = elsewhere.found or (None if torch.equal(torch.get_rng_state(), before) else "torch")
        if used:
            message = f"the global generator of {used} is used: noise must come from the generator that is given"
            return failed("generator", subject.family, message)
        noises.append([draw.noise for draw in watch.draws])
    if apart(results[0], results[1]) > 0:
        message = (
            "the same generator seed gives another gradient the second time: there is noise, or state in eval(), "
            "of another source"
        )
        return failed("generator", subject.family, message)
    for a, b in zip(noises[0], noises[2], strict=False):
        if a.numel() > 8 and a.shape == b.shape and a.is_floating_point() and torch.equal(a, b):
            message = (
                "noise is the same for two seeds of the generator: it is drawn from a generator of its own, seeded anew"
            )
            return failed("generator", subject.family, message)
    differ = apart(results[0], results[2]) > 0
    if noises[0] and not differ and not subject.entry.enumerates:
        return failed("generator", subject.family, "two seeds give the same gradient, though noise is drawn")
    values = [v.clone().requires_grad_() for v in grid.values]
    g = torch.Generator().manual_seed(1)
    pairs = [call(copied(estimator), grid.family, values, grid.f(grid.theta), g, context).surrogate for _ in range(20)]
    if differ and all(torch.equal(pairs[0], other) for other in pairs):
        message = "calls one after the other on one generator draw the same noise: it is seeded or set back inside"
        return failed("generator", subject.family, message)
    call(copied(estimator), grid.family, values, grid.f(grid.theta), None, context)  # the generator is optional
    words = "the generator alone decides the result" if differ else "there is no noise"
    return Result("generator", subject.family, "passed", f"{words}, and no global generator is touched")


def evaluations(subject: Subject) -> Result:
    """f is evaluated as often as the tag `f_evals` says, and differentiated or relaxed only where `needs` says so."""
    entry, measured = subject.entry, {}
    step = 2 if entry.samples.even else 1
    least = subject.sample_counts[0]
    counts = (least,) if "samples" in subject.options or entry.enumerates else (least, least + step, least + 2 * step)
    needs: Needs = "neither"
    for samples, train in ((samples, train) for samples in counts for train in (True, False)):
        grid = subject.small(samples)
        seen = _Seen(grid)
        values = [v.clone().requires_grad_() for v in grid.values]
        context = subject.context(len(grid.rows))
        call(subject.create(grid).train(train), grid.family, values, seen, torch.Generator().manual_seed(11), context)
        if any(v.grad is not None for v in values):
            message = (
                "forward leaves gradients in q's parameters: it calls backward() itself, where it must use "
                "torch.autograd.grad"
            )
            return failed("evaluations", subject.family, message)
        measured[samples] = seen.evaluations
        expected = grid.states if entry.enumerates else entry.evaluations(samples, grid.event, subject.options)
        if expected is not None and seen.evaluations != expected:
            message = (
                f"f is evaluated {seen.evaluations} times a row where the tag f_evals says {expected} "
                f"(samples={samples}): correct the tag, or take out the evaluation"
            )
            return failed("evaluations", subject.family, message, evaluations=measured)
        needs = seen.needs
        if found := _against(seen, entry.needs, entry.bound):
            return failed("evaluations", subject.family, found, evaluations=measured)
    words = ", ".join(f"{count} (samples={samples})" for samples, count in measured.items())
    said = "as the tags say" if entry.f_evals or entry.enumerates else "no tag f_evals says so"
    message = f"f is evaluated {words} times a row, {said}; of f it takes: {needs}"
    return Result("evaluations", subject.family, "passed", message, {"evaluations": measured, "needs": needs})


class _Seen(CountedObjective):
    """f, recording whether it was differentiated in z or in q, and whether it was evaluated between the vertices."""

    def __init__(self, grid: Grid) -> None:
        super().__init__(grid.f(grid.theta))
        self.kind, self.discrete = grid.kind, grid.kind.discrete
        self.through_z = self.through_q = self.relaxed = False

    def __call__(self, z: Tensor, q: Distribution, /) -> Tensor:
        self.through_z |= z.requires_grad
        self.through_q |= torch.is_grad_enabled() and any(p.requires_grad for p in parameters(q))
        self.relaxed |= self.kind.off_support(z)
        return super().__call__(z, q)

    @property
    def needs(self) -> Needs:
        """The value of the tag `needs` that describes these calls."""
        return "relaxed f" if self.relaxed else "gradient of f" if self.through_z else "neither"


def _against(seen: _Seen, needs: Needs | None, bound: str) -> str | None:
    """What contradicts the tag `needs`, if it was given."""
    if needs == "neither" and seen.through_z:
        return "f is evaluated with a graph through z, where the tag needs says that no gradient of f is used: detach z"
    if needs == "neither" and seen.through_q and bound == "elbo":
        return (
            "f is evaluated with a graph through q's parameters, where the tag needs says that no gradient of f is "
            "used: pass q with stopped parameters (estimators.distributions.stopped), or the noise of log q's own "
            "gradient is added"
        )
    if needs in ("neither", "gradient of f") and seen.relaxed:
        return f"f is evaluated between the vertices, where the tag needs says {needs!r}: it needs a relaxed f"
    if needs in ("gradient of f", "relaxed f") and not seen.through_z:
        return f"the tag needs says {needs!r}, but f is never evaluated with a graph through z"
    if needs == "relaxed f" and seen.discrete and not seen.relaxed:
        return "the tag needs says 'relaxed f', but f is evaluated at vertices only"
    return None
