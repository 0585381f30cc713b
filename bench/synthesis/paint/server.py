"""The page's server: on 127.0.0.1 alone, for this machine's own browser, with bounded requests one after the other."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bench.synthesis.inputs import InputError
from bench.synthesis.paint.studio import LARGEST_UPLOAD_BYTES, Studio

HOST = "127.0.0.1"
OWN_HEADER = "x-paint"
"""Every POST carries it: a page of another origin cannot send it without asking first, and is refused."""
_PAGE = Path(__file__).parent / "page"
_FILES = {
    "/": ("index.html", "text/html"),
    "/paint.css": ("paint.css", "text/css"),
    "/paint.js": ("paint.js", "text/javascript"),
    "/drawing.js": ("drawing.js", "text/javascript"),
    "/server.js": ("server.js", "text/javascript"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
_HEADERS = {
    b"content-security-policy": (
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
        b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-resource-policy": b"same-origin",
    b"cache-control": b"no-store",
}
T = TypeVar("T")


class OwnPageOnly:
    """Refuses what did not come from the page itself, and forbids the page anything but its own server.

    A name that somebody else points at 127.0.0.1 (DNS rebinding) has another Host header; a page of another origin has
    another Origin.
    """

    def __init__(self, app: ASGIApp, *, port: int) -> None:
        self.app = app
        self.hosts = {f"{HOST}:{port}".encode(), f"localhost:{port}".encode()}
        self.origins = {b"http://" + host for host in self.hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 403 with the reason."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = dict(scope["headers"])
        problem = ""
        if given.get(b"host") not in self.hosts:
            problem = "the Host header is not this server's"
        elif b"origin" in given and given[b"origin"] not in self.origins:
            problem = "the request comes from another origin"
        elif scope["method"] == "POST" and OWN_HEADER.encode() not in given:
            problem = f"the header {OWN_HEADER} is missing"

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_HEADERS.items()]
            await send(message)

        if problem:
            await JSONResponse({"error": f"refused: {problem}"}, status_code=403)(scope, receive, guarded)
            return
        await self.app(scope, receive, guarded)


def paint_app(studio: Studio, port: int) -> Starlette:
    """The application that listens on ``port`` of 127.0.0.1."""
    turn = asyncio.Lock()

    async def in_turn(work: Callable[[], T]) -> T:
        async with turn:
            return await run_in_threadpool(work)

    async def page(request: Request) -> Response:
        name, kind = _FILES[request.url.path]
        return FileResponse(_PAGE / name, media_type=kind)

    async def model(request: Request) -> Response:
        return JSONResponse(studio.described())

    async def start(request: Request) -> Response:
        index = request.path_params["index"]
        return _ids(await in_turn(lambda: studio.start(index)))

    async def load(request: Request) -> Response:
        content, name = await bounded_body(request), _name(request)
        return _ids(await in_turn(lambda: studio.loaded(content, name)))

    async def save(request: Request) -> Response:
        body = await bounded_body(request)
        return Response(await in_turn(lambda: studio.saved(body)), media_type="image/png")

    async def style(request: Request) -> Response:
        content, name = await bounded_body(request), _name(request)
        return JSONResponse(await in_turn(lambda: studio.add_style(content, name)))

    async def render(request: Request) -> Response:
        body, seed = await bounded_body(request), _number(request, "seed")
        chosen = request.query_params.get("style") or None
        return JSONResponse(await in_turn(lambda: studio.rendered(body, seed=seed, style=chosen)))

    return Starlette(
        routes=[
            *(Route(path, page) for path in _FILES),
            Route("/api/model", model),
            Route("/api/maps/{index:int}", start),
            Route("/api/load", load, methods=["POST"]),
            Route("/api/save", save, methods=["POST"]),
            Route("/api/style", style, methods=["POST"]),
            Route("/api/render", render, methods=["POST"]),
        ],
        middleware=[Middleware(OwnPageOnly, port=port)],
        exception_handlers={InputError: _refused, HTTPException: _http_error},
    )


async def bounded_body(request: Request) -> bytes:
    """The body, of at most LARGEST_UPLOAD_BYTES; reading stops where there is more. Raises HTTPException 413."""
    too_large = HTTPException(
        413, f"{_name(request)}: larger than {LARGEST_UPLOAD_BYTES // 2**20} MiB; make it smaller"
    )
    told = request.headers.get("content-length", "0")
    if told.isdigit() and int(told) > LARGEST_UPLOAD_BYTES:
        raise too_large
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > LARGEST_UPLOAD_BYTES:
            raise too_large
    return bytes(body)


def listening(port: int) -> socket.socket:
    """A socket of 127.0.0.1 on ``port``, or on a free one for 0. Raises ValueError where the port is taken."""
    if not 0 <= port <= 65535:
        raise ValueError(f"--port is {port}; it must be from 0 (any free one) to 65535")
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((HOST, port))
        found.listen(64)  # a browser that is opened before the server answers waits
    except OSError as error:
        found.close()
        raise ValueError(f"--port {port} cannot be used ({error.strerror}); choose another, or 0 for any") from error
    return found


def serve(studio: Studio, opened: socket.socket) -> Any:
    """The uvicorn server of the page on an ``opened`` socket; its ``run(sockets=[opened])`` serves until Ctrl-C."""
    import uvicorn

    app = paint_app(studio, opened.getsockname()[1])
    return uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, ws="none", lifespan="off"))


def _ids(body: bytes) -> Response:
    return Response(body, media_type="application/octet-stream")


def _name(request: Request) -> str:
    """What the page calls the file that it sends."""
    return unquote(request.headers.get("x-name", ""))[:200] or "the file"


def _number(request: Request, name: str) -> int:
    text = request.query_params.get(name, "0")
    if not text.isdecimal() or len(text) > 12:
        raise InputError(f"{name} is {text[:20]!r}; it must be a whole number")
    return int(text)


async def _refused(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, status_code=422)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, status_code=error.status_code)
