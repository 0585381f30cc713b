"""Which jobs one ``sbatch`` hands over, and what they wait for. Pure.

Jobs of one kind make an array where that is wanted. An evaluation waits for its training: those of an array's elements
become an array with the same element numbers, each waiting for the element of its number (aftercorr).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from bench.plan import Action


@dataclass(frozen=True, kw_only=True)
class Batch:
    """One job, or one array of jobs, and what has to be before it starts."""

    actions: tuple[Action, ...]
    indices: tuple[int, ...] | None = None
    """The element number of each action; None for a job by itself."""
    after_ok: tuple[str, ...] = ()
    """Numbers of jobs one of which must have succeeded."""
    after_elements: str = ""
    """Number of an array whose element of the same number must have succeeded."""

    def __post_init__(self) -> None:
        assert self.actions
        assert self.indices is None or len(self.indices) == len(self.actions) == len(set(self.indices))
        assert self.indices is not None or len(self.actions) == 1

    @property
    def kind(self) -> Literal["train", "evaluate"]:
        """Of all its jobs."""
        return self.actions[0].job.kind


def chunked(actions: Sequence[Action], *, arrays: bool, size: int) -> list[Batch]:
    """Jobs that wait for nothing, in arrays of at most ``size`` elements, or each by itself."""
    limit = size if arrays else 1
    batches = []
    for first in range(0, len(actions), max(1, limit)):
        part = tuple(actions[first : first + max(1, limit)])
        batches.append(Batch(actions=part, indices=tuple(range(len(part))) if len(part) > 1 else None))
    return batches


def evaluation_batches(
    actions: Sequence[Action], trained: Mapping[str, tuple[str, ...]], *, arrays: bool, size: int
) -> list[Batch]:
    """Batches of evaluations; ``trained`` are the numbers of trainings that were just handed over, by run_id."""
    free: list[Action] = []
    single: list[Batch] = []
    elements: dict[str, list[tuple[int, Action]]] = {}
    for action in actions:
        run_id = action.job.run.run_id if action.job.run is not None else ""
        needs = trained.get(run_id, action.after)
        if not needs:
            free.append(action)
        elif arrays and len(needs) == 1 and "_" in needs[0]:
            base, _, index = needs[0].partition("_")
            elements.setdefault(base, []).append((int(index), action))
        else:
            single.append(Batch(actions=(action,), after_ok=needs))
    corresponding = [batch for base, items in elements.items() for batch in _layers(base, items)]
    return [*chunked(free, arrays=arrays, size=size), *corresponding, *single]


def _layers(base: str, items: Sequence[tuple[int, Action]]) -> Iterator[Batch]:
    """Arrays over the elements of one array; a second one where an element has two evaluations, and so on."""
    left = list(items)
    while left:
        layer: dict[int, Action] = {}
        rest = []
        for index, action in left:
            if index in layer:
                rest.append((index, action))
            else:
                layer[index] = action
        indices = tuple(sorted(layer))
        if len(layer) == 1:
            yield Batch(actions=(layer[indices[0]],), after_ok=(f"{base}_{indices[0]}",))
        else:
            yield Batch(actions=tuple(layer[index] for index in indices), indices=indices, after_elements=base)
        left = rest


def waited_for(batch: Batch, index: int | None) -> tuple[str, ...]:
    """Numbers of the jobs that the batch's job (its element ``index``) waits for to succeed, one of them."""
    if batch.after_elements:
        return (f"{batch.after_elements}_{index}",)
    return batch.after_ok


def dependency(batch: Batch, before: Sequence[str] = (), earlier_links: Sequence[str] = ()) -> str:
    """sbatch's ``--dependency`` for a batch, or nothing.

    ``before`` must have ended, however. ``earlier_links`` are the links of the same chain: a link starts if none of
    them succeeded. (After *all* of them: a link that was never needed counts as not successful, so a chain of "after
    the one before" would start every second link for nothing.)
    """
    assert not (before and len(batch.after_ok) > 1), "SLURM cannot mix 'one of' with 'and'"
    if earlier_links:
        return f"afternotok:{':'.join(earlier_links)}"
    if len(batch.after_ok) > 1:
        return "?".join(f"afterok:{number}" for number in batch.after_ok)
    conditions = [f"afterok:{number}" for number in batch.after_ok]
    if batch.after_elements:
        conditions.append(f"aftercorr:{batch.after_elements}")
    if before:
        conditions.append(f"afterany:{':'.join(before)}")
    return ",".join(conditions)


def ranges(indices: Iterable[int]) -> str:
    """``0-3,7`` of 0, 1, 2, 3, 7: the element numbers as sbatch takes them."""
    parts: list[tuple[int, int]] = []
    for index in sorted(indices):
        if parts and index == parts[-1][1] + 1:
            parts[-1] = (parts[-1][0], index)
        else:
            parts.append((index, index))
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in parts)


class Lanes:
    """At most ``limit`` jobs of one kind at a time, by dependencies: jobs one by one, arrays one after the other."""

    def __init__(self, limit: int | None, earlier: Iterable[str] = ()) -> None:
        """``earlier`` are numbers of jobs of the kind that are in the queue already."""
        self.limit = limit
        self._first = tuple(dict.fromkeys(number.partition("_")[0] for number in earlier))
        self._lanes: list[tuple[str, ...]] = []
        self._next = 0

    def before(self, batch: Batch) -> tuple[str, ...]:
        """Numbers of the jobs that must have ended, however, before the batch may start."""
        if self.limit is None:
            return ()
        if batch.indices is not None:
            return tuple(dict.fromkeys(number for lane in self._lanes for number in lane)) or self._first
        return self._lanes[self._next % self.limit] if len(self._lanes) >= self.limit else self._first

    def took(self, batch: Batch, numbers: Sequence[str]) -> None:
        """The batch was handed over as ``numbers`` (of an array, its own)."""
        if self.limit is None:
            return
        if batch.indices is not None:
            self._lanes = [tuple(numbers)] * self.limit
            self._next = 0
        elif len(self._lanes) < self.limit:
            self._lanes.append(tuple(numbers))
        else:
            self._lanes[self._next % self.limit] = tuple(numbers)
            self._next += 1
