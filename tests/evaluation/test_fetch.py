"""Fetching weights files from a server of this machine: resumed, refused, installed."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import random
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from bench.evaluation import fetch as fetching
from bench.evaluation.fetch import FetchError, Patience, addresses_of, fetch, refuse_inside_a_job
from bench.evaluation.weights import record_path
from bench.evaluation.weights_table import WeightsFile
from tests.evaluation.weights_server import PAGE, Server, serving

CONTENT = b"PK\x03\x04" + random.Random(3).randbytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
ENTRY = WeightsFile(
    name="judge",
    filename="trunk/judge.pth",
    purpose="tests",
    licence="MIT (nobody)",
    address="https://example.org/judge.pth",
    sha256=SHA256,
)
UNKNOWN = replace(ENTRY, sha256=None)
PATIENCE = Patience(timeout_s=5)


class Got(NamedTuple):
    path: Path
    told: list[str]
    paused: list[float]


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(CONTENT) as found:
        yield found


def get(server: Server, folder: Path, entry: WeightsFile = ENTRY, patience: Patience = PATIENCE, **more: Any) -> Got:
    told: list[str] = []
    paused: list[float] = []
    addresses = more.pop("addresses", [server.address])
    path = fetch(entry, folder, addresses, patience=patience, tell=told.append, pause=paused.append, **more)
    return Got(path, told, paused)


def get_interrupted(server: Server, folder: Path, entry: WeightsFile = ENTRY) -> None:
    """The first 120,000 bytes come, then the user presses Ctrl-C."""

    def pressed(_: float) -> None:
        raise KeyboardInterrupt

    server.cut = [120_000]
    with pytest.raises(KeyboardInterrupt):
        fetch(entry, folder, [server.address], patience=PATIENCE, pause=pressed)


def left(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_file_is_put_in_place_when_it_is_right(server: Server, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    got = get(server, tmp_path, report=lambda done, of: seen.append((done, of)))
    assert got.path == tmp_path / "trunk" / "judge.pth"
    assert got.path.read_bytes() == CONTENT
    assert got.path.stat().st_mode & 0o777 == 0o644
    assert left(tmp_path) == ["trunk/judge.pth"]
    assert (seen[0], seen[-1]) == ((0, len(CONTENT)), (len(CONTENT), len(CONTENT)))
    assert (got.told, got.paused, server.asked) == ([], [], [None])


def test_a_broken_connection_is_continued_where_it_broke(server: Server, tmp_path: Path) -> None:
    server.cut = [100_000, 50_000]
    got = get(server, tmp_path)
    assert got.path.read_bytes() == CONTENT
    assert server.asked == [None, "bytes=100000-", "bytes=150000-"]
    assert "ended after 100,000 of 300,004 bytes; trying again" in got.told[0]


def test_the_next_call_continues(server: Server, tmp_path: Path) -> None:
    get_interrupted(server, tmp_path)
    assert left(tmp_path) == ["trunk/judge.pth.part", "trunk/judge.pth.part.json"]
    assert get(server, tmp_path).path.read_bytes() == CONTENT
    assert server.asked == [None, "bytes=120000-"]
    assert left(tmp_path) == ["trunk/judge.pth"]


def test_what_came_is_kept_where_the_server_fails_for_good(server: Server, tmp_path: Path) -> None:
    get_interrupted(server, tmp_path)
    server.statuses = [503] * 5
    with pytest.raises(FetchError, match="503 Service Unavailable, 5 times in a row; 120,000 bytes are kept, and the"):
        get(server, tmp_path)
    assert left(tmp_path) == ["trunk/judge.pth.part", "trunk/judge.pth.part.json"]


def test_a_server_that_ignores_range_sends_all_again(server: Server, tmp_path: Path) -> None:
    server.ranges, server.cut = False, [120_000]
    assert get(server, tmp_path).path.read_bytes() == CONTENT
    assert server.asked == [None, "bytes=120000-"]


def test_a_file_that_changed_on_the_server_is_not_glued_to_the_old_part(server: Server, tmp_path: Path) -> None:
    get_interrupted(server, tmp_path, UNKNOWN)
    server.content, server.tag = b"PK\x03\x04" + b"new" * 60_000, '"two"'
    assert get(server, tmp_path, UNKNOWN).path.read_bytes() == server.content


def test_a_part_is_begun_anew_where_nothing_would_tell_a_mix(server: Server, tmp_path: Path) -> None:
    server.tag, server.cut = "", [120_000]
    assert get(server, tmp_path, UNKNOWN).path.read_bytes() == CONTENT
    assert server.asked == [None, None]


def test_a_part_of_another_address_is_begun_anew(server: Server, tmp_path: Path) -> None:
    get_interrupted(server, tmp_path)
    get(server, tmp_path, addresses=[server.address + "?again"])
    assert server.asked == [None, None]


def test_a_complete_part_is_only_checked(server: Server, tmp_path: Path) -> None:
    get_interrupted(server, tmp_path)
    (tmp_path / "trunk" / "judge.pth.part").write_bytes(CONTENT)
    assert get(server, tmp_path).path.read_bytes() == CONTENT
    (tmp_path / "trunk" / "judge.pth").unlink()
    get_interrupted(server, tmp_path)
    (tmp_path / "trunk" / "judge.pth.part").write_bytes(CONTENT + b"more")
    assert "longer than the file" in get(server, tmp_path).told[0]


def test_another_content_is_refused_and_deleted(server: Server, tmp_path: Path) -> None:
    server.content = CONTENT[:-1] + b"?"
    with pytest.raises(
        FetchError, match=rf"sha256 is [0-9a-f]{{64}}, expected {SHA256}; what came was deleted"
    ) as told:
        get(server, tmp_path)
    assert f"put it as\n    {tmp_path}/trunk/judge.pth" in str(told.value)
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    ("kind", "content", "words"),
    [
        ("text/html; charset=utf-8", b"<html>Sign in</html>", "a web page came instead of the file"),
        ("application/octet-stream", b"\n<!doctype HTML><html>", "a web page came instead of the file"),
        ("text/html", PAGE, "Google Drive answers with a page that asks for a confirmation"),
        ("application/octet-stream", b"version https://git-lfs", r"is no PyTorch file \(it begins with b'version http"),
    ],
)
def test_what_is_no_weights_file_is_refused(
    server: Server, tmp_path: Path, kind: str, content: bytes, words: str
) -> None:
    server.kind, server.content = kind, content
    with pytest.raises(FetchError, match=words):
        get(server, tmp_path, UNKNOWN)
    assert not (tmp_path / "trunk" / "judge.pth").exists()
    assert len(server.asked) == 1


def test_a_matlab_file_begins_otherwise(server: Server, tmp_path: Path) -> None:
    entry = replace(UNKNOWN, filename="vgg.mat")
    with pytest.raises(FetchError, match=r"is no MATLAB file \(it begins with b'PK"):
        get(server, tmp_path, entry)
    server.content = b"MATLAB 5.0 MAT-file, Platform: GLNXA64" + bytes(1000)
    assert get(server, tmp_path, entry).path.read_bytes() == server.content
    with pytest.raises(FetchError, match=r"is no PyTorch file \(it begins with b'MATLAB"):
        get(server, tmp_path, UNKNOWN)


def test_the_announced_size_is_looked_at_before_anything_is_sent(server: Server, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=r"it has 300,004 bytes there; the file has 7"):
        get(server, tmp_path, replace(ENTRY, size_bytes=7))
    with pytest.raises(FetchError, match=r"it has 0\.3 MiB there; the file has about 90 MiB"):
        get(server, tmp_path, replace(ENTRY, about_mib=90.0))
    assert left(tmp_path) == []


def test_an_unannounced_size_is_looked_at_afterwards(server: Server, tmp_path: Path) -> None:
    server.announce = False
    with pytest.raises(FetchError, match=r"what came has 300,004 bytes; the file has 7"):
        get(server, tmp_path, replace(UNKNOWN, size_bytes=7))
    assert get(server, tmp_path).path.read_bytes() == CONTENT


def test_a_missing_file_is_not_asked_for_twice_and_the_mirror_is_tried(server: Server, tmp_path: Path) -> None:
    server.statuses = [404]
    with pytest.raises(FetchError, match=r"(?s)the server answers 404 Not Found.*by hand from https://example.org"):
        get(server, tmp_path)
    assert len(server.asked) == 1
    server.statuses = [403]
    got = get(server, tmp_path, addresses=[server.address, server.address + "?mirror"])
    assert got.path.read_bytes() == CONTENT
    assert "403 Forbidden" in got.told[0]


def test_a_busy_server_is_tried_again_later_and_later(server: Server, tmp_path: Path) -> None:
    server.statuses = [503, 429, 500]
    got = get(server, tmp_path)
    assert got.path.read_bytes() == CONTENT
    assert got.paused == [1.0, 2.0, 4.0]
    server.statuses = [503] * 9
    with pytest.raises(FetchError, match="503 Service Unavailable, 5 times in a row"):
        get(server, tmp_path)
    assert len(server.statuses) == 4


def test_a_stalled_transfer_is_broken_off_and_continued(server: Server, tmp_path: Path) -> None:
    server.stall = [100_000]
    got = get(server, tmp_path, patience=Patience(timeout_s=0.3))
    assert got.path.read_bytes() == CONTENT
    assert "no answer in time; trying again" in got.told[0]
    assert server.asked == [None, "bytes=100000-"]


def test_a_trickle_does_not_pass_for_a_transfer(server: Server, tmp_path: Path) -> None:
    server.trickle = True
    with pytest.raises(FetchError, match=r"the transfer stalls: \d+ bytes in \d+ s, 2 times in a row"):
        get(server, tmp_path, patience=Patience(timeout_s=0.3, attempts=2))


def test_no_server_at_all(tmp_path: Path) -> None:
    with serving(CONTENT) as server:
        address = server.address
    with pytest.raises(FetchError, match="Connection refused, 2 times in a row"):
        fetch(ENTRY, tmp_path, [address], patience=Patience(attempts=2), pause=lambda _: None)


def test_two_processes_do_not_fetch_one_file(server: Server, tmp_path: Path) -> None:
    (tmp_path / "trunk").mkdir()
    with (tmp_path / "trunk" / "judge.pth.part.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(FetchError, match="another process is fetching this file"):
            get(server, tmp_path)
    assert server.asked == []


def test_a_file_system_without_locks_is_used_without(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    assert get(server, tmp_path).path.read_bytes() == CONTENT


def test_a_folder_that_cannot_be_made_is_named(server: Server, tmp_path: Path) -> None:
    (tmp_path / "trunk").touch()
    with pytest.raises(
        FetchError, match="trunk: cannot be written .*; name a folder that you may write into with --to"
    ):
        get(server, tmp_path)


def test_a_full_disk_is_told_before_the_download(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(FetchError, match="0 MiB free, 0 MiB more are needed; make room"):
        get(server, tmp_path)


def test_what_goes_wrong_here_is_not_asked_of_the_server_again(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(fetching, "write_json", full)
    with pytest.raises(FetchError, match=r"judge.pth.part: cannot be written \(No space left on device\)"):
        get(server, tmp_path)
    assert len(server.asked) == 1


def test_an_unpublished_sha256_is_recorded_and_another_file_refused(server: Server, tmp_path: Path) -> None:
    path = get(server, tmp_path, UNKNOWN).path
    record = record_path(UNKNOWN, path)
    assert record == tmp_path / "recorded" / "judge.json"
    assert json.loads(record.read_text())["sha256"] == SHA256
    path.unlink()
    server.content += b"!"
    with pytest.raises(FetchError, match=rf"(?s)changed since its first use.*delete {record} to accept the new one"):
        get(server, tmp_path, UNKNOWN)
    record.unlink()
    assert get(server, tmp_path, UNKNOWN).path.read_bytes() == server.content


@pytest.mark.parametrize("variable", ["SLURM_JOB_ID", "RANK", "WORLD_SIZE"])
def test_compute_jobs_never_download(variable: str) -> None:
    with pytest.raises(FetchError, match=rf"this is a compute job \({variable} is set\), and jobs never download"):
        refuse_inside_a_job({variable: "1"})
    refuse_inside_a_job({})


def test_addresses() -> None:
    assert addresses_of(replace(ENTRY, mirrors=("https://b.org/j",))) == (ENTRY.address, "https://b.org/j")
    assert addresses_of(ENTRY, "https://here/all/") == ("https://here/all/trunk/judge.pth",)
    assert addresses_of(ENTRY, "https://here/x.pth") == ("https://here/x.pth",)
    page = replace(ENTRY, direct=False)
    assert addresses_of(page, "http://here") == ("http://here/trunk/judge.pth",)
    with pytest.raises(FetchError, match="a page for a browser, not the file"):
        addresses_of(page)
    with pytest.raises(FetchError, match="--mirror is 'ftp://x'; it must begin with http"):
        addresses_of(ENTRY, "ftp://x")


def test_patience_is_checked() -> None:
    with pytest.raises(ValueError, match="timeout_s=0, attempts=5"):
        Patience(timeout_s=0)
