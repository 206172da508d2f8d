"""One GPU a worker process: what each sees of this machine's."""

import os

import torch

from bench.run.saying import say


def visible() -> list[str]:
    """The GPUs that this process may use, by the names that CUDA_VISIBLE_DEVICES has for them."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = torch.cuda.device_count()
    return given.split(",")[:count] if given is not None else [str(number) for number in range(count)]


def environments(workers: int) -> list[dict[str, str]]:
    """The environment of each of so many workers: one GPU each, and in turn where there are more workers than GPUs."""
    devices = visible()
    if not devices:
        return [{}]  # what is asked for before a run says that there is none
    if workers > len(devices):
        say(f"{workers} workers share {len(devices)} GPU{'' if len(devices) == 1 else 's'} in turn: none has its own")
    return [{"CUDA_VISIBLE_DEVICES": devices[number % len(devices)]} for number in range(workers)]
