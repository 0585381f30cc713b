"""Downloading weights files, on machines that may: resumed, checked, and put in place only when all is right.

Part of no job: evaluation and training look at files that are there (``weights``) and never come here.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import http.client
import os
import re
import shutil
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from bench.atomic import read_json, write_json
from bench.evaluation.weights import check_record, digest_problem, file_sha256
from bench.evaluation.weights_table import WeightsFile

Report = Callable[[int, int | None], None]
"""Called with (bytes that are there, bytes of the whole file or None)."""

_CHUNK_BYTES = 1 << 18
_SLOWEST_BYTES_PER_S = 256
_MARGIN_BYTES = 1 << 26
_PASSING_STATUS = (408, 425, 429, 500, 502, 503, 504)
_JOB_VARIABLES = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "RANK", "WORLD_SIZE")
_PYTORCH = ("PyTorch", (b"PK\x03\x04", b"\x80"))
_MATLAB = ("MATLAB", (b"MATLAB 5.0",))
"""Kinds of files, and how they begin."""
_PAGE = re.compile(rb"\s*<(!doctype|html|\?xml|head)", re.IGNORECASE)


class FetchError(ValueError):
    """A file that was not fetched; nothing was put in place. The message says why and what to do."""


class _PassingError(Exception):
    """Something that may be over when it is tried again."""


class _AddressError(Exception):
    """This address does not have the file; another one may."""


@dataclass(frozen=True, kw_only=True)
class _Source:
    """What is fetched, and from where."""

    entry: WeightsFile
    address: str


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long a download is waited for. Raises ValueError for values that are not positive."""

    timeout_s: float = 30.0
    """Longest wait for a connection, and for a stalled transfer."""
    attempts: int = 5
    """Tries in a row that bring nothing, before giving up."""
    first_pause_s: float = 1.0
    """Before the second try; doubled each time, at most 30 s."""

    def __post_init__(self) -> None:
        if self.timeout_s <= 0 or self.attempts < 1 or self.first_pause_s < 0:
            raise ValueError(
                f"timeout_s={self.timeout_s}, attempts={self.attempts}, first_pause_s={self.first_pause_s}; "
                "time-out and attempts must be positive"
            )


def refuse_inside_a_job(environment: Mapping[str, str] = os.environ) -> None:
    """Raise FetchError inside a batch job or a rank of one: compute jobs use what is there."""
    found = [name for name in _JOB_VARIABLES if environment.get(name)]
    if found:
        raise FetchError(
            f"this is a compute job ({', '.join(found)} is set), and jobs never download: a node may have no internet, "
            "ranks would fetch the same file many times, and a score must not depend on what a server sends today. "
            "Run fetch-weights on a login node or on your own machine before submitting"
        )


def addresses_of(entry: WeightsFile, mirror: str | None = None) -> tuple[str, ...]:
    """Where the file is tried, in order: the user's mirror, the published address, known mirrors.

    A mirror is a folder laid out like a weights folder (``list weights`` shows the names), or the file's own address.
    Raises FetchError for a mirror that is no http(s) address, and for files that only a person can get.
    """
    if mirror is not None and urllib.parse.urlsplit(mirror).scheme not in ("http", "https"):
        raise FetchError(f"--mirror is {mirror!r}; it must begin with http:// or https://")
    if mirror is not None:
        whole = PurePosixPath(urllib.parse.urlsplit(mirror).path).suffix in (".pth", ".pt", ".safetensors")
        return (mirror if whole else f"{mirror.rstrip('/')}/{urllib.parse.quote(entry.filename)}",)
    published = (entry.address,) if entry.direct else ()
    if not published and not entry.mirrors:
        raise FetchError(f"{entry.name}: its address {entry.address} is a page for a browser, not the file")
    return (*published, *entry.mirrors)


def fetch(
    entry: WeightsFile,
    folder: Path,
    addresses: Sequence[str],
    *,
    patience: Patience = Patience(),
    report: Report = lambda done, of: None,
    tell: Callable[[str], None] = lambda text: None,
    pause: Callable[[float], None] = time.sleep,
) -> Path:
    """Download the file into ``folder`` and return its path. ``tell`` hears why something is tried again.

    What was received is kept in ``NAME.part`` and continued by the next call. The file gets its name only when it is
    complete, has the right size and sha256 (as far as they are known) and is a PyTorch file. Raises FetchError.
    """
    target = folder / entry.filename
    part = target.with_name(target.name + ".part")
    refused = []
    with _alone(part):
        for address in addresses:
            try:
                _download(_Source(entry=entry, address=address), part, patience, report, tell, pause)
                digest = _checked_content(entry, target, part)
            except _AddressError as error:
                refused.append(f"{address}: {error}")
                if len(refused) < len(addresses):
                    tell(f"{refused[-1]}; trying the next address")
                continue
            part.chmod(0o644)
            part.replace(target)
            _note_path(part).unlink(missing_ok=True)
            check_record(entry, target, digest)
            return target
    raise FetchError("not fetched\n  " + "\n  ".join(refused) + _by_hand(entry, target))


