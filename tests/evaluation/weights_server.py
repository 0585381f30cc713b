"""A small HTTP server that sends a file, and can misbehave in the ways that real ones do."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PAGE = b"<!DOCTYPE html><html><title>Google Drive - Virus scan warning</title></html>"


@dataclass
class Server:
    """What is served at every path, how, and what was asked for."""

    content: bytes
    address: str = ""
    tag: str = '"one"'
    kind: str = "application/octet-stream"
    ranges: bool = True
    """Whether Range is honoured."""
    announce: bool = True
    """Whether Content-Length is sent."""
    cut: list[int] = field(default_factory=list)
    """After so many bytes the connection is closed; one entry an answer."""
    stall: list[int] = field(default_factory=list)
    """After so many bytes nothing more comes; one entry an answer."""
    trickle: bool = False
    """One byte at a time, twenty in a second."""
    statuses: list[int] = field(default_factory=list)
    """Answers other than 200 and 206, one a request, before the file is sent."""
    asked: list[str | None] = field(default_factory=list)
    """The Range header of each request."""
    over: threading.Event = field(default_factory=threading.Event)

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        wanted = handler.headers.get("Range")
        self.asked.append(wanted)
        if self.statuses:
            handler.send_error(self.statuses.pop(0))
            return
        same = handler.headers.get("If-Range") in (None, self.tag)
        found = re.fullmatch(r"bytes=(\d+)-", wanted or "") if self.ranges and same else None
        begin = int(found.group(1)) if found else 0
        if found and begin >= len(self.content):
            handler.send_response(416)
            handler.send_header("Content-Range", f"bytes */{len(self.content)}")
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        body = self.content[begin:]
        handler.send_response(206 if found else 200)
        handler.send_header("Content-Type", self.kind)
        if self.tag:
            handler.send_header("ETag", self.tag)
        if found:
            handler.send_header("Content-Range", f"bytes {begin}-{len(self.content) - 1}/{len(self.content)}")
        if self.announce:
            handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        self._send(handler, body)

    def _send(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        if self.trickle:
            for place in range(len(body)):
                if self.over.wait(0.05):
                    return
                handler.wfile.write(body[place : place + 1])
                handler.wfile.flush()
        elif self.stall:
            handler.wfile.write(body[: self.stall.pop(0)])
            handler.wfile.flush()
            self.over.wait(20)
        else:
            handler.wfile.write(body[: self.cut.pop(0)] if self.cut else body)


@contextmanager
def serving(content: bytes) -> Iterator[Server]:
    """A server on a free port of this machine; ``address`` is that of the file."""
    server = Server(content)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with suppress(ConnectionError):
                server.answer(self)
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Tests print nothing."""

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listener.daemon_threads = True
    server.address = f"http://127.0.0.1:{listener.server_port}/files/judge.pth"
    threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield server
    finally:
        server.over.set()
        listener.shutdown()
        listener.server_close()
