"""The page's server in a thread of the test."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bench.synthesis.paint.server import HOST, listening, serve
from bench.synthesis.paint.studio import Studio


@contextmanager
def served(studio: Studio) -> Iterator[int]:
    """The port of a running server."""
    opened = listening(0)
    server = serve(studio, opened)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [opened]}, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server ended before it began"
        time.sleep(0.01)
    try:
        yield opened.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(30)
        opened.close()


class Client:
    """Plain HTTP to a server of this machine."""

    def __init__(self, port: int) -> None:
        self.port = port

    def ask(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, bytes, dict[str, str]]:
        """(status, body, headers in small letters); POSTs carry the page's own header unless ``x_paint`` is empty."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if method == "POST":
            given = {"x-paint": "1", **given}
        connection = http.client.HTTPConnection(HOST, self.port, timeout=60)
        try:
            connection.request(method, path, body, {name: value for name, value in given.items() if value})
            answer = connection.getresponse()
            return answer.status, answer.read(), {name.lower(): value for name, value in answer.getheaders()}
        finally:
            connection.close()

    def json(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, Any]:
        """(status, the answer)."""
        status, content, _ = self.ask(method, path, body, **headers)
        return status, json.loads(content)
