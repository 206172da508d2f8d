"""Steps as CUDA graphs: what a graph can hold, and its capture.

A captured step is launched at once instead of kernel by kernel, so its time is that of its kernels. The eager step is
the readable fallback, and gives the same numbers for the same noise: the generators are registered with the graph,
which advances them as the eager step would.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Generator
from torch.utils._python_dispatch import TorchDispatchMode

from bench.training.batches import Batches
from bench.training.noise import READS
from bench.training.trainer import Trainer

WARM_UP = 3
"""Steps before a capture, in which libraries and the optimiser allocate memory."""

aten = torch.ops.aten
_INDEXED = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default}


class HostReads(TorchDispatchMode):
    """Notes what a step does that no graph can hold: reading a value back from the device, or copying to or from it."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch gives it no types
        self.found: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call, and look at what was called."""
        result = func(*args, **(kwargs or {}))
        indices = [i for i in args[1] if i is not None] if func in _INDEXED else []
        if func in READS or any(i.dtype in (torch.bool, torch.uint8) for i in indices):
            self.found.append(f"{func} reads values back")
        if any(i.device != args[0].device for i in indices):
            self.found.append(f"{func} copies indices to {args[0].device}")
        moved = {aten._to_copy.default: result, aten.copy_.default: args[1:] and args[1]}.get(func)
        if isinstance(moved, torch.Tensor) and moved.device != args[0].device:
            self.found.append(f"{func} copies between {args[0].device} and {moved.device}")
        return result


def capture(
    body: Callable[[], object], generators: Sequence[Generator] = ()
) -> tuple[torch.cuda.CUDAGraph | None, str | None]:
    """A graph of what the body does, which is recorded and not run; or None and why there is none.

    Args:
        body: does nothing for the first time.
        generators: that it draws from; the graph advances them as the body would. Where there is no graph they refuse
            to be used outside of a capture, and must be replaced.
    """
    graph, stream = torch.cuda.CUDAGraph(), torch.cuda.current_stream()
    for generator in generators:
        graph.register_generator_state(generator)
    try:
        with torch.cuda.graph(graph):
            body()
    except RuntimeError as error:
        torch.cuda.set_stream(stream)  # where ending it fails too, the reason is that of the capture
        return None, "the capture failed: " + str(error).partition("\n")[0]
    return graph, None


class EagerSteps:
    """Training steps as they are written, captured where the device and the estimator allow it.

    Args:
        trainer: takes the steps.
        batches: on the trainer's device.
        capture: whether to capture at all.
    """

    def __init__(self, trainer: Trainer, batches: Batches, *, capture: bool = True) -> None:
        self.trainer, self.batches = trainer, batches
        self.graph: torch.cuda.CUDAGraph | None = None
        self.eager_because: str | None = None
        """Why steps are not captured, None where they are or will be."""
        if trainer.device.type != "cuda":
            self.eager_because = f"the device is {trainer.device.type}"
        elif not capture:
            self.eager_because = "not asked for"
        self._side = torch.cuda.Stream(trainer.device) if self.eager_because is None else None
        self._warm = 0
        """Steps that were taken to warm up."""

    def run(self, count: int) -> None:
        """Take so many steps."""
        for _ in range(count):
            self._step()

    def _step(self) -> None:
        self.batches.advance()
        if self.eager_because is None and self.graph is None:
            if self._warm < WARM_UP:
                self._warm_up()
                return
            self.graph = self._capture()  # capturing records the step and does not run it
        if self.graph is None:
            self.trainer.step(self.batches.gather())
        else:
            self.trainer.set_rates()
            self.graph.replay()
            self.trainer.steps += 1

    def _warm_up(self) -> None:
        """An eager step on a stream of its own, as captures ask for; watched, for what a graph could not hold."""
        assert self._side is not None
        self._side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._side), HostReads() as reads:
            self.trainer.step(self.batches.gather())
        torch.cuda.current_stream().wait_stream(self._side)
        self._warm += 1
        if reads.found and self._warm == WARM_UP:  # earlier steps may copy constants to the device, which stay there
            self.eager_because = reads.found[0]

    def _capture(self) -> torch.cuda.CUDAGraph | None:
        """The captured step, or None where something that was not seen in the warm-up cannot be captured."""
        generators = [*self.trainer.generators, *self.batches.noise]
        states = [generator.get_state() for generator in generators]
        self.trainer.zero_grad()
        graph, self.eager_because = capture(lambda: self.trainer.device_step(self.batches.gather()), generators)
        if graph is None:
            # Generators that were registered would still refuse to be used outside a capture.
            fresh = [torch.Generator(self.trainer.device) for _ in generators]
            for generator, state in zip(fresh, states, strict=True):
                generator.set_state(state)
            own = len(self.trainer.generators)
            self.trainer.generators, self.batches.noise = fresh[:own], fresh[own:]
            self.trainer.zero_grad()
        return graph
