"""Independent random streams, each named by its purpose.

Torch's CPU generator keeps 32 bits of a seed, so neighbouring seeds for different purposes, or offsets above 2^32,
would repeat one stream; a hash of purpose and seed does not.
"""

import hashlib

import torch


def derive(purpose: str, *keys: int) -> int:
    """A 32-bit seed for this purpose and these numbers."""
    text = ":".join([purpose, *map(str, keys)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def stream(purpose: str, *keys: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator of its own for this purpose and these numbers."""
    return torch.Generator(device).manual_seed(derive(purpose, *keys))