@contextlib.contextmanager
def _alone(part: Path) -> Iterator[None]:
    """Only one process fetches a file."""
    lock = part.with_name(part.name + ".lock")
    with _writing(part.parent, "; name a folder that you may write into with --to"):
        part.parent.mkdir(parents=True, exist_ok=True)
        opened = lock.open("w")
    with opened as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FetchError(f"{part}: another process is fetching this file; wait for it") from None
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):  # file systems without locks
                raise
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


def _download(
    source: _Source,
    part: Path,
    patience: Patience,
    report: Report,
    tell: Callable[[str], None],
    pause: Callable[[float], None],
) -> None:
    """Fill ``part``, however often the connection breaks, as long as it goes on."""
    fruitless = 0
    while True:
        before = _size(part)
        try:
            return _receive(source, part, patience.timeout_s, report)
        except (_PassingError, http.client.HTTPException, OSError) as error:
            reason = _reason(error)
            went_on = _size(part) - before > _SLOWEST_BYTES_PER_S * patience.timeout_s
            fruitless = 0 if went_on else fruitless + 1
            if fruitless >= patience.attempts:
                kept = f"; {_size(part):,} bytes are kept, and the next call continues" if _size(part) else ""
                raise _AddressError(f"{reason}, {patience.attempts} times in a row{kept}") from None
            wait_s = min(30.0, patience.first_pause_s * 2 ** max(0, fruitless - 1))
            tell(f"{source.address}: {reason}; trying again in {wait_s:.0f} s")
            pause(wait_s)


def _receive(source: _Source, part: Path, timeout_s: float, report: Report) -> None:
    """One connection: continue ``part``, or begin anew where the server does not continue or has another file."""
    have, condition = _resumable(source, part)
    response = _opened(source.address, have, condition, part, timeout_s)
    if response is None:
        return
    with response:
        continued = response.status == 206 and _range_start(response.headers.get("Content-Range")) == have
        if response.status == 206 and not continued:
            part.unlink()
            raise _PassingError("the server sent another range than it was asked for")
        begin = have if continued else 0
        length = response.headers.get("Content-Length")
        total = begin + int(length) if length and length.isdigit() else None
        _check_announcement(source.entry, response, total)
        if total is not None:
            _check_space(part, total - begin)
        with _writing(part):
            write_json(_note_path(part), {"address": source.address, "condition": _validator(response)})
            file = part.open("r+b" if continued else "wb")
        with file:
            file.seek(begin)
            _copy(response, file, begin, total, timeout_s, report)


def _opened(address: str, have: int, condition: str, part: Path, timeout_s: float) -> http.client.HTTPResponse | None:
    """The server's answer; None where it says that the part is the whole file already."""
    headers = {"User-Agent": "spade-bench", "Accept-Encoding": "identity"}
    if have:
        headers |= {"Range": f"bytes={have}-", **({"If-Range": condition} if condition else {})}
    try:
        response: http.client.HTTPResponse = urllib.request.urlopen(
            urllib.request.Request(address, headers=headers), timeout=timeout_s
        )
        return response
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416 and have:
                if (error.headers.get("Content-Range") or "").endswith(f"/{have}"):
                    return None
                part.unlink()
                raise _PassingError("the kept part is longer than the file") from None
            answer = f"the server answers {error.code} {error.reason}"
            raise (_PassingError if error.code in _PASSING_STATUS else _AddressError)(answer) from None
    except urllib.error.URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            raise _AddressError(f"the server's certificate is not trusted ({error.reason.verify_message})") from None
        raise


def _copy(
    response: http.client.HTTPResponse, file: BinaryIO, begin: int, total: int | None, timeout_s: float, report: Report
) -> None:
    done, since, at_since = begin, time.monotonic(), begin
    report(done, total)
    while chunk := response.read1(_CHUNK_BYTES):
        if done == 0 and _PAGE.match(chunk):
            raise _AddressError(_page_words(response.geturl(), chunk))
        with _writing(Path(file.name)):
            file.write(chunk)
        done += len(chunk)
        report(done, total)
        if total is not None and done > total:
            raise _AddressError(f"the server sent more than the {total:,} bytes that it announced")
        elapsed = time.monotonic() - since
        if elapsed > timeout_s:
            if (done - at_since) / elapsed < _SLOWEST_BYTES_PER_S:
                raise _PassingError(f"the transfer stalls: {done - at_since} bytes in {elapsed:.0f} s")
            since, at_since = time.monotonic(), done
    if total is not None and done < total:
        raise _PassingError(f"the connection ended after {done:,} of {total:,} bytes")


