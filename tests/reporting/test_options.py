"""What may be asked of a report: other protocols, cost, two rows; and what the command line makes of it."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

import bench.cli
from bench.reporting.options import ReportOptions
from bench.reporting.tables import study_tables
from bench.reporting.text import cell_text
from bench.store import Score, Store
from bench.study import get_study

from .conftest import FakeStore


def judged_by_another(fake: FakeStore, label: str, protocol: str, **scores: float) -> None:
    """A run that is judged, but not by the study's protocol."""
    fake.train(label)
    found = fake.judge(label, mIoU=0.0)
    folder = fake.store.evaluation_folder(found.eval_id)
    (folder / "evaluation.json").unlink()
    spec = replace(found.spec, protocol=protocol, protocol_sha256="of another one")
    kept = {name: Score(value=value) for name, value in scores.items()}
    fake.store.write_evaluation(replace(found, eval_id=spec.eval_id, spec=spec, scores=kept))


def test_another_protocol_is_never_mixed_in_by_itself(fake: FakeStore) -> None:
    judged_by_another(fake, "SPADE decoder", "synthetic@1", mIoU=43.0)
    (table,) = study_tables(fake.study, fake.store)
    assert table.cell("SPADE decoder", "mIoU").detail == "pending (trained, not judged yet)"


def test_mixed_in_on_request_it_is_marked_and_not_ranked(fake: FakeStore) -> None:
    judged_by_another(fake, "SPADE decoder", "synthetic@1", mIoU=43.0)
    fake.done("pix2pixHD", mIoU=20.0)
    fake.done("pix2pixHD++", mIoU=25.0)
    (table,) = study_tables(fake.study, fake.store, ReportOptions(mix_protocols=True))
    cell = table.cell("SPADE decoder", "mIoU")
    assert (cell.value, cell.other_protocol, cell.standing, cell.delta) == (43.0, "synthetic@1", "", None)
    assert cell_text(cell, table.columns[table.column("mIoU")], table) == "43.0°§"
    assert table.cell("pix2pixHD++", "mIoU").standing == "best"
    (note,) = [note for note in table.notes if note.startswith("§")]
    assert "another protocol than synthetic@2" in note
    assert "SPADE decoder by synthetic@1" in note


def test_of_several_other_protocols_the_same_names_newest_version_is_taken(fake: FakeStore) -> None:
    judged_by_another(fake, "SPADE decoder", "distances@9", mIoU=1.0)
    judged_by_another(fake, "SPADE decoder", "synthetic@0", mIoU=2.0)
    judged_by_another(fake, "SPADE decoder", "synthetic@1", mIoU=3.0)
    (table,) = study_tables(fake.study, fake.store, ReportOptions(mix_protocols=True))
    assert table.cell("SPADE decoder", "mIoU").value == 3.0


def test_the_rule_that_selected_the_checkpoint_is_told(fake: FakeStore) -> None:
    fake.done("pix2pixHD", mIoU=20.0)
    (table,) = study_tables(fake.study, fake.store)
    assert "Checkpoint: the last one of every run; none was selected by a score." in table.notes
    training = replace(fake.study.datasets[0].training, selection="best", eval_every_steps=100)
    dataset = replace(fake.study.datasets[0], training=training)
    best = FakeStore(replace(fake.study, datasets=(dataset,)), fake.store)
    best.train("pix2pixHD")
    found = best.judge("pix2pixHD", mIoU=21.0)
    best.store.write_evaluation(replace(found, selection_note="best mIoU of 3 scored steps"))
    (table,) = study_tables(best.study, best.store)
    assert any(note.startswith("Checkpoint selected by its score during training") for note in table.notes)
    footnote = table.cell("pix2pixHD", "mIoU").footnote
    assert "step 300 (best)" in footnote
    assert footnote.endswith("best mIoU of 3 scored steps")


def test_cost_of_what_ran_and_why_there_is_none(fake: FakeStore) -> None:
    fake.train("SPADE decoder", images_per_s=50.0)
    fake.train("pix2pixHD", images_per_s=2.0)
    folder = fake.store.run(fake.run_spec("pix2pixHD"))
    hardware = {"gpus": ["V100"], "processor": "x"}
    folder.write_provenance({**folder.provenance(), "hardware": hardware, "generator_multiply_adds": 84_800_000_000}, 1)
    (table,) = study_tables(fake.study, fake.store, ReportOptions(cost=True))
    assert table.cell("pix2pixHD", "cost:multiply_adds").value == 84.8
    assert table.cell("pix2pixHD", "cost:gpu_hours").value == pytest.approx(300 * 8 / 2.0 / 3600)
    assert "measured on 1 × V100" in table.cell("pix2pixHD", "cost:gpu_hours").footnote
    on_cpu = table.cell("SPADE decoder", "cost:gpu_hours")
    assert (on_cpu.state, on_cpu.detail) == ("n/a", "n/a (trained without a GPU: 1 min on the CPU)")
    assert table.cell("SPADE decoder", "cost:multiply_adds").detail == "n/a (not recorded when the run was trained)"
    assert table.cell("pix2pixHD++", "cost:speed").state == "blank"
    assert not any(column.kind == "cost" for column in study_tables(fake.study, fake.store)[0].columns)


def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["run_study.py", *arguments])
    with pytest.raises(SystemExit) as stopped:
        bench.cli.main()
    printed = capsys.readouterr()
    return int(stopped.value.code or 0), printed.out + printed.err


def test_the_command_line_reaches_every_option(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeStore(get_study("quickstart"), Store(tmp_path))
    for label, score in (("decoder w/ SPADE (Ours)", 40.0), ("decoder w/ Concat", 38.0)):
        fake.done(label, mIoU=score)
    report = ("report", "quickstart", "--store", str(tmp_path))
    status, text = call(capsys, monkeypatch, *report, "--format", "md", "--cost", "--interval", "both", "--external")
    assert status == 0
    assert "GPU-hours" in text
    status, text = call(
        capsys, monkeypatch, *report, "--format", "md", "--compare", "decoder w/ S", "decoder w/ C", "--mix-protocols"
    )
    assert status == 0
    assert "decoder w/ SPADE (Ours) against decoder w/ Concat" in text
    assert "| 40.00° | 38.00° |" in text
    status, text = call(capsys, monkeypatch, *report, "--orderings", "--format", "md")
    assert status == 0
    assert "| decoder w/ SPADE (Ours) over decoder w/ Concat | 40.0 | 38.0 | +2.0 |" in text
    both = ("--orderings", "--compare", "decoder w/ S", "decoder w/ C")
    assert "leave one of them out" in call(capsys, monkeypatch, *report, *both)[1]
    status, text = call(capsys, monkeypatch, *report, "--compare", "decoder", "OASIS")
    assert status != 0
    assert "begins more than one row" in text
