"""HTTP/1.1 over real sockets: what clients and proxies do that no client library here would, and what is refused before a body is read."""

from __future__ import annotations

import json
import socket
from contextlib import contextmanager

import pytest

from nba_engine.service.routes import BODY_BYTES_MAX
from tests.service_client import raw
from tests.shop import ADULT

LIVE = b"GET /live HTTP/1.1\r\nHost: x\r\n\r\n"


@contextmanager
def connected(client):
    with socket.create_connection(("127.0.0.1", client.port), timeout=30) as connection:
        yield connection, connection.makefile("rb")


def post(path, body, *more):
    sent = json.dumps(body).encode()
    lines = [f"POST {path} HTTP/1.1", "Host: x", "Content-Type: application/json", f"Content-Length: {len(sent)}", *more]
    return "\r\n".join([*lines, "", ""]).encode() + sent


def answer(stream, head_only=False):
    """Status, headers and body of the next answer."""
    status = int(stream.readline().split()[1])
    headers = dict(line.decode().strip().lower().split(": ", 1) for line in iter(stream.readline, b"\r\n"))
    return status, headers, b"" if head_only else stream.read(int(headers["content-length"]))


def test_requests_that_come_together_are_answered_in_their_order(client):
    """One of them waits in a thread; what came behind it does not overtake it."""
    made = client.decide(channel="call", facts=ADULT)
    told = post("/v1/record", {"decision_id": made["id"], "label": "accepted"})
    first, last, nowhere = post("/v1/decide", {"subject": "a"}), post("/v1/decide", {"subject": "b"}), LIVE.replace(b"/live", b"/nowhere")
    asked = b"".join([first, told, LIVE, nowhere, last])
    with connected(client) as (connection, stream):
        for _ in range(3):
            connection.sendall(asked)
            found = [answer(stream) for _ in range(5)]
            assert [status for status, _, _ in found] == [200, 200, 200, 404, 200]
            assert [json.loads(found[k][2])["subject"] for k in (0, 4)] == ["a", "b"] and json.loads(found[1][2])["label"] == "accepted"


def test_a_request_in_single_bytes_is_the_same_request(client):
    with connected(client) as (connection, stream):
        for byte in post("/v1/decide", {"subject": "anna", "facts": {"age": 41}}):
            connection.sendall(bytes([byte]))
        assert answer(stream)[0] == 200


def test_the_connection_is_kept_or_closed_as_the_client_asks(client):
    with connected(client) as (connection, stream):
        connection.sendall(LIVE)
        status, headers, body = answer(stream)
        assert (status, json.loads(body), "connection" in headers) == (200, {"live": True}, False) and headers["date"].endswith(" gmt")
        connection.sendall(b"HEAD /live?probe=1 HTTP/1.1\r\nHost: x\r\n\r\n" + LIVE)
        assert answer(stream, head_only=True)[1]["content-length"] == str(len(body)) and answer(stream)[2] == body
        connection.sendall(LIVE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        assert answer(stream)[1]["connection"] == "close" and stream.read() == b""
    assert raw(client.port, b"GET /live HTTP/1.0\r\n\r\n").endswith(b'{"live":true}')


def test_a_body_is_asked_for_only_where_it_will_be_read(client):
    """Clients that announce a body and wait, as curl does with long ones, need not send what would be refused."""
    head, _, body = post("/v1/decide", {"subject": "anna"}, "Expect: 100-continue").partition(b"\r\n\r\n")
    with connected(client) as (connection, stream):
        connection.sendall(head + b"\r\n\r\n")
        assert (stream.readline(), stream.readline()) == (b"HTTP/1.1 100 Continue\r\n", b"\r\n")
        connection.sendall(body)
        assert answer(stream)[0] == 200
    for refused, status in ((head.replace(b"decide", b"nothing"), 404), (head.replace(b"Length: 19", b"Length: %d" % (BODY_BYTES_MAX + 1)), 413)):
        with connected(client) as (connection, stream):
            connection.sendall(refused + b"\r\n\r\n")
            assert answer(stream)[0] == status


def test_a_refused_request_leaves_the_connection_usable(client):
    with connected(client) as (connection, stream):
        for path, size, status in (("/nowhere", 100_000, 404), ("/v1/decide", BODY_BYTES_MAX, 413), ("/v1/decide", 100, 200)):
            connection.sendall(post(path, {"subject": "x" * size}))
            assert answer(stream)[0] == status


@pytest.mark.parametrize("sent", [
    b"nonsense\r\n\r\n",
    b"POST /v1/decide HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"POST /v1/decide HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    b"POST /v1/decide HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
])  # fmt: skip
def test_what_is_no_request_is_refused_behind_what_was_one(client, sent):
    with connected(client) as (connection, stream):
        connection.sendall(LIVE)
        assert answer(stream)[0] == 200
        connection.sendall(sent)
        found = answer(stream)
        assert (found[0], found[1]["connection"]) == (400, "close") and stream.read() == b""
