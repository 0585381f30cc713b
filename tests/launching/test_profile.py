"""Cluster profiles: strict, everything wrong at once, with what to do."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from bench.launching.profile import ClusterProfile, EvaluationJobs, ProfileError, explained, read_profile
from bench.launching.profile_keys import EVALUATION_KEYS, KEYS, minutes_of

EXAMPLES = Path(__file__).resolve().parents[2] / "profiles"


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "my.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["department", "lab", "national"])
def test_the_examples_can_be_used_as_they_are(name: str) -> None:
    profile = read_profile(EXAMPLES / f"{name}.toml")
    assert (profile.name, bool(profile.summary), profile.device) == (name, True, "cuda")


def test_there_are_no_other_examples_and_they_differ_in_what_matters() -> None:
    profiles = [read_profile(path) for path in sorted(EXAMPLES.glob("*.toml"))]
    assert [profile.name for profile in profiles] == ["department", "lab", "national"]
    assert {profile.requeue for profile in profiles} == {True, False}
    assert {profile.gpu_request for profile in profiles} == {"gres", "gpus-per-node"}
    assert {profile.accounting for profile in profiles} == {None, "none"}
    assert any(profile.container for profile in profiles)


def test_every_key_is_a_field_with_an_explanation() -> None:
    assert {item.name for item in fields(ClusterProfile)} - {"name"} == KEYS.keys()
    assert {item.name for item in fields(EvaluationJobs)} == EVALUATION_KEYS.keys()
    rows = {key: (default, meaning) for key, default, meaning in explained()}
    assert rows["gpus_per_node"][0] == "8"
    assert rows["requeue"][0] == "true"
    assert rows["evaluation.gpus"][0] == "1"
    assert rows["partition"][0] == ""
    assert all(meaning for _, meaning in rows.values())


def test_an_empty_file_is_a_profile_of_defaults(tmp_path: Path) -> None:
    profile = read_profile(written(tmp_path, ""))
    assert profile == ClusterProfile(name="my")
    assert (profile.minutes, profile.evaluation_minutes, profile.links) == (1440, 1440, 1)


def test_all_that_is_said_arrives(tmp_path: Path) -> None:
    text = """
    partition = "a,b"
    time_limit = "2-12:00:00"
    requeue = false
    chain_links = 3
    container = ["apptainer", "exec", "x.sif"]
    [sbatch]
    exclusive = true
    mail-type = "FAIL"
    [environment]
    NCCL_DEBUG = "INFO"
    [data]
    synthetic = "/d"
    [evaluation]
    gpus = 2
    time_limit = "01:00:01"
    """
    profile = read_profile(written(tmp_path, text))
    assert (profile.minutes, profile.evaluation_minutes, profile.links) == (3600, 61, 3)
    assert profile.container == ("apptainer", "exec", "x.sif")
    assert profile.sbatch == {"exclusive": True, "mail-type": "FAIL"}
    assert profile.variables() == {"NCCL_DEBUG": "INFO", "SPADE_BENCH_DATA_SYNTHETIC": "/d"}
    assert profile.evaluation == EvaluationJobs(gpus=2, time_limit="01:00:01")


def test_everything_wrong_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOT_SET_ANYWHERE", raising=False)
    text = """
    partion = "gpu"
    gpus_per_node = 0
    cpus_per_gpu = true
    time_limit = 10:30:00
    gpu_type = "a100"
    gpu_request = "none"
    scratch = "$NOT_SET_ANYWHERE/s"
    weights = "relative"
    setup = "module load"
    requeue = "yes"
    memory_gib_per_node = -1
    [sbatch]
    time = 3
    gpus-per-node = 8
    --mail-type = "x"
    nice = 1.5
    [environment]
    PYTHONPATH = "x"
    SLURM_X = "y"
    "A B" = "z"
    [data]
    coco = "/x"
    [evaluation]
    gpus = 16
    gpu = 2
    """
    with pytest.raises(ProfileError, match="not a cluster profile") as raised:
        read_profile(written(tmp_path, text))
    problems = str(raised.value).splitlines()
    assert problems[0] == f"{tmp_path / 'my.toml'}: not a cluster profile"
    assert problems[-1] == "`./run_study.py cluster keys` lists every key"
    for expected in (
        "partion: unknown key; did you mean 'partition'?",
        "gpus_per_node: is 0; it must be a whole number from 1 to 64",
        "cpus_per_gpu: is True; it must be a whole number from 1 to 1024",
        'time_limit: is 10:30:00 (a time); it must be a text such as "2-00:00:00"',
        "gpu_type: is given but gpu_request is 'none'",
        "scratch: '$NOT_SET_ANYWHERE/s' has a variable that is not set here",
        "weights: 'relative' is not an absolute path",
        "setup: is 'module load'; it must be a list of texts",
        "requeue: is 'yes'; it must be true or false",
        "memory_gib_per_node: is -1; it must be a number greater than 0",
        "sbatch: is {'time': 3",
        "environment.PYTHONPATH: is set for each job by SLURM or by us",
        "environment.SLURM_X: is set for each job",
        "environment.A B: is no name of a variable",
        "data.coco: no data set is called so; there are synthetic, coco_stuff",
        "evaluation.gpu: unknown key; did you mean 'gpus'?",
        "evaluation.gpus: 16 are more than gpus_per_node = 8",
    ):
        assert any(line.strip().startswith(expected) for line in problems), expected
    assert len(problems) == 2 + 17


def test_options_that_are_keys_of_the_profile_are_not_taken_twice(tmp_path: Path) -> None:
    text = '[sbatch]\ntime = "1"\ngres = "gpu:1"\n--mail-type = "x"\narray = "0-3"\nno-requeue = true\noutput = "o"\n'
    with pytest.raises(ProfileError, match="not a cluster profile") as raised:
        read_profile(written(tmp_path, text))
    for line in (
        "sbatch.time: use time_limit",
        "sbatch.gres: use gpus_per_node, gpu_request and gpu_type",
        "sbatch.--mail-type: write it as sbatch does, without leading dashes: mail-type",
        "sbatch.array: use arrays, max_array_size (and --max-running)",
        "sbatch.no-requeue: use requeue",
        "sbatch.output: use nothing: it is set for each job",
    ):
        assert f"  {line}\n" in str(raised.value)


def test_a_missing_or_broken_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match=r"x\.toml: there is no such profile\. Copy one of profiles/"):
        read_profile(tmp_path / "x.toml")
    path = written(tmp_path, "partition = gpu\n")
    with pytest.raises(ProfileError, match=r"there is no such profile; there are my\.toml"):
        read_profile(tmp_path / "x.toml")
    with pytest.raises(ProfileError, match=r'not valid TOML: .*line 1.*Texts stand in quotes: partition = "gpu"'):
        read_profile(path)


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("1-00:00:00", 1440), ("36:00:00", 2160), ("00:00:30", 1), ("0-01", 60), ("2-03:30", 3090), ("00:10:01", 11)],
)
def test_time_limits(text: str, minutes: int) -> None:
    assert minutes_of(text) == minutes


@pytest.mark.parametrize("text", ["30:00", "90", "1 day", "", "1-24:00:00", "00:60:00", "00:00:00", "-1:00:00"])
def test_time_limits_that_may_be_misread_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is '.*'; (write days-hours|hours go to 23)"):
        minutes_of(text)


def test_a_notice_that_comes_too_early_is_refused() -> None:
    with pytest.raises(ProfileError, match="signal_before_end_s: 180 s are more than half of time_limit = '00:05:00'"):
        ClusterProfile(name="p", time_limit="00:05:00")
    with pytest.raises(ProfileError, match=r"half of evaluation\.time_limit"):
        ClusterProfile(name="p", evaluation=EvaluationJobs(time_limit="00:05:00"))
