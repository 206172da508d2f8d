"""A function of tensors as one program: traced to a flat graph of operations, which inductor compiles.

What autograd does within, first and second derivatives, is part of the trace, and so is every change of an argument in
place. The random numbers that the function draws are arguments too, drawn before each run. The trace runs on tensors
without values: a function that reads a value, or whose shapes depend on one, has none.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Generator, Tensor
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx

from bench.training.noise import Draw, Given, Noted, Untraceable, generators_left_alone

Function = Callable[..., Any]

TRIES = 3
"""Random numbers with which code may agree: rounding seldom turns an outcome that is drawn by a comparison."""
AGREE, ROUNDING = 0.01, 1e-5
"""Of a tensor's change, and of its values, what code may depart by."""
OLDEST_ON_CPU = (2, 13)
"""Versions of torch before compile some steps on a CPU to wrong numbers: 2.11 those of RELAX and unordered sets."""


class Program:
    """A function that changes its arguments in place, compiled.

    Args:
        function: of the tensors, and of what each step has of its own; what it returns is not kept.
        tensors: its arguments, the same objects at every run.
        draws: what it draws, in order, as `draws_of` finds it.
        each: further arguments, [ahead, ...], of which each step has a row; see `aligned` for their place in memory.
        ahead: steps whose random numbers are drawn at once.
        held_to: places of the tensors in which it must agree with the function; None for all.

    Raises:
        Untraceable: it cannot be traced, or not compiled here, or the code gives other numbers than the function.
    """

    def __init__(
        self,
        function: Function,
        tensors: Sequence[Tensor],
        draws: Sequence[Draw] = (),
        *,
        each: Sequence[Tensor] = (),
        ahead: int = 1,
        held_to: Sequence[int] | None = None,
    ) -> None:
        self.draws = draws
        self.numbers = [draw.empty(ahead) for draw in draws]
        own = [[*each_step(each, step), *each_step(self.numbers, step)] for step in range(ahead)]
        count = len(tensors) + len(each)

        def given(*arguments: Tensor) -> tuple[()]:
            mine = arguments[:count]
            versions = [tensor._version for tensor in mine]
            with Given(draws, arguments[count:]) as numbers:
                function(*mine)
            numbers.check_all_used()
            # inductor takes a copy of an argument for the argument itself, and would write a buffer's new value where
            # another is to have its old one; it takes nothing for the outcome of an operation but that outcome.
            for tensor in (t for t, version in zip(mine, versions, strict=True) if t._version != version):
                tensor.logical_or_(tensor) if tensor.dtype == torch.bool else tensor.mul_(1)
            return ()

        graph, self.constants = traced(given, [*tensors, *own[0]])
        self.arguments = [[*self.constants, *tensors, *more] for more in own]
        self._compile(graph, given, range(len(tensors)) if held_to is None else held_to)

    def _compile(self, graph: GraphModule, function: Function, held: Sequence[int]) -> None:
        """Compile the graph in the first of the ways that gives the function's numbers.

        Raises:
            Untraceable: none does.
        """
        on_cpu = all(tensor.device.type == "cpu" for tensor in self.arguments[0])
        # Going from kernel to kernel by C++ saves a sixth of a small model's step, but fails for some operations.
        for by_cpp in (True, False) if on_cpu else (False,):
            try:
                self._code = compiled(graph, self.arguments[0], cpp_wrapper=by_cpp)
                if any(self._agrees(function, held, seed) for seed in range(TRIES)):
                    return
                short = f"compiled by torch {torch.__version__} it gives other numbers"
                raise Untraceable(f"{short} than as it is written")
            except Untraceable:
                if not by_cpp:
                    raise

    @torch.no_grad()
    def _agrees(self, function: Function, held: Sequence[int], seed: int) -> bool:
        """Whether the code gives the function's numbers, both run on copies, with random numbers of their own.

        Raises:
            Untraceable: the code fails.
        """
        first = len(self.constants)
        arguments = [copied(tensor) for tensor in self.arguments[0]]
        numbers = arguments[len(arguments) - len(self.draws) :]
        for draw, place in zip(self.draws, numbers, strict=True):
            draw._replace(generator=torch.Generator(draw.device).manual_seed(seed)).into(place)
        both = [[copied(tensor) for tensor in arguments] for _ in range(2)]
        try:
            self._code(*both[0])
        except Exception as error:  # whatever a compiler's mistake may raise
            raise Untraceable(f"compiled, it fails: {type(error).__name__}: {_first_line(error)}") from error
        function(*both[1][first:])
        for constant, *others in zip(arguments[:first], self.constants, both[0][:first], strict=True):
            if not all(same(constant, other) for other in others):
                raise Untraceable("it changes a tensor that is no parameter or buffer: see register_buffer")
        before, found, expected = ([each[first + place] for place in held] for each in (arguments, *both))
        compared = [each for each in zip(before, found, expected, strict=True) if not same(*each[1:])]
        if not all(b.is_floating_point() for _, _, b in compared):
            return False
        # Small numbers may be the rounding of large ones; those that are no change at all say nothing of that. A NaN of
        # the function, such as a bound that a model has not, is to be one of the code's, and has no size.
        if not all(torch.equal(found.isnan(), b.isnan()) for _, found, b in compared):
            return False
        largest = max((_size(b - a) for a, _, b in compared), default=0.0)
        return all(
            _size(found - b) <= AGREE * _size(b - a) + ROUNDING * max(_size(b), largest) for a, found, b in compared
        )

    def draw(self, steps: int = 1) -> None:
        """Draw the random numbers of the next steps."""
        for draw, numbers in zip(self.draws, self.numbers, strict=True):
            draw.into(numbers[0] if steps == 1 else numbers[:steps])

    def run(self, step: int = 0) -> None:
        """Run, with the numbers that were drawn for this step; to be called under no_grad."""
        self._code(*self.arguments[step])


