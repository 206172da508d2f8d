"""Jumps of an integrand inside the cells of its noise: located by halving, and cut."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from estimators.integration.blocks import At, width_of
from estimators.integration.design import Design
from estimators.integration.lines import ROUNDING, Axis, Seen, along_line, on_lines

MOST_CELLS = 64
HALVINGS, SOON = 60, 14
"""Halvings of an interval that holds a jump; and after how many it shows whether the jump moves with other noise."""
AT_ONCE = 256
"""Points in one call of an integrand that takes hardly longer than with one: all middles that the next halvings may
take are then looked at together."""
JUMP = 1e-7
"""What remains of a jump, as a share of the largest number along its line, however close to it one gets."""


def locate(
    design: Design, spans: Mapping[Axis, Sequence[int]], seen: Mapping[Axis, Seen], base: list[At], size: Tensor
) -> dict[Axis, Tensor]:
    """Where jumps are, [spans, places, B] for each coordinate, as logits of it; not a number in rows without.

    Args:
        design: the integrand.
        spans: which of the intervals between the points of each coordinate hold a jump.
        seen: the integrand along these coordinates.
        base: places of the other coordinates.
        size: [B], the largest number of each row.

    Raises:
        _Wandering: most of them move with other noise.
    """
    places, rows = len(base[0].cell), design.integrand.problems
    axes = list(spans)
    counts = [len(spans[axis]) for axis in axes]

    def start(offset: int) -> Tensor:  # spans x places x B
        parts = []
        for axis in axes:
            index = [span + offset for span in spans[axis]]
            one = seen[axis]
            parts.append((one.x.log() - one.rest.log())[index][:, None, None].expand(-1, places, rows))
        return torch.cat(parts).clone()

    def pick(offset: int) -> tuple[Tensor, Tensor]:
        values, signature = [], []
        for axis in axes:
            index = [span + offset for span in spans[axis]]
            values.append(seen[axis].values[:, index].transpose(0, 1))
            signature.append(seen[axis].signature[:, index].transpose(0, 1))
        return torch.cat(values), torch.cat(signature)

    def at(middles: Tensor) -> tuple[Tensor, Tensor]:  # P x spans x places x B
        lines = [
            (part.flatten(0, 1).sigmoid(), (-part).flatten(0, 1).sigmoid()) for part in middles.split(counts, dim=1)
        ]
        found = on_lines(design, axes, lines, base)
        values, signature = (
            torch.cat([part.transpose(0, 1).unflatten(0, (len(middles), -1)) for part in parts], 1)
            for parts in zip(*found, strict=True)
        )
        return values, signature

    low, high, (v_low, s_low), (v_high, s_high) = start(0), start(1), pick(0), pick(1)
    deep = next(d for d in (3, 2, 1) if d == 1 or (2**d - 1) * len(low) * places <= AT_ONCE)
    known, node = (v_low[None], s_low[None]), torch.zeros_like(s_low, dtype=torch.long)
    for halving in range(HALVINGS):
        if halving == SOON:
            jumping = (s_low != s_high) | ((v_low - v_high).abs().amax(-1) > 0.01 * size)
            for place, jumps in zip(high.split(counts), jumping.split(counts), strict=True):
                if _wanders(torch.where(jumps, place, torch.nan), 0.1):
                    raise _Wandering
        if halving % deep == 0:
            known = at(_middles(low, high, deep))
            node = torch.zeros_like(s_low, dtype=torch.long)
        middle = (low + high) / 2
        values = known[0].gather(0, node[None, ..., None].expand(1, *known[0].shape[1:]))[0]
        signature = known[1].gather(0, node[None])[0]
        first = (values - v_low).abs().amax(-1) / size + 1e6 * (signature != s_low)
        second = (values - v_high).abs().amax(-1) / size + 1e6 * (signature != s_high)
        take = first >= second  # the jump is below the middle
        high, low = torch.where(take, middle, high), torch.where(take, low, middle)
        v_high, s_high = torch.where(take[..., None], values, v_high), torch.where(take, signature, s_high)
        v_low, s_low = torch.where(take[..., None], v_low, values), torch.where(take, s_low, signature)
        node = 2 * node + torch.where(take, 1, 2)
    line = torch.cat([along_line(seen[axis].values).expand(len(spans[axis]), -1, -1) for axis in axes])
    jump = (s_low != s_high) | ((v_low - v_high).abs().amax(-1) > JUMP * line + ROUNDING * size)
    found = {}
    for axis, places_of, jumps in zip(axes, high.split(counts), jump.split(counts), strict=True):
        there = design.blocks[axis.block].weight[axis.cell] > 0
        found[axis] = torch.where(jumps & there, places_of, torch.nan)
    return found


def _middles(low: Tensor, high: Tensor, deep: int) -> Tensor:
    """[2^deep - 1, ...], the middles that so many halvings may take: of an interval n, its lower half is interval
    2 n + 1, and its upper one 2 n + 2.
    """
    ends, middles = [(low, high)], []
    for node in range(2**deep - 1):
        a, b = ends[node]
        middles.append((a + b) / 2)
        ends += [(a, middles[node]), (middles[node], b)]
    return torch.stack(middles)


class _Wandering(Exception):
    """A jump lies elsewhere when other noise is elsewhere: no cut helps."""


def _wanders(found: Tensor, by: float = 1e-6) -> bool:
    """Whether most jumps [spans, places, B] lie elsewhere, by so much, at another place."""
    high = found.nan_to_num(-torch.inf).amax(1)
    low = found.nan_to_num(torch.inf).amin(1)
    several = (found == found).sum(1) > 1
    return bool(several.any()) and bool((high - low)[several].gt(by).double().mean() > 0.5)


def _unique(found: Tensor) -> Tensor:
    """Distinct places of jumps [n, B], row by row, the missing ones at the lower end."""
    columns = []
    for column in found.T:
        kept: list[float] = []
        for value in sorted(float(v) for v in column if v == v):
            if not kept or value - kept[-1] > 1e-9:
                kept.append(value)
        columns.append(kept)
    most = max((len(kept) for kept in columns), default=0)
    return torch.tensor([[-torch.inf] * (most - len(kept)) + kept for kept in columns], dtype=torch.float64).T


def cut(design: Design, axis: Axis, logits: Tensor, *, apart: bool) -> None:
    """Cut a cell at places [n, B], logits of its coordinate, in ascending order; see `Block.split`."""
    block = design.blocks[axis.block]
    low, high = block.low[axis.cell, :, axis.axis], block.high[axis.cell, :, axis.axis]
    width = width_of(low, high)
    for logit in logits.flip(0):  # from above, so that the cell's own number stays that of its lowest part
        at = torch.stack((low[:, 0] + width * logit.sigmoid(), high[:, 1] + width * (-logit).sigmoid()), -1)
        block = block.split(axis.cell, axis.axis, at, apart=apart)
    design.blocks[axis.block] = block


def refine(
    design: Design,
    seen: Mapping[Axis, Seen],
    changes: Mapping[Axis, tuple[Tensor, Tensor]],
    base: list[At],
    size: Tensor,
) -> bool:
    """Cut cells where hard draws change along these coordinates; whether any was cut.

    A jump that lies elsewhere when other noise is elsewhere is left: no cut helps.

    Args:
        design: changed in place.
        seen: the integrand along the coordinates.
        changes: where it `differs` there.
        base: the places of the others.
        size: [B], the largest number of each row.
    """
    spans = {}
    for axis, (values, signature) in changes.items():
        block = design.blocks[axis.block]
        if block.domains[axis.axis] == "unit" and block.cells < MOST_CELLS:
            wanted = signature.any(0).any(-1)
            if bool(wanted.any()):
                spans[axis] = wanted.nonzero()[:, 0].tolist()
            elif bool((values.sum(1) <= 2).all()):  # constant but for a jump or two
                spans[axis] = values.any(0).any(-1).nonzero()[:, 0].tolist()
    spans = {axis: own for axis, own in spans.items() if own}
    done = False
    if spans:
        try:
            found = locate(design, spans, seen, base, size)
        except _Wandering:
            return False
        for axis in sorted(found, reverse=True):  # cutting a cell moves those after it
            if _wanders(found[axis]):
                continue
            places = _unique(found[axis].flatten(0, 1))
            if len(places):
                cut(design, axis, places, apart=True)
                done = True
    return done
