"""A data set of a third party, in one file: random horizontal or vertical stripes, made when they are asked for."""

import torch

from bench.datasets import DatasetInfo, assemble, register_dataset

SIZE = 4


@register_dataset(
    DatasetInfo(
        name="stripes",
        summary="4x4 stripes, horizontal or vertical",
        shape=(SIZE, SIZE),
        rows=(60, 20, 20),
        dynamic=False,
        licence="none needed",
        citation="made here",
        files=(),
    )
)
def stripes(info):
    generator = torch.Generator().manual_seed(0)
    lines = torch.randint(2, (sum(info.rows), SIZE, 1), generator=generator).float().expand(-1, SIZE, SIZE)
    upright = torch.rand(len(lines), 1, 1, generator=generator) < 0.5
    return assemble(info, *torch.where(upright, lines, lines.mT).flatten(1).split(info.rows))
