"""Mutually antithetic rare events: n draws that each happen with a chance below one half and avoid each other.

A bit's rarer value is the event. The copula couples the n draws of a bit, each of which keeps its chance
m = sigmoid(-away), and any two of which have correlation rho. ARMS and CARMS need the draws and 1 - rho, which is
P(two draws differ) / (2 m (1 - m)) and lies between 1, independence, and 1 / (1 - m), the most that is possible.

The events of a bit are exchangeable: how many happen decides their law, and any choice of as many draws is as likely.

dirichlet: d uniform on the simplex; draw i happens where (1 - d_i)^(n - 1) < m, for small m never two together.
gaussian: n normal numbers minus their mean, with correlation -1 / (n - 1); draw i happens in the lower tail.
independent: no coupling.
"""

import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from estimators.families.logits import below
from estimators.noise import Noise
from estimators.tabulated import tabulated

NODES = 64
"""Gauss-Legendre nodes for Owen's T function: 1 - rho to 14 digits."""

MOST_COUNTED = 16
"""Draws for which the chance of each number of events is computed."""

MOST_LISTED = 9
"""Draws for which all choices of those where the event happens are looked up in a table."""


class Copula(NamedTuple):
    """A coupling of n draws."""

    draw: Callable[[int, Tensor, Noise], Tensor]
    """(n, away [*shape], noise) to the events, 1 or 0 [n, *shape]."""
    decorrelation: Callable[[int, Tensor], Tensor]
    """(n, away [*shape]) to 1 - rho [*shape]."""


def _dirichlet_draw(count: int, away: Tensor, noise: Noise) -> Tensor:
    """How many events happen, from a single uniform number, and which: all choices of as many draws are as likely."""
    if count <= MOST_COUNTED:
        precise = away.double()
        happened = (noise.uniform(1, precise) < _at_least(count, precise)).sum(0)
    else:
        happened = _by_spacings(count, away, noise)
    return _events(count, happened, away, noise)


def _at_least(count: int, away: Tensor) -> Tensor:
    """P(at least k of the n events happen), k = 1 to n, [n, *shape], in double precision: inclusion and exclusion.

    j given events all happen with chance max(0, 1 - j (1 - t))^(n - 1), t = m^(1 / (n - 1)). Terms cancel little where
    n is small, as d_i seldom exceed 1 - t together: 13 digits up to 16 draws, 8 at 30, none at 64.
    """
    chance = (-away).sigmoid()
    below_one = chance.log().div_(count - 1).expm1_()  # t - 1
    numbers = torch.arange(1, count + 1, dtype=away.dtype, device=away.device).reshape(-1, *[1] * away.dim())
    left = (numbers * below_one).add_(1).clamp_min_(0)
    together = left.clone()
    for _ in range(count - 2):  # a power takes twice the time of these products
        together.mul_(left)
    together[0] = chance  # t^(n - 1), with the digits that 1 - (1 - t) loses where m is small
    chances: Tensor = torch.tensordot(_inclusion_exclusion(count, away.device), together, 1)
    return chances


@tabulated
def _inclusion_exclusion(count: int, device: torch.device) -> Tensor:
    """What P(at least k) takes of P(j given events all happen), [n, n]: (-1)^(j - k) C(j - 1, k - 1) C(n, j)."""
    numbers = range(1, count + 1)
    rows = [[(-1) ** (j - k) * math.comb(j - 1, k - 1) * math.comb(count, j) for j in numbers] for k in numbers]
    return torch.tensor(rows, dtype=torch.float64, device=device)


def _by_spacings(count: int, away: Tensor, noise: Noise) -> Tensor:
    """How many events happen, for any number of draws: a point of the simplex from its order statistics.

    A gamma variate a draw would hold the digits of 1 - d_i too, but a rare event would need all the others to be small.
    """
    last = torch.exp(noise.uniform(1, away).log() / (count - 1))  # 1 minus a Beta(1, n - 1) number
    spacings = -noise.uniform(count - 1, away).log()
    spacings = spacings * (last / spacings.sum(0, keepdim=True))
    left = torch.arange(count, 1, -1, dtype=away.dtype, device=away.device).reshape(-1, *[1] * away.dim())
    others = (spacings / left).cumsum(0)  # the n - 1 smallest, in order: Renyi's representation
    away_from_one = torch.cat((1 - others, others.sum(0, keepdim=True)))  # the largest one's keeps its digits
    return below(away_from_one, torch.exp(F.logsigmoid(-away) / (count - 1))).sum(0)