def _check_announcement(entry: WeightsFile, response: http.client.HTTPResponse, total: int | None) -> None:
    """Refuse what is not the file by its headers alone."""
    kind = (response.headers.get("Content-Type") or "").partition(";")[0].strip().lower()
    if kind in ("text/html", "application/xhtml+xml"):
        raise _AddressError(_page_words(response.geturl(), response.read1(1 << 16)))
    if total is None:
        return
    if entry.size_bytes is not None and total != entry.size_bytes:
        raise _AddressError(f"it has {total:,} bytes there; the file has {entry.size_bytes:,}")
    if entry.about_mib is not None and not 0.5 < total / 2**20 / entry.about_mib < 2:
        raise _AddressError(f"it has {total / 2**20:.1f} MiB there; the file has about {entry.about_mib:.0f} MiB")


def _checked_content(entry: WeightsFile, target: Path, part: Path) -> str:
    """The sha256 of a complete file that is the right one; another one is deleted, so that nobody continues it."""
    with part.open("rb") as file:
        head = file.read(64)
    digest = file_sha256(part)
    problem = digest_problem(entry, target.name, digest)
    kind, beginnings = _MATLAB if target.suffix == ".mat" else _PYTORCH
    if not head.startswith(beginnings):
        problem = f"what came is no {kind} file (it begins with {head[:16]!r})"
    elif entry.size_bytes is not None and _size(part) != entry.size_bytes:
        problem = f"what came has {_size(part):,} bytes; the file has {entry.size_bytes:,}"
    elif not problem:
        try:
            check_record(entry, target, digest, write=False)
        except ValueError as error:
            problem = str(error)
    if problem:
        part.unlink()
        _note_path(part).unlink(missing_ok=True)
        raise _AddressError(f"{problem}; what came was deleted")
    return digest


def _resumable(source: _Source, part: Path) -> tuple[int, str]:
    """Bytes that can be continued, and the mark by which the server knows whether it still has the same file.

    A part is begun anew where it came from another address, or where neither such a mark nor a sha256 would tell that
    its end belongs to another file than its beginning.
    """
    note = _note_path(part)
    if not part.is_file() or not note.is_file():
        return 0, ""
    told = read_json(note)
    if not isinstance(told, dict) or told.get("address") != source.address:
        return 0, ""
    condition = str(told.get("condition") or "")
    if not condition and not (source.entry.sha256 or source.entry.sha256_prefix):
        return 0, ""
    return _size(part), condition


@contextlib.contextmanager
def _writing(path: Path, advice: str = "; what is there is kept") -> Iterator[None]:
    """What goes wrong on our side is no reason to ask the server again."""
    try:
        yield
    except OSError as error:
        raise FetchError(f"{path}: cannot be written ({error.strerror or error}){advice}") from None


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _note_path(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _validator(response: http.client.HTTPResponse) -> str:
    tag = response.headers.get("ETag") or ""
    return tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified") or ""


def _range_start(header: str | None) -> int:
    found = re.match(r"bytes (\d+)-", header or "")
    return int(found.group(1)) if found else -1


def _check_space(part: Path, needed: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if needed + _MARGIN_BYTES > free:
        raise FetchError(
            f"{part.parent}: {free / 2**20:.0f} MiB free, {needed / 2**20:.0f} MiB more are needed; make room or give "
            "another folder with --to"
        )


def _page_words(address: str, beginning: bytes) -> str:
    host = urllib.parse.urlsplit(address).hostname or ""
    if host.endswith(("google.com", "googleusercontent.com")) or b"Google Drive" in beginning:
        return "Google Drive answers with a page that asks for a confirmation instead of the file"
    return "a web page came instead of the file (a login, a notice, or the file has moved)"


def _reason(error: Exception) -> str:
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, TimeoutError):
        return "no answer in time"
    return str(cause) or type(cause).__name__


def _by_hand(entry: WeightsFile, target: Path) -> str:
    return (
        f"\n  get it by hand from {entry.address} and put it as\n    {target}\n"
        "  or name another server that has it: --mirror URL"
    )
