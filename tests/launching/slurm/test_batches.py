"""Which jobs one sbatch hands over, and what they wait for."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.launching.slurm.batches import Batch, Lanes, chunked, dependency, evaluation_batches, ranges, waited_for
from bench.plan import Action, Verb, study_jobs
from tests.reporting.conftest import make_study

STUDY = make_study(rows=(("row", "spade-decoder", None),), seeds=tuple(range(12)))
ACTIONS = [Action(verb=Verb.SUBMIT, job=job, reason="") for job in study_jobs(STUDY)]
TRAININGS = [action for action in ACTIONS if action.job.kind == "train"]
EVALUATIONS = [action for action in ACTIONS if action.job.kind == "evaluate" and action.job.run is not None]
REAL = [action for action in ACTIONS if action.job.run is None]


def run_id(action: Action) -> str:
    assert action.job.run is not None
    return action.job.run.run_id


@pytest.mark.parametrize(
    ("size", "arrays", "expected"),
    [(5, True, [5, 5, 2]), (12, True, [12]), (100, True, [12]), (11, True, [11, 1]), (5, False, [1] * 12)],
)
def test_arrays_are_split_where_they_are_too_large(size: int, arrays: bool, expected: list[int]) -> None:
    batches = chunked(TRAININGS, arrays=arrays, size=size)
    assert [len(batch.actions) for batch in batches] == expected
    assert [action for batch in batches for action in batch.actions] == TRAININGS
    for batch in batches:
        assert batch.indices == (tuple(range(len(batch.actions))) if len(batch.actions) > 1 else None)


def test_evaluations_of_an_array_become_an_array_with_the_same_numbers() -> None:
    trained = {run_id(action): (f"40_{index}",) for index, action in enumerate(TRAININGS)}
    del trained[run_id(TRAININGS[3])]
    real, single, array = evaluation_batches([*REAL, *EVALUATIONS], trained, arrays=True, size=1)
    assert (real.actions, real.indices, dependency(real)) == (tuple(REAL), None, "")
    assert (single.actions, dependency(single)) == ((EVALUATIONS[3],), "")  # its training was finished before
    assert array.indices == (0, 1, 2, 4, 5, 6, 7, 8, 9, 10, 11)
    assert dependency(array) == "aftercorr:40"
    assert waited_for(array, 4) == ("40_4",)
    for index, action in zip(array.indices, array.actions, strict=True):
        assert trained[run_id(action)] == (f"40_{index}",)


def test_an_element_with_two_evaluations_waits_in_two_arrays() -> None:
    trained = {run_id(action): (f"7_{index}",) for index, action in enumerate(TRAININGS[:2])}
    first, second = evaluation_batches([*EVALUATIONS[:2], *EVALUATIONS[:2]], trained, arrays=True, size=100)
    assert first.indices == second.indices == (0, 1)
    assert dependency(first) == dependency(second) == "aftercorr:7"
    twice, lone = evaluation_batches([EVALUATIONS[0], *EVALUATIONS[:2]], trained, arrays=True, size=100)
    assert twice.indices == (0, 1)
    assert (lone.indices, dependency(lone)) == (None, "afterok:7_0")


def test_an_evaluation_of_a_chain_waits_for_any_of_its_links() -> None:
    (batch,) = evaluation_batches(EVALUATIONS[:1], {run_id(EVALUATIONS[0]): ("5", "6", "7")}, arrays=True, size=9)
    assert dependency(batch) == "afterok:5?afterok:6?afterok:7"


def test_a_link_starts_only_if_no_link_before_it_finished() -> None:
    batch = Batch(actions=(TRAININGS[0],))
    assert dependency(batch) == ""
    assert dependency(batch, before=("3", "4")) == "afterany:3:4"
    assert dependency(batch, before=("3",), earlier_links=("8", "9")) == "afternotok:8:9"


@given(st.sets(st.integers(0, 1000), min_size=1, max_size=60))
def test_element_numbers_survive_their_notation(indices: set[int]) -> None:
    from tests.launching.slurm.fake_commands import elements_of

    assert elements_of(f"{ranges(indices)}%3") == sorted(indices)


@given(
    st.lists(st.sampled_from(["array", "single"]), max_size=12),
    st.one_of(st.none(), st.integers(1, 4)),
    st.lists(st.sampled_from(["1", "2_0", "2_1"]), unique=True),
)
def test_lanes_never_let_more_run_than_allowed(kinds: list[str], limit: int | None, earlier: list[str]) -> None:
    """Whatever starts and ends in whatever order: an array runs alone, of the others at most so many run."""
    lanes = Lanes(limit, earlier)
    before: dict[str, tuple[str, ...]] = {}
    arrays = set()
    for number, kind in enumerate(kinds, start=10):
        size = 3 if kind == "array" else 1
        batch = Batch(actions=tuple(TRAININGS[:size]), indices=tuple(range(size)) if size > 1 else None)
        before[str(number)] = lanes.before(batch)
        lanes.took(batch, [str(number)])
        arrays |= {str(number)} if size > 1 else set()
    if limit is None:
        assert set(before.values()) <= {()}
        return
    ended: set[str] = set()
    while len(ended) < len(before) + len({item.partition("_")[0] for item in earlier}):
        ready = {item.partition("_")[0] for item in earlier} - ended
        ready |= {number for number, needs in before.items() if number not in ended and set(needs) <= ended}
        assert ready
        new = ready & before.keys()
        if ready - before.keys():
            assert not new
        assert len(new) == 1 if new & arrays else len(new) <= limit
        ended.add(min(ready))


def test_every_evaluation_is_in_one_batch() -> None:
    trained = {run_id(action): (f"9_{index}",) for index, action in enumerate(TRAININGS[:7])}
    trained |= {run_id(action): (str(100 + index),) for index, action in enumerate(TRAININGS[7:9])}
    for arrays in (True, False):
        batches = evaluation_batches([*REAL, *EVALUATIONS], trained, arrays=arrays, size=4)
        counts = Counter(action.job.key for batch in batches for action in batch.actions)
        assert counts == Counter(action.job.key for action in [*REAL, *EVALUATIONS])
