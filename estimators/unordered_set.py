"""Unordered set: distinct joint states drawn without replacement, the order of drawing integrated out.

W. Kool, H. van Hoof, M. Welling, Estimating gradients for discrete random variables by sampling without replacement,
2020, arXiv:2002.06043, with the baseline that is built in. The set S is drawn by ancestral Gumbel-top-k sampling over
the factorised q (the same authors, Stochastic beams and where to find them, 2019, arXiv:1903.06059), which is exact for
the joint states. Given S alone, the chance that s was drawn first is w_s, and that s and then t were is
W_st / (1 - q(s)), with W_st = W_ts:

    value     sum_s w_s f(s)
    gradient  sum_{s < t} W_st (f(s) - f(t)) grad (log q(s) - log q(t)).

In the paper's words w_s = q(s) R(S, s), and the second line is its estimator with baseline, rearranged: where t follows
s, f(s) less its baseline is (1 - q(s)) (f(s) - f(t)). With m(T) the mass of all states outside of T, w and W are ratios
of F(T) = (1 / m(T)) sum_{s in S - T} F(T + s), F(S) = 1, which sums over orders: w_s = F({s}) / F({}),
W_st = F({s, t}) / F({}). All are sums of positive terms, of which the logarithms are kept, so that nothing is lost
where S has almost all of the mass.
"""

import torch
from torch import Tensor
from torch.distributions import Distribution

from estimators.base import Estimate, Estimator, Objective
from estimators.distributions import parameters, scored, stopped
from estimators.families.logits import log_softmax
from estimators.noise import Noise, exponential_of
from estimators.registry import register
from estimators.tabulated import tabulated

MAX_SAMPLES = 10
"""States in the set; the sums over orders have 2^samples terms."""


def draw_set(log_probs: Tensor, exponential: Tensor) -> Tensor:
    """Classes [*B, n, L] of n = min(k, C^L) distinct joint states of log_probs [*B, L, C], made of noise [k, *B, L, C].

    A state of probability p arrives at a time that is exponential with rate p; the first k to arrive are wanted. The
    first arrival below a node of the tree of latents is that of one of its children, the first among exponential clocks
    with the children's rates; the others' are later by the differences of these clocks, which have no memory.
    """
    latents, classes = log_probs.shape[-2:]
    arrival = torch.full_like(log_probs[..., :1, 0], -torch.inf)  # log of the time, *B x n
    reached = torch.zeros_like(arrival)  # log probability of what was chosen so far, *B x n
    chosen = torch.zeros((*arrival.shape, 0), dtype=torch.long, device=log_probs.device)
    for latent in range(latents):
        own = log_probs[..., latent, :].unsqueeze(-2)  # *B x 1 x C
        noise = exponential[: arrival.shape[-1], ..., latent, :].movedim(0, -2)  # *B x n x C
        clock = noise.log() - own
        first = clock.amin(-1, keepdim=True)
        later = clock + torch.log1p(-(first - clock).exp())
        times = torch.logaddexp(arrival.unsqueeze(-1), later - reached.unsqueeze(-1)).flatten(-2)
        arrival, index = times.topk(min(len(exponential), times.shape[-1]), -1, largest=False)
        parent, child = index // classes, index % classes
        reached = (reached.unsqueeze(-1) + own).flatten(-2).gather(-1, index)
        ancestors = chosen.gather(-2, parent.unsqueeze(-1).expand(*parent.shape, latent))
        chosen = torch.cat((ancestors, child.unsqueeze(-1)), -1)
    return chosen


