"""What the service refuses, and how: a problem that says what came, what is needed, what to do; never a stack trace, and it goes on serving."""

from __future__ import annotations

import json
import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nba_engine as nba
from nba_engine.service.application import Application
from nba_engine.service.routes import BODY_BYTES_MAX
from tests.service_client import JSON, raw, running
from tests.shop import ADULT, engine

LIMIT = str(BODY_BYTES_MAX)


def refused(answer):
    """The problem of an answer that is one."""
    assert answer.status >= 400 and answer.headers["content-type"] == "application/problem+json", answer
    problem = answer.json
    assert problem["status"] == answer.status and {"title", "detail"} <= problem.keys() and "Traceback" not in problem["detail"]
    return problem


@pytest.mark.parametrize(("body", "field", "words"), [
    (b"", None, "the body is not JSON"),
    (b"{", None, "the body is not JSON"),
    (b'{"subject": "\xff"}', None, "the body is not JSON"),
    (b'{"subject": "anna"} {}', None, "trailing characters"),
    (b'{"subject": "anna", "facts": {"age": NaN}}', None, "the body is not JSON"),
    (b'{"subject": "anna", "facts": {"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}", None, "the body is not JSON"),
    (b'{"subject": "anna", "facts": {"products": ' + b"[" * 400 + b"]" * 400 + b"}}", "facts", ""),
    (b"[]", None, "Expected `object`, got `array`"),
    (b"{}", "subject", "missing required field"),
    (b'{"subject": 7}', "subject", "Expected `str`, got `int`"),
    (b'{"subject": "anna", "limit": "3"}', "limit", "Expected `int`, got `str`"),
    (b'{"subject": "anna", "limit": true}', "limit", "got `bool`"),
    (b'{"subject": "anna", "facts": [1]}', "facts", "Expected `object | null`, got `array`"),
    (b'{"subject": "anna", "facts": {"age": 1e999}}', "facts[...]", "out of range"),
    (b'{"subject": "anna", "at": "tomorrow"}', "at", "RFC3339"),
    (b'{"subject": "anna", "at": "2026-03-02T12:00:00"}', "at", "timezone"),
    (b'{"subject": "anna", "account": "x"}', "account", "unknown field"),
])  # fmt: skip
def test_a_body_that_is_no_request(client, body, field, words):
    answer = client.ask("POST", "/v1/decide", body, JSON)
    problem = refused(answer)
    assert answer.status in ((400, 422) if field == "facts" else (400,)) and words in problem["detail"], problem
    assert problem.get("field") == field or (answer.status, problem["field"]) == (422, "facts.products"), problem


@pytest.mark.parametrize(("path", "body", "status", "field", "words"), [
    ("decide", {"subject": "anna", "facts": {"age": "forty"}}, 422, "facts.age", "need an int"),
    ("decide", {"subject": "anna", "facts": {"since": "2026-03-02T12:00:00"}}, 422, "facts.since", "zone"),
    ("decide", {"subject": "anna", "facts": {"age": 10**30}}, 422, "facts.age", "int"),
    ("decide", {"subject": "anna", "channel": "fax"}, 422, "channel", "known are call, web, mail"),
    ("decide", {"subject": "anna", "limit": -1}, 422, "limit", "0 or more"),
    ("decide", {"subject": "anna", "limit": 10**30}, 422, "limit", "within 64 bits"),
    ("decide", {"subject": "anna", "at": 10**30}, 422, "at", "years 1 to 9999"),
    ("decide", {"subject": "anna", "at": "0001-01-01T00:00:00+14:00"}, 422, "at", "years 1 to 9999"),
    ("decide", {"subject": "anna", "facts": {"since": "9999-12-31T23:59:59-14:00"}}, 422, "facts.since", "years 1 to 9999"),
    ("record", {"decision_id": "MADE", "label": "declined", "action": "ACTION", "at": "9999-12-31T23:59:59-14:00"}, 422, "at", "years 1 to 9999"),
    ("record", {"decision_id": "nothing", "label": "accepted"}, 404, "decision_id", "no decision 'nothing' is known"),
    ("record", {"decision_id": "MADE", "label": "acepted", "action": "ACTION"}, 422, "label", "did you mean 'accepted'?"),
    ("record", {"decision_id": "MADE", "label": "accepted"}, 422, "action", "say which one is meant"),
    ("record", {"decision_id": "MADE", "label": "accepted", "action": "radio"}, 422, "action", "did not offer 'radio'"),
    ("record", {"decision_id": "MADE", "label": "accepted", "action": "ACTION", "treatment": "poster"}, 422, "treatment", "as 'poster'"),
    ("record", {"decision_id": "MADE", "label": "cancelled", "action": "ACTION"}, 422, "label", "takes back 'accepted'"),
    ("record", {"decision_id": "MADE", "label": "presented", "action": "ACTION", "reason": "never"}, 422, "reason", "a reason goes with an answer"),
    ("record", {"decision_id": "MADE", "label": "declined", "action": "ACTION", "reason": "no"}, 422, "reason", "is not a reason of the catalog"),
    ("record", {"decision_id": "MADE", "label": "declined", "value": "many"}, 400, "value", "Expected `float | null`, got `str`"),
    ("record", {"label": "declined"}, 400, "decision_id", "missing required field"),
])  # fmt: skip
def test_a_request_that_cannot_be_meant(client, path, body, status, field, words):
    made = client.decide(limit=2, channel="call", facts=ADULT)
    text = json.dumps(body).replace("MADE", made["id"]).replace("ACTION", made["offers"][0]["action"])
    answer = client.ask("POST", f"/v1/{path}", text.encode(), JSON)
    problem = refused(answer)
    assert (answer.status, problem.get("field")) == (status, field) and words in problem["detail"], problem


def test_a_request_id_of_another_subject(client):
    assert client.decide("anna", request_id="mine", channel="call")["subject"] == "anna"
    for ask in ({"subject": "ben", "channel": "call"}, {"subject": "anna", "channel": "web"}):
        answer = client.post("/v1/decide", {**ask, "request_id": "mine"})
        problem = refused(answer)
        assert (answer.status, problem["field"]) == (409, "request_id") and "give every request an id of its own" in problem["detail"]


@pytest.mark.parametrize(("method", "path", "headers", "status", "words"), [
    ("POST", "/v1/decide", {}, 415, "came no content type; send application/json"),
    ("POST", "/v1/decide", {"content-type": "text/plain"}, 415, "came text/plain; send application/json"),
    ("POST", "/v1/record", {"content-type": "application/x-www-form-urlencoded"}, 415, "send application/json"),
    ("GET", "/v1/decide", JSON, 405, "came with GET; use POST"),
    ("PUT", "/v1/record", JSON, 405, "came with PUT; use POST"),
    ("POST", "/live", JSON, 405, "came with POST; use GET"),
    ("GET", "/", {}, 404, "GET /openapi.json describes"),
    ("POST", "/v1/decide/", JSON, 404, "there is no path /v1/decide/"),
    ("GET", "/v1/explain/", {}, 404, "there is no path"),
    ("GET", "/v1/explain/a/b", {}, 404, "there is no path"),
    ("GET", "/v1/explain/../../etc/passwd", {}, 404, "there is no path"),
    ("GET", "/v1/explain/%E2%82%AC%00", {}, 404, "no decision"),
])  # fmt: skip
def test_a_request_to_the_wrong_place(client, method, path, headers, status, words):
    answer = client.ask(method, path, b'{"subject": "anna"}' if method != "GET" else None, headers)
    assert answer.status == status and words in refused(answer)["detail"]
    assert answer.headers.get("allow") == ({"POST": "GET", "GET": "POST", "PUT": "POST"}[method] if status == 405 else None)


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "Application/JSON", "application/vnd.shop+json"])
def test_other_spellings_of_json_are_taken(client, content_type):
    assert client.ask("POST", "/v1/decide", b'{"subject": "anna"}', {"content-type": content_type}).status == 200