def same(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors of one shape hold the same values, NaN being NaN."""
    return bool(((a == b) | ((a != a) & (b != b))).all())


def _size(tensor: Tensor) -> float:
    return float(torch.where(tensor.isnan(), 0, tensor.double()).abs().max())


def copied(tensor: Tensor) -> Tensor:
    """A copy with the same strides; what has several places for one number is not changed by a program, and itself."""
    if any(stride == 0 and size > 1 for stride, size in zip(tensor.stride(), tensor.shape, strict=True)):
        return tensor
    empty = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=tensor.device)
    return empty.copy_(tensor)


def each_step(tensors: Sequence[Tensor], step: int) -> list[Tensor]:
    """What a step has of tensors [steps, ...]."""
    return [tensor[step] for tensor in tensors]


def draws_of(function: Callable[[], Any], generators: Sequence[Generator]) -> Noted:
    """Run a function once and note what it draws; all generators are left as they were, whoever's they are.

    Raises:
        Untraceable: what it draws cannot be drawn ahead.
    """
    states = [generator.get_state() for generator in generators]
    devices = {generator.device for generator in generators if generator.device.type == "cuda"}
    noted = Noted()
    try:
        with generators_left_alone(), torch.random.fork_rng(devices), noted:
            function()
    finally:
        for generator, state in (*reversed(noted.before), *zip(generators, states, strict=True)):
            generator.set_state(state)
    return noted


def traced(function: Function, tensors: Sequence[Tensor]) -> tuple[GraphModule, list[Tensor]]:
    """The operations that the function does to such tensors; nothing is computed, and no tensor changes.

    Returns:
        The graph, and other tensors that the function uses, which it takes before its arguments. As arguments they are
        no part of the code: that is then compiled once for all that differs in their values alone.

    Raises:
        Untraceable: it cannot be traced, such as where shapes depend on values.
    """
    try:
        module = make_fx(function, tracing_mode="fake", _allow_non_fake_inputs=True)(*tensors)
    except Untraceable:
        raise
    except Exception as error:  # whatever tracing may raise: the function is there without it
        raise Untraceable(f"it cannot be traced: {type(error).__name__}: {_first_line(error)}") from error
    graph, constants = module.graph, dict[str, Tensor]()
    first = next(iter(graph.nodes))
    for node in list(graph.nodes):
        if node.op == "get_attr":
            name = str(node.target)
            if name not in constants:
                constants[name] = getattr(module, name).detach()
                with graph.inserting_before(first):
                    graph.placeholder(name)
            placeholder = next(other for other in graph.nodes if other.op == "placeholder" and other.target == name)
            placeholder.meta.update(node.meta)
            node.replace_all_uses_with(placeholder)
            graph.erase_node(node)
    graph.eliminate_dead_code()
    return GraphModule({}, graph), list(constants.values())


def compiled(graph: GraphModule, tensors: Sequence[Tensor], *, cpp_wrapper: bool = False) -> Function:
    """The graph as compiled code, for tensors of these shapes and strides and for torch's present number of threads.

    Args:
        graph: what to compile.
        tensors: that it will be called with, or such as these.
        cpp_wrapper: whether its kernels are called from C++, which there is on the CPU alone.

    Raises:
        Untraceable: it cannot be compiled here, such as where no C++ compiler is found.
    """
    version = tuple(int(part) for part in torch.__version__.split(".")[:2])
    if version < OLDEST_ON_CPU and any(tensor.device.type == "cpu" and tensor.dim() for tensor in tensors):
        raise Untraceable(f"torch {torch.__version__} compiles some steps on a CPU to wrong numbers; 2.13 does not")
    options = {"cpp.threads": torch.get_num_threads(), "cpp_wrapper": cpp_wrapper}
    try:
        import torch._inductor as inductor  # takes a second, and most processes compile nothing

        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the compiler's own, of how it is written
            program: Function = inductor.compile(graph, list(tensors), options=options)
    except Exception as error:  # whatever a compiler may raise: the step is there without it
        raise Untraceable(f"it does not compile here: {type(error).__name__}: {_first_line(error)}") from error
    return program


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "no message")
