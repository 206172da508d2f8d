"""Gradients of any weights behind q, from those of q's parameters, by batched vector-Jacobian products.

The graph from the weights to q's parameters is deterministic, so that the gradient of the weights is linear in that of
q's parameters, whatever modules lie between. For the shared VAE's encoder `bench.measure.encoder` knows a cheaper way.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.distributions import Distribution

from estimators.distributions import parameters, row_shape

AT_ONCE = 2**24
"""Numbers of weights' gradients that are held at once."""


class Weights:
    """Weights that q's parameters depend on.

    Args:
        q: rows *B, its parameters in the graph of the weights.
        weights: W numbers in all.
    """

    def __init__(self, q: Distribution, weights: Sequence[Tensor]) -> None:
        self.q, self.weights = q, tuple(weights)
        self.size = sum(w.numel() for w in self.weights)
        self.batched = True

    def pushed(self, gradients: Tensor) -> Tensor:
        """Gradients [n, *B, P] with respect to q's parameters as those of the weights, [n, W], summed over rows."""
        return torch.cat([*self._chunks(gradients)])

    def squares(self, gradients: Tensor) -> Tensor:
        """[n] squared lengths of the weights' gradients, summed over rows, that these [n, *B, P] lead to."""
        return torch.cat([part.double().square().sum(1) for part in self._chunks(gradients)])

    def between_rows(self, gradient: Tensor) -> Tensor:
        """[B] squared distances of the rows' own weight gradients from their mean, for one gradient [*B, P]."""
        flat = gradient.reshape(-1, gradient.shape[-1])  # B x P
        count = len(flat)
        mean = self.pushed(gradient.unsqueeze(0))[0].double() / count
        own = torch.eye(count, dtype=flat.dtype, device=flat.device)[..., None] * flat  # row by row, the others 0
        parts = self._chunks(own.reshape(count, *gradient.shape))
        return torch.cat([(part.double() - mean).square().sum(1) for part in parts])

    def _chunks(self, gradients: Tensor) -> Iterator[Tensor]:
        for part in gradients.split(max(1, AT_ONCE // self.size)):
            yield self._products(part)

    def _products(self, gradients: Tensor) -> Tensor:
        """[n, W] of [n, *B, P]."""
        outputs, count = parameters(self.q), len(gradients)
        sizes = [p[(0,) * len(row_shape(self.q))].numel() for p in outputs]
        parts = gradients.to(outputs[0]).split(sizes, -1)
        pairs = [(p, g.reshape(count, *p.shape)) for p, g in zip(outputs, parts, strict=True) if p.requires_grad]
        kept, cotangents = [p for p, _ in pairs], [g for _, g in pairs]
        if self.batched:
            try:
                return self._flat(
                    torch.autograd.grad(
                        kept, self.weights, cotangents, is_grads_batched=True, retain_graph=True, allow_unused=True
                    ),
                    count,
                )
            except RuntimeError:  # an operation between them has no batched backward pass
                self.batched = False
        each = [
            torch.autograd.grad(kept, self.weights, [c[i] for c in cotangents], retain_graph=True, allow_unused=True)
            for i in range(count)
        ]
        return torch.cat([self._flat(found, 1) for found in each])

    def _flat(self, found: Sequence[Tensor | None], count: int) -> Tensor:
        parts = [
            w.new_zeros(count, w.numel()) if g is None else g.reshape(count, -1)
            for w, g in zip(self.weights, found, strict=True)
        ]
        return torch.cat(parts, -1)