def test_a_body_that_is_too_long(client):
    body = json.dumps({"subject": "anna", "facts": {"x": "x" * BODY_BYTES_MAX}}).encode()
    for sent in (body, iter([body[i : i + 50_000] for i in range(0, len(body), 50_000)])):
        answer = client.ask("POST", "/v1/decide", sent, JSON)
        assert answer.status == 413 and LIMIT in refused(answer)["detail"]
    fits = {"subject": "anna", "facts": {"x": "x" * (BODY_BYTES_MAX - 100)}}
    assert client.post("/v1/decide", fits).status == 200


def test_a_body_that_breaks_off_is_not_acted_upon(client, shop):
    """A whole JSON text, but fewer bytes than were announced: the client did not get to say all it had to say."""
    version, made = shop.beliefs_version, client.decide(channel="call", facts=ADULT)
    body = json.dumps({"decision_id": made["id"], "label": "accepted"}).encode()
    head = b"POST /v1/record HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: "
    assert b"200 OK" not in raw(client.port, head + str(len(body) + 1).encode() + b"\r\n\r\n" + body, hangs_up=True)
    assert shop.beliefs_version == version
    assert b"200 OK" in raw(client.port, head + str(len(body)).encode() + b"\r\nConnection: close\r\n\r\n" + body)
    assert shop.beliefs_version == version + 1