def _events(count: int, happened: Tensor, like: Tensor, noise: Noise) -> Tensor:
    """Events [n, *shape] of which so many happen: looked up for few draws, since sorting costs more than the rest."""
    if count > MOST_LISTED:
        return below(noise.uniform(count, like).argsort(0).to(like.dtype), happened)
    table = _subsets(count, like.device)
    length = table.shape[-1]
    which = noise.choice(length, (1, *like.shape), like.device)[0]
    return table.to(like.dtype).flatten(1)[:, happened * length + which]


@tabulated
def _subsets(count: int, device: torch.device) -> Tensor:
    """For each number k of events, all choices of k draws, each repeated to fill one common length: [n, n + 1, L]."""
    choices = [list(itertools.combinations(range(count), k)) for k in range(count + 1)]
    length = math.lcm(*map(len, choices))
    rows = [[[i in few[c % len(few)] for c in range(length)] for few in choices] for i in range(count)]
    return torch.tensor(rows, device=device)


def _dirichlet_decorrelation(count: int, away: Tensor) -> Tensor:
    # P(both) / m = (2 - m^(-1 / (n - 1)))^(n - 1), or 0; the power may overflow, into 0.
    both = (2 - torch.exp(F.softplus(away) / (count - 1))).clamp_min(0).pow(count - 1)
    return (1 - both) / away.sigmoid()


def _gaussian_draw(count: int, away: Tensor, noise: Noise) -> Tensor:
    precise = away.double()  # single precision draws none beyond 5.8, a chance of 4e-9
    if count == 2:  # what is left of two normal numbers without their mean are opposites: one uniform number says both
        odds = noise.odds_to_compare(1, precise)
        return below(torch.cat((odds, 1 / odds)), (-precise).exp()).to(away.dtype)
    x = noise.normal(count, precise)
    x = (x - x.mean(0)) * math.sqrt(count / (count - 1))
    return below(x, torch.special.ndtri((-precise).sigmoid())).to(away.dtype)


def _gaussian_decorrelation(count: int, away: Tensor) -> Tensor:
    """By Owen's T function: P(x < t, y > t) = 2 T(t, a), a^2 = (1 + 1/(n-1)) / (1 - 1/(n-1)) = n / (n - 2)."""
    if count == 2:
        return 1 / away.sigmoid()
    precise = away.double().clamp_max(600)  # where the normal quantile is finite; 1 - rho is 1 long before
    t = torch.special.ndtri((-precise).sigmoid())
    nodes, weights = _legendre(NODES, precise.device)
    end = math.sqrt(count / (count - 2))
    x = (nodes + 1) * 0.5 * end
    # T(t, a) / m, with the density at t and m under one exponential, as both may underflow.
    log_density = -0.5 * t.square() + F.softplus(precise)
    integrand = torch.exp(log_density.unsqueeze(-1) - 0.5 * (t.unsqueeze(-1) * x).square()) / (1 + x.square())
    owen = (integrand * weights).sum(-1) * 0.5 * end / (2 * math.pi)
    return (2 * owen / precise.sigmoid()).to(away.dtype)


@tabulated
def _legendre(nodes: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Nodes and weights [nodes] on [-1, 1], by Golub and Welsch."""
    k = torch.arange(1, nodes, dtype=torch.float64)
    off = k / (4 * k.square() - 1).sqrt()
    values, vectors = torch.linalg.eigh(torch.diag(off, 1) + torch.diag(off, -1))
    return values.to(device), (2 * vectors[0].square()).to(device)


COPULAS = {
    "dirichlet": Copula(_dirichlet_draw, _dirichlet_decorrelation),
    "gaussian": Copula(_gaussian_draw, _gaussian_decorrelation),
    "independent": Copula(
        lambda count, away, noise: below(noise.uniform(count, away), (-away).sigmoid()),
        lambda count, away: torch.ones_like(away),
    ),
}
"""Couplings by name."""
