"""A family of a third party, in one file: Laplace latents, with loc and scale, independent, [*B, D]."""

import torch
from torch.distributions import Laplace as LaplaceDistribution

from estimators.families import Reparameterized, register_family
from estimators.families.quadrature import MAX_STATES, tuples
from estimators.noise import LEAST


@register_family
class Laplace(Reparameterized):
    """Laplace latents: log q(z) = -|z - loc| / scale - log(2 scale)."""

    name = "laplace"
    distribution = LaplaceDistribution
    parameter_names = ("loc", "scale")
    sharpness = "sharpness s, scale 1 / 10^(s/8)"
    sweep = "scales"
    certified_events = ((1,), (2,), (3,))  # the exact gradient is a product quadrature

    def parameters(self, q):
        return q.loc, q.scale

    def build(self, *values):
        loc, scale = values
        return LaplaceDistribution(loc, scale, validate_args=False)

    def from_raw(self, *raw):
        loc, log_scale = raw
        return self.build(loc, log_scale.exp())

    def sample(self, q, samples, noise):
        with torch.no_grad():
            return self.rsample(q, samples, noise)

    def rsample(self, q, samples, noise):
        loc, scale = self.parameters(q)
        odds = noise.odds(samples, loc)
        # The difference of two exponential numbers is Laplace; here by its quantiles, precise in both tails.
        size = -torch.log(2 * torch.minimum(odds, 1 / odds) / (1 + torch.minimum(odds, 1 / odds)))
        return loc + scale * size.clamp_min(LEAST) * torch.where(odds < 1, -1.0, 1.0).to(loc)

    def log_prob(self, q, z):
        loc, scale = self.parameters(q)
        return (-(z - loc).abs() / scale - (2 * scale).log()).sum(-1)

    @torch.no_grad()
    def scores(self, q, z):
        loc, scale = self.parameters(q)
        standard = (z - loc) / scale
        return standard.sign() / scale, (standard.abs() - 1) / scale

    def kl(self, q, p):
        (loc, scale), (other_loc, other_scale) = self.parameters(q), self.parameters(p)
        gap = (loc - other_loc).abs()
        return (((other_scale / scale).log() + (scale * (-gap / scale).exp() + gap) / other_scale) - 1).sum(-1)

    def quadrature(self, q, nodes):
        """Double-exponential on each side of loc, where log q has a kink; more nodes where latents are few."""
        loc, scale = self.parameters(q)
        size, rows = loc.shape[-1], [1] * (loc.dim() - 1)
        half = max(nodes, min(100, int(MAX_STATES ** (1 / size)))) // 2
        t = torch.linspace(-3.6, 3.5, half, dtype=torch.float64)
        x = (t - (-t).exp()).exp()
        weight = (-x).exp() * x * (1 + (-t).exp())
        points, weights = torch.cat([x, -x]).to(loc), torch.cat([weight, weight]).to(loc)
        z = loc + scale * tuples(points, size).reshape(-1, *rows, size)
        return z, tuples(weights / weights.sum(), size).prod(-1).reshape(-1, *rows)

    def moderate(self, q, noise):
        loc, scale = (p.detach() for p in self.parameters(q))
        a, b = (noise.normal(1, p)[0] for p in (loc, scale))
        return loc + 0.5 * scale * a, scale * (0.3 * b).exp()

    def sharpened(self, level, turn, event):
        uneven = torch.linspace(1, 1 / 3, *event, dtype=level.dtype)
        return (0.6 + level / 10)[:, None] * (1 - 2 * (turn % 2)) * uneven, 10 ** (-level / 8)[:, None] * uneven

    def toy(self, sharpness, event):
        loc = 0.5 + 0.5 * (torch.arange(*event) % 2).double()
        return self.build(loc[None], torch.full_like(loc, sharpness)[None])

    def extremes(self, *values):
        loc, scale = values
        return {f"scale {s:g}": (20 * loc, torch.full_like(scale, s)) for s in (1e-3, 1e3)}