def test_no_http_at_all(client):
    assert raw(client.port, b"\x16\x03\x01 hello\r\n\r\n").startswith(b"HTTP/1.1 400")
    assert client.get("/live").status == 200


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
ATOMS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
VALUES = st.recursive(ATOMS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=5)
NAMES = st.sampled_from([*ADULT, "since", "intent", "undeclared", ""])


@settings(max_examples=150, deadline=None)
@given(facts=st.dictionaries(NAMES, VALUES, max_size=4), subject=TEXTS)
def test_whatever_the_facts_are_they_are_taken_or_refused(client, facts, subject):
    answer = client.post("/v1/decide", {"subject": subject, "facts": facts})
    assert answer.status == 200 or (refused(answer)["field"].startswith("facts") and answer.status == 422), answer


@settings(max_examples=100, deadline=None)
@given(body=st.binary(max_size=60) | st.builds(lambda v: json.dumps(v).encode(), VALUES), path=st.sampled_from(["decide", "record", "outcomes"]))
def test_whatever_the_body_is_it_is_refused(client, body, path):
    assert refused(client.ask("POST", f"/v1/{path}", body, JSON))["status"] in (400, 415)


def test_a_store_that_fails_can_be_tried_again(tmp_path, monkeypatch):
    with engine(store=tmp_path) as shop:
        with running(Application(shop)) as client:
            made, record = client.decide(channel="call", facts=ADULT), shop.record

            def full(*arguments, **named):
                raise nba.StoreError("the disk is full; free some space")

            monkeypatch.setattr(shop, "record", full)
            told = {"decision_id": made["id"], "label": "accepted"}
            answer = client.post("/v1/record", told)
            assert (answer.status, answer.headers["retry-after"]) == (503, "1") and "free some space" in refused(answer)["detail"]
            monkeypatch.setattr(shop, "record", record)
            assert client.post("/v1/record", told).json["learned"]
            shop.close()
            answer = client.post("/v1/decide", {"subject": "anna"})
            assert answer.status == 503 and "this engine is closed" in refused(answer)["detail"]


def test_a_fault_of_our_own_is_told_to_the_log_alone(monkeypatch, caplog):
    with engine() as shop, running(Application(shop)) as client:

        def broken(*arguments, **named):
            raise ZeroDivisionError("a secret of the inside")

        monkeypatch.setattr(shop, "decide", broken)
        answer = client.post("/v1/decide", {"subject": "anna"})
        assert (answer.status, refused(answer)["detail"]) == (500, "the service failed; its log says why")
        [logged] = [entry for entry in caplog.records if entry.levelno >= logging.ERROR]
        assert logged.getMessage() == "POST /v1/decide failed" and "a secret of the inside" in caplog.text
        assert client.get("/ready").status == 200


def test_time_outs_that_fail_are_tried_again(monkeypatch, caplog):
    from nba_engine.service import application

    monkeypatch.setattr(application, "ADVANCE_INTERVAL_S", 0.01)
    faults, advanced = [nba.StoreError("the disk is full"), ZeroDivisionError("odd")], []
    with engine() as shop:

        def advance():
            if faults:
                raise faults.pop(0)
            advanced.append(1)

        monkeypatch.setattr(shop, "advance", advance)
        with running(Application(shop)) as client:
            while len(advanced) < 3:
                assert client.get("/live").status == 200
    told = [(entry.levelname, entry.getMessage()) for entry in caplog.records if "time-outs" in entry.getMessage()]
    late = "time-outs are late, tried again in 0.01 s"
    assert told == [("WARNING", f"{late}: the disk is full"), ("ERROR", late)]
