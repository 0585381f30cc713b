"""Evaluation protocols by name: the built-in ones and those of users' protocol files. Free of torch and numpy."""

from __future__ import annotations

from bench.evaluation.builtin_protocols import BUILTIN, SYNTHETIC
from bench.evaluation.paper_protocols import PAPER_COCO
from bench.evaluation.protocol import ANY, ExplainedField, MmsegJudge, Protocol
from bench.evaluation.protocol_files import (
    ProtocolFileError,
    protocol_files,
    protocols_folder,
    read_protocol_file,
    read_protocol_files,
)

__all__ = [
    "ANY",
    "BUILTIN",
    "PAPER_COCO",
    "SYNTHETIC",
    "ExplainedField",
    "MmsegJudge",
    "Protocol",
    "get_protocol",
    "list_protocols",
    "protocol_for",
    "protocol_names",
]


def list_protocols() -> list[Protocol]:
    """The built-in protocols in a fixed order, then those of the protocol files by name.

    Raises ProtocolFileError with all problems of all files.
    """
    described, problems = read_protocol_files()
    if problems:
        raise ProtocolFileError("\n".join(problems))
    return [*BUILTIN, *described]


def protocol_names() -> list[str]:
    """``name@version`` of every protocol; opens no file. ProtocolFileError where a file's name is not usable."""
    return [*(item.key for item in BUILTIN), *(f"{name}@1" for name in protocol_files())]


def protocol_for(dataset: str, name: str | None = None) -> Protocol:
    """The protocol called ``name`` (or ``name@version``), or the data set's default: the first that judges it.

    For the paper's data sets that is ``paper2019-*``; for a user's data set the first of the user's protocols for it;
    otherwise ``distances``. Raises ValueError where the named protocol judges another data set.
    """
    if name is not None:
        protocol = get_protocol(name)
        if not protocol.judges(dataset):
            fitting = ", ".join(item.key for item in list_protocols() if item.judges(dataset))
            raise ValueError(
                f"protocol {protocol.key} judges {protocol.dataset}, not {dataset}; for {dataset} there are: {fitting}"
            )
        return protocol
    own = next((item for item in BUILTIN if item.dataset == dataset), None)
    if own is None:
        own = next((item for item in list_protocols() if item.dataset == dataset), None)
    return own or next(item for item in BUILTIN if item.dataset == ANY)


def get_protocol(name: str) -> Protocol:
    """The protocol called ``name`` or ``name@version``.

    Only this protocol's file is read: a mistake inside another one stops nobody but its users. Raises ValueError that
    lists the known names.
    """
    bare, _, version = name.partition("@")
    protocol = next((item for item in BUILTIN if item.name == bare), None)
    if protocol is None and bare in (files := protocol_files()):
        protocol = read_protocol_file(files[bare])
    if protocol is None or (version and version != str(protocol.version)):
        raise ValueError(
            f"no protocol is called {name!r}; known are: {', '.join(protocol_names())}; describe one of your own in "
            f"{protocols_folder() / 'NAME.toml'} (docs/evaluation.md)"
        )
    return protocol
