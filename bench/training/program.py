"""A function of tensors as one program: traced to a flat graph of operations, which inductor compiles.

What autograd does within, first and second derivatives, is part of the trace, and so is every change of an argument in
place. The trace runs on tensors without values: a function that reads a value, or whose shapes depend on one, has none.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch._inductor
from torch import Tensor
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx

from bench.training.noise import Untraceable

Function = Callable[..., Any]


def traced(function: Function, tensors: Sequence[Tensor]) -> GraphModule:
    """The operations that the function does to such tensors; nothing is computed, and no tensor changes.

    Raises:
        Untraceable: it reads a value back, or its shapes depend on values.
    """
    try:
        graph = make_fx(function, tracing_mode="fake", _allow_non_fake_inputs=True)(*tensors)
    except (DataDependentOutputException, DynamicOutputShapeException) as error:
        raise Untraceable(f"{error.func} reads a value back") from error
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return graph


def compiled(graph: GraphModule, tensors: Sequence[Tensor]) -> Function:
    """The graph as compiled code, for tensors of these shapes and strides and for torch's present number of threads.

    Raises:
        Untraceable: it cannot be compiled here, such as where no C++ compiler is found.
    """
    options = {"cpp.threads": torch.get_num_threads()}
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the compiler's own, of how it is written
            program: Function = torch._inductor.compile(graph, list(tensors), options=options)
    except Exception as error:  # whatever a compiler may raise: the step is there without it
        raise Untraceable(f"it does not compile here: {type(error).__name__}: {_first_line(error)}") from error
    return program


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "no message")
