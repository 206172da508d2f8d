"""Arithmetic of logits and of hard draws that the discrete families share."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

CERTAIN = 1e4
"""The logit of a certain outcome: e^-10000 is exactly 0, and 0 times it is 0."""
FEW_CLASSES = 16
"""Fewer than fill a vector register."""


def watchable(p: Tensor) -> bool:
    """Whether values can be looked at: not under a transform, a trace, a compiler or the capture of a GPU's work."""
    return (
        not torch.compiler.is_compiling()  # first: a compiler cannot follow what comes next
        and type(p) in (Tensor, torch.nn.Parameter)
        and not torch._C._functorch.is_functorch_wrapped_tensor(p)
        and not is_in_torch_dispatch_mode()
        and not (p.is_cuda and torch.cuda.is_current_stream_capturing())
    )


def bounded(logits: Tensor) -> Tensor:
    """Logits, with a large finite number for infinite ones: 0 times an infinite logarithm would be no number.

    Its gradient in what was infinite is 0, as it should be.
    """
    if logits.device.type == "cpu" and watchable(logits) and math.isfinite(float(logits.detach().sum())):
        return logits
    return F.hardtanh(logits, -CERTAIN, CERTAIN)


def log_softmax(x: Tensor) -> Tensor:
    """log softmax over the last dim; on a CPU torch's own takes three times as long for a few classes."""
    if x.shape[-1] >= FEW_CLASSES or x.device.type != "cpu":
        return x.log_softmax(-1)
    return x - x.logsumexp(-1, keepdim=True)


def softmax(x: Tensor) -> Tensor:
    """Softmax over the last dim, as `log_softmax`."""
    if x.shape[-1] >= FEW_CLASSES or x.device.type != "cpu":
        return x.softmax(-1)
    return log_softmax(x).exp()


def one_hot_argmax(scores: Tensor) -> Tensor:
    """One-hot tensor at the largest score of the last dim, in the scores' dtype."""
    largest = scores.max(-1, keepdim=True).indices  # argmax takes three times as long
    return torch.zeros_like(scores).scatter_(-1, largest, 1.0)


def below(x: Tensor, bound: Tensor) -> Tensor:
    """1 where x is less than the bound, which broadcasts to it, and 0 elsewhere, in x's dtype; outside any graph.

    Written as numbers at once, which takes a tenth of the time of a comparison that is converted.
    """
    return x.detach().clone().lt_(bound.detach())


def above(x: Tensor, bound: Tensor) -> Tensor:
    """1 where x is greater than the bound, as `below`."""
    return x.detach().clone().gt_(bound.detach())
