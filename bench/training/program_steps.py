"""Steps of a program: one by one on the CPU, several in a CUDA graph on a GPU."""

from typing import Any

import torch

from bench.training.batches import Batches
from bench.training.capture import WARM_UP, capture
from bench.training.noise import Noted, Untraceable
from bench.training.step_program import StepProgram
from bench.training.trainer import Trainer

AHEAD = 20
"""Steps in one CUDA graph, whose noise is drawn at once."""


class ProgramSteps:
    """Compiled training steps.

    Args:
        trainer: takes the steps.
        batches: on the trainer's device.
        look: what `look_at` noted of its step.
        capture: whether to replay them from CUDA graphs.

    Raises:
        Untraceable: see `StepProgram`; or the program cannot be captured.
    """

    def __init__(self, trainer: Trainer, batches: Batches, look: Noted, *, capture: bool) -> None:
        self.trainer, self.batches = trainer, batches
        self.program = StepProgram(trainer, batches, look, ahead=AHEAD if capture else 1)
        self.graphs: dict[int, torch.cuda.CUDAGraph] = {}
        """By the number of their steps."""
        if capture:
            self._capture()

    @property
    def current(self) -> bool:
        """Whether the program is still that of the trainer as it is."""
        return self.program.current

    @torch.no_grad()
    def run(self, count: int) -> None:
        """Take so many steps."""
        for optimiser in self.trainer.optimisers:
            called: Any = optimiser
            called._opt_called = True  # or torch's schedulers of learning rates would warn that no step was taken
        while count:
            count -= self._some(count)

    def _some(self, most: int) -> int:
        """Take a step, or as many as a graph holds where no pass over the data ends among them; returns how many."""
        self.batches.advance()
        count = AHEAD if self.graphs and min(most, self.batches.left + 1) >= AHEAD else 1
        self.batches.left -= count - 1
        self.program.prepare(count)
        if self.graphs:
            self.graphs[count].replay()
        else:
            self.program.run(0)
        self.trainer.steps += count
        return count

    @torch.no_grad()
    def _capture(self) -> None:
        """Graphs of one step and of several; the steps before the capture are undone."""
        kept = [tensor.clone() for tensor in self.program.state]
        side = torch.cuda.Stream(self.trainer.device)
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UP):
                self.program.run(0)
        torch.cuda.current_stream().wait_stream(side)
        for tensor, value in zip(self.program.state, kept, strict=True):
            tensor.copy_(value)
        for count in (1, AHEAD):

            def several(count: int = count) -> None:
                for step in range(count):
                    self.program.run(step)

            graph, reason = capture(several)
            if graph is None:
                raise Untraceable(reason)
            self.graphs[count] = graph
