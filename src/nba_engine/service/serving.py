"""What stands around the application: the token, the address, the server and its end. The only file that needs the extra `serve`."""

from __future__ import annotations

import ipaddress
import os
import signal
import socket
from pathlib import Path
from types import FrameType

import uvicorn

from nba_engine.errors import RequestError
from nba_engine.service.application import Application
from nba_engine.service.asgi import Asgi

TOKEN_VARIABLE = "NBA_TOKEN"
STOPPING_S_MAX = 10
"""How long requests under way may take to end once the service is told to stop."""


def token(file: Path | None) -> str | None:
    """The token from a file, else from the environment; None where neither has one."""
    if file is None:
        found, place = os.environ.get(TOKEN_VARIABLE, ""), TOKEN_VARIABLE
        if not found:
            return None
    else:
        try:
            found, place = file.read_text("utf-8").strip(), str(file)
        except (OSError, UnicodeDecodeError) as error:
            raise RequestError(f"the token file cannot be read ({error}); give a file that holds the token alone", "token_file") from error
    if not found or not found.isascii() or not found.isprintable() or " " in found:
        raise RequestError(f"{place} holds no usable token; a token is one word of printable ASCII characters", "token_file")
    return found


def listener(host: str, port: int, token: str | None) -> socket.socket:
    """A socket that listens; without a token only on an address that other machines cannot reach."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        if token is None and not ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback:
            raise RequestError(f"{host} can be reached from other machines, and no token is set; put one into a file and give --token-file, "
                               f"or into {TOKEN_VARIABLE}, or serve on 127.0.0.1", "host")
        return socket.create_server(address[:2], family=family)
    except (OSError, OverflowError) as error:
        raise RequestError(f"{host} port {port} cannot be listened on ({error}); choose another --host or --port", "port") from error


def url(listener: socket.socket) -> str:
    """Where the socket listens."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def server(application: Application) -> uvicorn.Server:
    """A server that logs to whatever logging is set up, warnings and worse, no line per request."""
    return uvicorn.Server(uvicorn.Config(
        Asgi(application), http="httptools", ws="none", lifespan="on", log_config=None, log_level="warning", access_log=False,
        server_header=False, proxy_headers=False, timeout_graceful_shutdown=STOPPING_S_MAX,
    ))  # fmt: skip


def end_on_signals() -> None:
    """SIGTERM and SIGINT end the program as its last line would, so that the engine is closed.

    While the server runs it catches them itself, answers what is under way, and raises them again when it is done.
    """

    def end(signal_number: int, frame: FrameType | None) -> None:
        raise SystemExit(0)

    for signal_number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_number, end)
