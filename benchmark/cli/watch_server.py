"""A small read-only server for one page, for this machine and those who know its address."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from palimpsest.benchmark.errors import UserError

_ADDRESS = "127.0.0.1"

_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
}

_NO_TOKEN = "This page is only for who has its whole address, as palimpsest watch printed it.\n"


class WatchServer(ThreadingHTTPServer):
    """Serves the page at ``/TOKEN/`` and the news, as JSON, at ``/TOKEN/news``.

    Raises:
        UserError: The port cannot be used.
    """

    daemon_threads = True

    def __init__(
        self, port: int, token: str, page: Callable[[], str], news: Callable[[], dict[str, Any]]
    ) -> None:
        self.token = token
        self.page = page
        self.news = news
        try:
            super().__init__((_ADDRESS, port), _Handler)
        except OSError as error:
            raise UserError(
                f"port {port}: it cannot be used ({error.strerror}); name another one, or leave "
                "--port out for a free one"
            ) from error

    @property
    def url(self) -> str:
        """The whole address."""
        return f"http://{_ADDRESS}:{self.server_port}/{self.token}/"

    def is_own(self, host: str | None) -> bool:
        """Whether a request names this server, not a host name that others point at it."""
        return host in {f"{name}:{self.server_port}" for name in (_ADDRESS, "localhost")}


class _Handler(BaseHTTPRequestHandler):
    server: WatchServer
    protocol_version = "HTTP/1.1"
    server_version = "palimpsest"
    sys_version = ""
    timeout = 30

    def do_GET(self) -> None:  # the names that the standard library calls
        token, _, place = self.path.removeprefix("/").partition("/")
        if not self.server.is_own(self.headers["Host"]):
            self._answer(HTTPStatus.FORBIDDEN, "This server is called 127.0.0.1 or localhost.\n")
        elif not hmac.compare_digest(token.encode(), self.server.token.encode()):
            self._answer(HTTPStatus.FORBIDDEN, _NO_TOKEN)
        elif place.partition("?")[0] == "":
            self._answer(HTTPStatus.OK, self.server.page(), "text/html")
        elif place == "news":
            news = json.dumps(self.server.news(), allow_nan=False)
            self._answer(HTTPStatus.OK, news, "application/json")
        else:
            self._answer(HTTPStatus.NOT_FOUND, "There is nothing here.\n")

    do_HEAD = do_GET  # noqa: N815

    def _refuse(self) -> None:
        self._answer(HTTPStatus.METHOD_NOT_ALLOWED, "This page can only be read.\n")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):  # whatever other method is asked for
            return self._refuse
        raise AttributeError(name)

    def _answer(self, status: HTTPStatus, text: str, kind: str = "text/plain") -> None:
        body = text.encode()
        self.send_response(status)
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", "GET, HEAD")
            self.send_header("Connection", "close")  # what it sends is not read
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def end_headers(self) -> None:
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def handle(self) -> None:
        try:
            super().handle()
        except ConnectionError:  # the reader has closed the page
            self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Say nothing."""
