"""What an optimiser does to one parameter, as operations that a program can hold.

torch's own optimisers count their steps on the host or read them back, and are one operation that no compiler looks
into. Here the same update stands in plain operations, on the optimiser's own state, so that eager steps and those of a
program may follow one another.
"""

import math
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor


class Update(Protocol):
    """The update of one optimiser."""

    watched: bool
    """Whether torch's own reads nothing back, and so may be watched with the step that it ends."""

    def state(self, optimiser: Any, parameter: Tensor, group: dict[str, Any]) -> list[Tensor]:
        """The optimiser's own tensors for the parameter of this group, made where they are not there yet."""
        ...

    def factors(self, group: dict[str, Any], step: int) -> list[float]:
        """Numbers that depend on how many steps were taken, the present one included."""
        ...

    def apply(self, group: dict[str, Any], p: Tensor, g: Tensor, state: Sequence[Tensor], factors: Tensor) -> None:
        """Change the parameter and the state in place.

        Args:
            group: the optimiser's settings for the parameter.
            p: the parameter.
            g: its gradient.
            state: of the parameter.
            factors: [n], those of the group at this step.
        """
        ...


class Adam:
    """D. P. Kingma, J. Ba, Adam: a method for stochastic optimization, 2014, arXiv 1412.6980.

    With `decoupled_weight_decay` it is AdamW: I. Loshchilov, F. Hutter, Decoupled weight decay regularization, 2017,
    arXiv 1711.05101.
    """

    watched = True

    def state(self, optimiser: Any, parameter: Tensor, group: dict[str, Any]) -> list[Tensor]:
        """Number of steps, and running means of the gradient and of its square."""
        own = optimiser.state[parameter]
        if not own:
            own["step"] = torch.zeros((), device=parameter.device)
            own["exp_avg"], own["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        return [own["step"], own["exp_avg"], own["exp_avg_sq"]]

    def factors(self, group: dict[str, Any], step: int) -> list[float]:
        """The rate over the first mean's bias correction, one over the root of the second's, and what decay leaves."""
        first, second = group["betas"]
        return [group["lr"] / (1 - first**step), 1 / math.sqrt(1 - second**step), _left(group)]

    def apply(self, group: dict[str, Any], p: Tensor, g: Tensor, state: Sequence[Tensor], factors: Tensor) -> None:
        """As torch's own does."""
        rate, scale, left = factors.unbind()
        mean, square = self._means(group, p, g, state, left)
        p.sub_(rate * mean / (square.sqrt() * scale + group["eps"]))

    def _means(
        self, group: dict[str, Any], p: Tensor, g: Tensor, state: Sequence[Tensor], left: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Decay the weights, and take the gradient into the running means, which are returned."""
        if group.get("decoupled_weight_decay") and group["weight_decay"]:
            p.mul_(left)
        else:
            g = _with_decay(group, p, g)
        first, second = group["betas"]
        step, mean, square = state
        step.add_(1)
        mean.lerp_(g, 1 - first)
        square.mul_(second).addcmul_(g, g, value=1 - second)
        return mean, square


class RAdam(Adam):
    """L. Liu et al., On the variance of the adaptive learning rate and beyond, 2019, arXiv 1908.03265.

    While the second mean is over few steps its variance has no bound, and the step is one along the first mean alone;
    then it is Adam's, times what makes up for that variance; epsilon is added before the bias correction, as in torch.
    """

    watched = False

    def factors(self, group: dict[str, Any], step: int) -> list[float]:
        """The rate of Adam's step, zero in the first steps; what decay leaves; the other step's rate, zero then."""
        rate, scale, left = super().factors(group, step)
        _, second = group["betas"]
        longest = 2 / (1 - second) - 1
        length = longest - 2 * step * second**step / (1 - second**step)
        if length <= 5:
            return [0.0, left, rate]
        above, below = (length - 4) * (length - 2) * longest, (longest - 4) * (longest - 2) * length
        return [rate * math.sqrt(above / below) / scale, left, 0.0]

    def apply(self, group: dict[str, Any], p: Tensor, g: Tensor, state: Sequence[Tensor], factors: Tensor) -> None:
        """As torch's own does."""
        rate, left, plain = factors.unbind()
        mean, square = self._means(group, p, g, state, left)
        p.sub_(rate * mean / (square.sqrt() + group["eps"]) + plain * mean)


class SGD:
    """Gradient descent, with momentum or without."""

    watched = True

    def state(self, optimiser: Any, parameter: Tensor, group: dict[str, Any]) -> list[Tensor]:
        """With momentum the running sum of gradients."""
        if not group["momentum"]:
            return []
        own = optimiser.state[parameter]
        if own.get("momentum_buffer") is None:  # torch begins with the gradient, which is this after a step
            own["momentum_buffer"] = torch.zeros_like(parameter)
        return [own["momentum_buffer"]]

    def factors(self, group: dict[str, Any], step: int) -> list[float]:
        """The rate."""
        return [group["lr"]]

    def apply(self, group: dict[str, Any], p: Tensor, g: Tensor, state: Sequence[Tensor], factors: Tensor) -> None:
        """A step against the gradient, or against the sum."""
        g = _with_decay(group, p, g)
        for sum_of_gradients in state:
            g = sum_of_gradients.mul_(group["momentum"]).add_(g)
        p.sub_(factors[0] * g)


def _with_decay(group: dict[str, Any], p: Tensor, g: Tensor) -> Tensor:
    """The gradient with that of half the weights' squared length, times the decay."""
    return g + group["weight_decay"] * p if group["weight_decay"] else g


def _left(group: dict[str, Any]) -> float:
    """What a decay that is apart from the gradient leaves of a weight at a step."""
    return 1 - group["lr"] * group["weight_decay"] if group.get("decoupled_weight_decay") else 1.0


UPDATES: dict[type[torch.optim.Optimizer], Update] = {
    torch.optim.Adam: Adam(),
    torch.optim.AdamW: Adam(),
    torch.optim.RAdam: RAdam(),
    torch.optim.SGD: SGD(),
}
