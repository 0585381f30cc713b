"""Evaluation protocols by name: the built-in ones and those of users' protocol files. Free of torch and numpy."""

from __future__ import annotations

from bench.evaluation.builtin_protocols import BUILTIN, SYNTHETIC
from bench.evaluation.paper_protocols import PAPER_COCO
from bench.evaluation.protocol import ANY, ExplainedField, MmsegJudge, Protocol

__all__ = [
    "ANY",
    "PAPER_COCO",
    "SYNTHETIC",
    "ExplainedField",
    "MmsegJudge",
    "Protocol",
    "get_protocol",
    "list_protocols",
    "protocol_for",
]


def list_protocols() -> list[Protocol]:
    """The protocols there are, in a fixed order."""
    return list(BUILTIN)


def protocol_for(dataset: str, name: str | None = None) -> Protocol:
    """The protocol called ``name`` (or ``name@version``), or the data set's default: the first that judges it.

    For the paper's data sets that is ``paper2019-*``; for data sets that only ``any`` protocols fit, ``distances``.
    Raises ValueError where the named protocol judges another data set.
    """
    if name is not None:
        protocol = get_protocol(name)
        if not protocol.judges(dataset):
            fitting = ", ".join(item.key for item in list_protocols() if item.judges(dataset))
            raise ValueError(
                f"protocol {protocol.key} judges {protocol.dataset}, not {dataset}; for {dataset} there are: {fitting}"
            )
        return protocol
    return next(item for item in list_protocols() if item.judges(dataset))


def get_protocol(name: str) -> Protocol:
    """The protocol called ``name`` or ``name@version``. Raises ValueError that lists the known ones."""
    bare, _, version = name.partition("@")
    protocol = next((item for item in list_protocols() if item.name == bare), None)
    if protocol is None or (version and version != str(protocol.version)):
        known = ", ".join(item.key for item in list_protocols())
        raise ValueError(f"no protocol is called {name!r}; known are: {known}")
    return protocol
