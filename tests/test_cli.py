"""The command line as a user types it."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.store import Store
from tests.baselines.test_contract import ADE20K_COUNTS
from tests.speed import COMMAND_LINE, processor_s

ROOT = Path(__file__).resolve().parents[1]
VERBS = [
    "benchmark",
    "cancel",
    "cluster",
    "doctor",
    "evaluate",
    "fetch-weights",
    "figure3",
    "human",
    "import-images",
    "leaderboard",
    "list",
    "logs",
    "paint",
    "params",
    "plan",
    "prepare",
    "report",
    "retry",
    "run",
    "show",
    "sims",
    "site",
    "status",
    "synthesize",
    "train",
    "why",
]
WEIGHTS_FIELDS = {"name", "file", "purpose", "used_by", "found", "licence", "address", "address_source", "fetchable"}
WEIGHTS_FIELDS |= {"mirrors", "sha256", "sha256_prefix", "sha256_recorded", "recorded_on", "size_bytes", "about_mib"}
WEIGHTS_FIELDS |= {"package"}
TINY = "--size 32x32 --train-images 8 --val-images 4 --width 4 --discriminator-width 4 --batch 4 --log-every 1"
TRAIN = f"train pix2pixhd-pp --dataset synthetic {TINY} --switch no-perceptual --device cpu".split()


def cli(*arguments: str | Path, status: int = 0, launcher: tuple[str, ...] = (), **variables: str) -> str:
    """What ``./run_study.py ARGUMENTS`` prints, to both streams; the exit status must be ``status``."""
    command = [sys.executable, *launcher, "run_study.py", *map(str, arguments)]
    environment = {**os.environ, "COLUMNS": "200", "OMP_NUM_THREADS": "1", **variables}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    output = done.stdout + done.stderr
    assert done.returncode == status, output
    return output


Inside = Callable[..., tuple[int, str]]


@pytest.fixture
def inside(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Inside:
    """The same in this process, for (exit status, what was printed)."""
    import bench.cli

    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["run_study.py", *arguments])
        with pytest.raises(SystemExit) as stopped:
            bench.cli.main()
        printed = capsys.readouterr()
        return int(stopped.value.code or 0), printed.out + printed.err

    return call


def from_json(*arguments: str) -> Any:
    return json.loads(cli(*arguments, "--json"))


def test_the_verbs_are_frozen() -> None:
    """Adding one is fine: add it here, and to the README. Losing or renaming one breaks scripts."""
    listed = re.findall(r"^│ ([a-z][a-z0-9-]*) ", cli("--help"), flags=re.MULTILINE)
    assert sorted(listed) == VERBS


def test_a_call_builds_the_verbs_of_one_module_and_they_are_those_it_has() -> None:
    import typer

    from bench.cli import MODULES, command_line

    for module, verbs in MODULES.items():
        built = typer.main.get_command(command_line([module]))
        assert tuple(built.commands) == verbs  # type: ignore[attr-defined]
    everything = [verb for verbs in MODULES.values() for verb in verbs]
    assert sorted(everything) == VERBS
    code = "import sys\nsys.argv = ['run_study.py', 'list', 'studies']\nimport bench.cli\n"
    code += "try: bench.cli.main()\nexcept SystemExit: print([n for n in sys.modules if 'bench.cli.' in n])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "'bench.cli.catalogue'" in done.stdout
    assert "'bench.cli.studies'" not in done.stdout


def test_no_help_holds_what_rich_takes_for_markup() -> None:
    import typer

    from bench.cli import command_line

    def commands(command: Any) -> Iterator[Any]:
        nested = getattr(command, "commands", {}).values()
        yield from (each for one in nested for each in commands(one)) if nested else (command,)

    helps = [param.help or "" for one in commands(typer.main.get_command(command_line())) for param in one.params]
    assert len(helps) > 100
    assert [text for text in helps if re.search(r"\[[a-z]", text)] == [], "say show_default='...' instead"


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb: str, inside: Inside) -> None:
    status, text = inside(verb, "-h")
    assert status == 0
    assert re.search(rf"Usage: .*run_study\S* {verb}\b", text)


@pytest.mark.parametrize(
    ("kind", "fields", "name"),
    [
        ("variants", {"name", "summary", "table_rows", "paper_params_m", "recipes", "provenance"}, "spade-decoder"),
        ("systems", {"name", "made_by", "summary"}, "SIMS"),
        ("datasets", {"name", "title", "size", "label_ids", "channels", "files"}, "coco_stuff"),
        ("protocols", {"name", "dataset", "judge", "metrics", "guesses", "summary"}, "synthetic@2"),
        ("studies", {"name", "summary"}, "quickstart"),
        ("weights", WEIGHTS_FIELDS, "inception-fid"),
    ],
)
def test_list(kind: str, fields: set[str], name: str) -> None:
    rows = from_json("list", kind)
    assert all(set(row) == fields for row in rows)
    names = [row["name"] for row in rows]
    assert name in names
    assert len(names) == len(set(names))
    text = cli("list", kind)
    assert all(item in text for item in names)
    assert "Traceback" not in text


@pytest.mark.parametrize(
    ("thing", "name", "expected"),
    [
        ("variant", "concat-decoder", ["reconstruction: no code was released", "79M", "released code (NVlabs/SPADE)"]),
        ("variant", "pix2pixhd", ["Table 3: pix2pixHD", "released code (NVIDIA/pix2pixHD)", "least_squares"]),
        ("dataset", "coco_stuff", ["184: 182 classes", "SPADE_BENCH_DATA_COCO_STUFF", "don't care"]),
        ("protocol", "synthetic@2", ["FD@synthetic-judge", "not an FID", "paper section 4"]),
        ("study", "quickstart", ["decoder w/ SPADE", "seeds", "protocol synthetic"]),
    ],
)
def test_show(thing: str, name: str, expected: list[str]) -> None:
    text = cli("show", thing, name)
    for part in expected:
        assert part in text, part


@pytest.fixture(scope="module")
def counted() -> dict[str, dict[str, Any]]:
    rows = from_json("params", "--dataset", "ade20k")
    assert all(set(row) == {"variant", "params", "paper_params_m", "table_row"} for row in rows)
    return {row["variant"]: row for row in rows}


def test_params(counted: dict[str, dict[str, Any]]) -> None:
    assert {name: counted[name]["params"] for name in ADE20K_COUNTS} == ADE20K_COUNTS
    assert counted["pix2pixhd-pp"]["table_row"] == "Table 3: pix2pixHD++"
    assert counted["pix2pixhd-local-enhancer"]["table_row"] is None
    for row in counted.values():
        assert isinstance(row["params"], int)
        assert row["paper_params_m"] is None or round(row["params"] / 1e6) == row["paper_params_m"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["show", "variant", "spade-decodr"], "did you mean 'spade-decoder'?\nregistered variants: concat-decoder, "),
        (["show", "dataset", "coco"], "unknown dataset 'coco'; choose one of synthetic, coco_stuff"),
        (["show", "protocol", "fid"], "no protocol is called 'fid'; known are: synthetic@2, "),
        (["show", "study", "quikstart"], "no study is called 'quikstart'; did you mean 'quickstart'?\nstudies: "),
        (["plan", "table9"], "no study is called 'table9'"),
        (["status", "table9"], "no study is called 'table9'"),
        (["run", "table9"], "no study is called 'table9'"),
        (["report", "table9"], "no study is called 'table9'"),
        (["params", "--dataset", "voc"], "unknown dataset 'voc'"),
        (["train", "dalle", "--dataset", "synthetic"], "no variant is called 'dalle'"),
        (["train", "pix2pixhd", "--dataset", "voc"], "unknown dataset 'voc'"),
        ([*TRAIN, "--steps", "2", "--recipe", "text"], "has no recipe 'text'; it has: code, paper"),
        ([*TRAIN, "--steps", "2", "--switch", "x"], "no switch is called 'x'; there are: no-sync-batch-norm"),
        ([*TRAIN, "--steps", "2", "--size", "64"], "--size is '64'; write height x width in px, such as 256x512"),
        ([*TRAIN, "--steps", "2", "--epochs", "2"], "--steps 2 and --epochs 2 both say how long; give one"),
        (TRAIN, "recipe 'code' has no schedule for data set 'synthetic' (it has: coco_stuff, "),
        (
            [*TRAIN, "--steps", "2", "--precision", "fp8"],
            "Training.precision is 'fp8'; allowed are 'float32' and 'bf16'",
        ),
        (["train", "pix2pixhd", "--dataset", "ade20k", "--steps", "1"], "SPADE_BENCH_DATA_ADE20K"),
        (["logs", "nothing", "--store", "STORE"], "no run matches 'nothing' in "),
        (["why", "nothing", "--store", "STORE"], "(the store is empty)"),
        (
            ["evaluate", "--store", "STORE"],
            "give exactly one of --run, --images, --imported, --checkpoint, --real; given: none",
        ),
        (["evaluate", "--images", "STORE"], "--images needs --dataset"),
        (["benchmark", "generator", "--size", "0"], "--size is '0x0'; write height x width in px, such as 256x512"),
        (["evaluate", "--checkpoint", "x.pth", "--dataset", "synthetic"], "--checkpoint x.pth needs --variant"),
        (["synthesize", "--labels", "m.png"], "give exactly one of --run and --checkpoint; given: none"),
        (["synthesize", "--run", "r", "--variant", "spade"], "--variant mean nothing with --run; leave them out"),
        (["synthesize", "--checkpoint", "x.pth", "--variant", "spade"], "--checkpoint x.pth needs --dataset"),
        (["paint"], "give exactly one of --run and --checkpoint; given: none"),
        (["paint", "--run", "r", "--port", "99999"], "--port is 99999; it must be from 0 (any free one) to 65535"),
        ([*TRAIN, "--steps", "2", "--encoder-width", "8"], "--encoder-width 8: variant 'pix2pixhd-pp' has no image"),
    ],
)
def test_a_users_error_is_one_message(
    arguments: list[str], expected: str, inside: Inside, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPADE_BENCH_DATA_ADE20K", "")
    status, text = inside(*[str(tmp_path) if item == "STORE" else item for item in arguments])
    assert status == 1
    assert text.startswith("error: ")
    assert expected in text


def test_no_traceback_reaches_the_user() -> None:
    assert "Traceback" not in cli("show", "variant", "spade-decodr", status=1)


@pytest.mark.parametrize("arguments", [["list", "models"], ["show", "variants", "x"], ["train", "pix2pixhd"], ["fly"]])
def test_a_misspelt_command_shows_the_usage(arguments: list[str], inside: Inside) -> None:
    status, text = inside(*arguments)
    assert status == 2
    assert re.match(r"Usage: .*run_study", text)


def test_a_diverged_run_is_one_message_and_a_bug_is_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import bench.cli
    from bench.training.logs import DivergedError

    def raising(error: Exception) -> None:
        def failing() -> None:
            raise error

        monkeypatch.setattr(bench.cli, "command_line", lambda modules: failing)

    raising(DivergedError("not finite between steps 1 and 2"))
    with pytest.raises(SystemExit, match="1"):
        bench.cli.main()
    assert capsys.readouterr().err == "error: not finite between steps 1 and 2\n"
    raising(KeyError("a bug"))
    with pytest.raises(KeyError, match="a bug"):
        bench.cli.main()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """(store, run id, what was printed) of two steps."""
    store = tmp_path_factory.mktemp("store")
    printed = cli(*TRAIN, "--steps", "2", "--store", store)
    (folder,) = Store(store).runs()
    return store, folder.spec().run_id, printed


def test_train_says_where_the_run_is_and_what_to_do_next(trained: tuple[Path, str, str]) -> None:
    store, run_id, printed = trained
    folder = Store(store).find_run(run_id)
    assert f"run {folder.name}" in printed
    assert "train pix2pixhd-pp: 50 %" in printed
    assert "images/s" in printed
    assert f"score it: ./run_study.py evaluate --run {run_id} --store {store}" in printed
    assert folder.status().state == "done"
    spec = folder.spec()
    assert (spec.recipe.perceptual_weight, spec.training.steps, spec.dataset.size) == (0.0, 2, (32, 32))
    assert spec.training.norm_group_images == 4


def test_the_same_command_again_finds_it_finished(trained: tuple[Path, str, str]) -> None:
    store, run_id, _ = trained
    before = Store(store).find_run(run_id).metrics()
    assert "finished already" in cli(*TRAIN, "--steps", "2", "--store", store)
    assert Store(store).find_run(run_id).metrics() == before


def test_logs_and_why(trained: tuple[Path, str, str]) -> None:
    store, run_id, _ = trained
    text = cli("logs", run_id, "--store", store)
    assert re.search(r"done, step 2/2\nstep 1: .*generator/adversarial .*\nstep 2: .*images_per_s", text)
    assert "step 1:" not in cli("logs", run_id, "--store", store, "-n", "1")
    text = cli("why", run_id, "--store", store)
    assert "done, step 2/2, saved at step 2, attempt 1" in text
    assert "it has not failed" in text


def test_why_shows_the_traceback_of_a_failed_run(tmp_path: Path) -> None:
    options = ["--steps", "2", "--store", tmp_path]
    failing = [item for item in TRAIN if item not in ("--switch", "no-perceptual")]
    nowhere = str(tmp_path / "nowhere")
    text = cli(*failing, *options, status=1, SPADE_BENCH_WEIGHTS=nowhere, TORCH_HOME=nowhere)
    assert "error: weights file vgg19-dcbb9e9d.pth is missing" in text
    assert "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth" in text
    (folder,) = Store(tmp_path).runs()
    assert folder.status().state == "failed"
    text = cli("why", "pix2pixhd-pp", "--store", tmp_path)
    assert "error: MissingWeightsError: weights file vgg19-dcbb9e9d.pth is missing" in text
    assert "Traceback (most recent call last)" in text


@pytest.mark.slow
def test_train_under_torchrun(tmp_path: Path) -> None:
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    text = cli(*TRAIN, "--steps", "2", "--store", tmp_path, launcher=launcher)
    assert text.count("score it:") == 1
    (folder,) = Store(tmp_path).runs()
    assert folder.status().state == "done"
    assert [row["step"] for row in folder.metrics()] == [1, 2]


def processor_seconds(*arguments: str) -> float:
    """User and system time of one call: other work on the machine does not count, nor does compiling to bytecode."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    cli(*arguments, PYTHONDONTWRITEBYTECODE="")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.parametrize(
    "arguments", [["list", "variants"], ["plan", "quickstart"], ["status", "quickstart"]], ids=lambda item: item[0]
)
def test_what_answers_on_a_login_node_is_quick_and_imports_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    options = [] if arguments[0] == "list" else ["--store", str(tmp_path)]
    # A module of that name that cannot be imported: any attempt would end in an error.
    for name in ("torch", "pandas", "numpy"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported what it should not')\n")
    cli(*arguments, *options, PYTHONPATH=str(tmp_path))
    assert min(processor_seconds(*arguments, *options) for _ in range(3)) < 3.3 * processor_s(COMMAND_LINE)


def test_plan_gives_every_action_with_its_reason(tmp_path: Path) -> None:
    text = cli("plan", "quickstart", "--store", tmp_path)
    assert "not in the store" in text
    assert "not judged yet" in text
    assert re.search(r"^\d+ submit$", text, flags=re.MULTILINE)
    assert list(tmp_path.iterdir()) == []
    assert cli("run", "quickstart", "--dry-run", "--store", tmp_path) == text
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("verb", ["status", "report", "site"])
def test_a_store_that_is_not_there_is_named(verb: str, inside: Inside, tmp_path: Path) -> None:
    """A misspelt --store would otherwise pass for a study of which nothing is done."""
    out = () if verb == "status" else ("--out", str(tmp_path / "out"))
    status, text = inside(verb, "quickstart", "--store", str(tmp_path / "stroe"), *out)
    assert status == 0
    assert f"there is no store at {tmp_path / 'stroe'} yet" in text
    (tmp_path / "store").mkdir()
    status, text = inside(verb, "quickstart", "--store", str(tmp_path / "store"), *out)
    assert status == 0
    assert "there is no store" not in text