def log_mass_outside(log_probs: Tensor, z: Tensor) -> Tensor:
    """Log of the mass [*B] of all joint states but the n distinct one-hot states z [*B, n, L, C].

    Every other state leaves the tree of these states at one node, by a class that none of them takes from there: a sum
    over nodes, each counted for the first state that passes it. One minus the mass of z would be lost to rounding.
    """
    per_latent = (z * log_probs.unsqueeze(-3)).sum(-1)  # *B x n x L
    before = per_latent.cumsum(-1) - per_latent  # log probability of the classes of the latents before
    differ = (z.unsqueeze(-3) * (1 - z).unsqueeze(-4)).sum(-1)  # *B x n x n x L
    same = (differ.cumsum(-1) - differ) == 0  # whether two states agree on all latents before
    taken = torch.einsum("...ijl,...jlc->...ilc", same.to(z), z) > 0
    left = log_probs.unsqueeze(-3).masked_fill(taken, -torch.inf).logsumexp(-1)  # *B x n x L
    count = z.shape[-3]
    earlier = torch.ones(count, count, dtype=torch.bool, device=z.device).tril(-1).unsqueeze(-1)
    counted = (same & earlier).any(-2)  # by a state before
    return (before + left).masked_fill(counted, -torch.inf).logsumexp((-2, -1))


@tabulated
def _subsets(count: int, size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Subsets of this size as binary numbers [N], and what each misses [N, count - size]."""
    subsets = [t for t in range(2**count) if t.bit_count() == size]
    missing = [[s for s in range(count) if not t >> s & 1] for t in subsets]
    return torch.tensor(subsets, device=device), torch.tensor(missing, device=device)


def order_sums(log_p: Tensor, outside: Tensor) -> Tensor:
    """log F(T) [2^n, *B] of the subsets T of a set of n states, T written as a number in binary.

    Args:
        log_p: log probabilities of the states, [n, *B].
        outside: log of the mass of all other states, [*B].
    """
    count = len(log_p)
    sums = log_p.new_zeros((2**count, *outside.shape))
    for size in reversed(range(count)):
        this, missing = _subsets(count, size, log_p.device)
        mass = torch.logaddexp(log_p[missing].logsumexp(1), outside)
        sums[this] = sums[this.unsqueeze(1) + 2**missing].logsumexp(1) - mass
    return sums


@register(
    "unordered-set",
    families=("categorical",),
    method="summation",
    unbiased=True,
    samples=(2, 2),
    f_evals=lambda samples, event: min(samples, event[1] ** event[0]),
    needs="neither",
    summary="joint states without replacement, order integrated out",
    paper="Kool, van Hoof and Welling 2020, arXiv:2002.06043",
)
class UnorderedSet(Estimator):
    """A set of `samples` distinct joint states, or of all of them where there are fewer."""

    def __init__(self, samples: int = 2) -> None:
        super().__init__(samples)
        if not 2 <= samples <= MAX_SAMPLES:
            raise ValueError(f"takes between 2 and {MAX_SAMPLES} samples, got samples={samples}")

    def estimate(self, q: Distribution, f: Objective, noise: Noise) -> Estimate:
        with torch.no_grad():
            log_probs = log_softmax(parameters(q)[0])
            classes = draw_set(log_probs, exponential_of(noise.odds(self.samples, log_probs)))
            states = torch.zeros_like(log_probs).unsqueeze(-3).expand(*classes.shape, log_probs.shape[-1])
            states = states.scatter(-1, classes.unsqueeze(-1), 1.0)  # *B x n x L x C
            z = states.movedim(-3, 0)
            count = len(z)
            sums = order_sums((z * log_probs).sum((-2, -1)), log_mass_outside(log_probs, states))
            alone = 2 ** torch.arange(count, device=z.device)
            first = (sums[alone] - sums[0]).exp()  # w, n x *B
            pairs = (sums[alone.unsqueeze(1) | alone] - sums[0]).exp()  # W, n x n x *B
        cost = f(z, stopped(q))  # n x *B
        fixed = cost.detach()
        # where s = t the pair is no pair, but the difference of costs is zero
        signal = (pairs * (fixed.unsqueeze(1) - fixed)).sum(1)
        value = (first * cost).sum(0)  # carries theta's gradient
        return Estimate(scored(q, z, signal) + value, value.detach())
