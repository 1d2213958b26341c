"""CloudEvents 1.0 as their own SDK sends them: structured, binary and batch mode, and every event counted once."""

from __future__ import annotations

import base64
import json
from datetime import datetime, timedelta, timezone

import pytest
from cloudevents.core.bindings.http import to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent

from tests.shop import ADULT, NOON

BATCH, EVENT = {"content-type": "application/cloudevents-batch+json"}, {"content-type": "application/cloudevents+json"}
BINARY = {"content-type": "application/json", "ce-specversion": "1.0", "ce-id": "1", "ce-source": "/x", "ce-type": "nba.outcome.v1"}
SHOP_TIME = "2026-03-02T12:00:30Z"


def event(data, **attributes):
    """An event as the SDK makes it."""
    time = datetime(2026, 3, 2, 12, 0, 30, tzinfo=timezone.utc)
    return CloudEvent({"specversion": "1.0", "id": "1", "source": "/crm/calls", "type": "nba.outcome.v1", "time": time, "datacontenttype":
                       "application/json", **attributes}, data)


def plain(data, **attributes):
    """An event as JSON."""
    return {"specversion": "1.0", "id": "1", "source": "/crm/calls", "type": "nba.outcome.v1", "time": SHOP_TIME, "data": data, **attributes}


def send(client, message):
    body = message.body if isinstance(message.body, bytes) else str(message.body).encode()
    return client.ask("POST", "/v1/outcomes", body, message.headers)


def accepted(client, **decision):
    return {"decision_id": client.decide(channel="call", facts=ADULT, **decision)["id"], "label": "accepted"}


@pytest.mark.parametrize("mode", [to_structured_event, to_binary_event])
def test_an_event_is_recorded_once_in_either_mode(client, mode):
    data = accepted(client)
    answer = send(client, mode(event(data)))
    receipt = answer.json
    assert answer.status == 200 and receipt == {"decision_id": data["decision_id"], "action": receipt["action"], "label": "accepted",
                                               "event_id": "/crm/calls 1", "duplicate": False, "learned": True, "reward": 1.0}
    for again in (to_structured_event, to_binary_event):
        repeated = send(client, again(event(data))).json
        assert repeated == {**receipt, "duplicate": True, "learned": False}
    assert not send(client, mode(event(data, id="2"))).json["duplicate"]
    assert not send(client, mode(event(data, source="/crm/chats"))).json["duplicate"]


def test_names_are_decoded_as_the_binding_says(client):
    data = accepted(client)
    assert send(client, to_binary_event(event(data, id='Zürich 100% "a"'))).json["event_id"] == '/crm/calls Zürich 100% "a"'
    quoted = {**BINARY, "ce-specversion": '"1.0"', "ce-id": '"a \\"b\\" \\\\%20c"'}
    assert client.ask("POST", "/v1/outcomes", json.dumps(data).encode(), quoted).json["event_id"] == '/x a "b" \\ c'


def test_data_may_come_as_bytes(client):
    data = accepted(client)
    body = {**plain(data), "data_base64": base64.b64encode(json.dumps(data).encode()).decode()}
    del body["data"]
    assert client.post("/v1/outcomes", body, **EVENT).json["learned"]


def test_the_time_of_the_event_is_when_it_happened(client):
    """A decline suppresses for thirty days from when it happened, not from when it was delivered."""
    long_ago = NOON - timedelta(days=40)
    made = client.decide("carl", channel="call", facts=ADULT, at=long_ago.isoformat())
    action = made["offers"][0]["action"]

    def suppressed():
        decision = client.decide("carl", channel="call", facts=ADULT, limit=4)
        return action not in {offer["action"] for offer in decision["offers"]}

    told = {"decision_id": made["id"], "label": "declined"}
    assert client.post("/v1/outcomes", plain(told, time=long_ago.isoformat()), **EVENT).status == 200 and not suppressed()
    late = plain({**told, "reason": "too_expensive", "at": NOON.isoformat()}, id="2", time=long_ago.isoformat())
    assert client.post("/v1/outcomes", late, **EVENT).status == 200 and suppressed()


def test_a_batch_is_taken_in_its_order(client, shop):
    one, two = accepted(client), accepted(client)
    cancelled = {**one, "label": "cancelled"}
    batch = [plain(one), plain(two), plain(cancelled, id="2"), plain(two)]
    answer = client.post("/v1/outcomes", batch, **BATCH)
    assert answer.status == 200
    assert [(r["label"], r["duplicate"]) for r in answer.json] == [("accepted", False), ("accepted", False), ("cancelled", False), ("accepted", True)]
    assert [r["duplicate"] for r in client.post("/v1/outcomes", batch, **BATCH).json] == [True] * 4
    assert client.post("/v1/outcomes", [], **BATCH).json == []


def test_of_a_batch_with_refusals_the_others_are_taken(client):
    good = accepted(client)
    batch = [plain({**good, "label": "acepted"}, id="a"), plain(good, id="b"), plain({**good, "decision_id": "none"}, id="c")]
    answer = client.post("/v1/outcomes", batch, **BATCH)
    problem = answer.json
    assert (answer.status, answer.headers["content-type"]) == (422, "application/problem+json") and "2 of 3 events" in problem["detail"]
    assert [(r["index"], r["id"], r["status"]) for r in problem["refused"]] == [(0, "a", 422), (2, "c", 404)]
    assert "did you mean 'accepted'?" in problem["refused"][0]["detail"]
    assert client.post("/v1/outcomes", plain(good, id="b"), **EVENT).json["duplicate"]


WRONG = {
    "another type": ({"type": "nba.decision.v1"}, 400, "type", "nba.decision.v1"),
    "another version": ({"specversion": "0.3"}, 400, "specversion", "0.3"),
    "no id": ({"id": None}, 400, "id", "got `null`"),
    "an empty id": ({"id": ""}, 400, "id", "length >= 1"),
    "a source with a blank": ({"source": "a b"}, 400, "source", "regex"),
    "a time without a zone": ({"time": "2026-03-02T12:00:00"}, 400, "time", "timezone"),
    "no data": ({"data": None}, 400, "data", "`data_base64`"),
    "data twice": ({"data_base64": "e30="}, 400, "data", "not in both"),
    "data that is no outcome": ({"data": {"label": "accepted"}}, 400, "data.decision_id", "missing required field"),
    "an event id of its own": ({"data": {"decision_id": "x", "label": "y", "event_id": "z"}}, 400, "data.event_id", "unknown field"),
    "data that is no JSON": ({"datacontenttype": "text/xml"}, 415, "datacontenttype", "text/xml"),
    "an unknown decision": ({"data": {"decision_id": "none", "label": "accepted"}}, 404, "decision_id", "none"),
    "an unknown label": ({"data": {"decision_id": "MADE", "label": "acepted"}}, 422, "label", "did you mean"),
}


@pytest.mark.parametrize("case", WRONG)
def test_an_event_that_cannot_be_taken(client, shop, case):
    changes, status, field, words = WRONG[case]
    good = accepted(client)
    version = shop.beliefs_version
    body = json.dumps({**plain(good), **changes}).replace("MADE", good["decision_id"]).encode()
    answer = client.ask("POST", "/v1/outcomes", body, EVENT)
    assert (answer.status, answer.json.get("field")) == (status, field) and words in answer.json["detail"], answer.json
    if status == 400:
        answer = client.ask("POST", "/v1/outcomes", b"[" + json.dumps(plain(good)).encode() + b"," + body + b"]", BATCH)
        assert answer.status == 400 and answer.json["field"] in (f"[1].{field}", field), answer.json
    assert shop.beliefs_version == version


@pytest.mark.parametrize(("headers", "status", "field"), [
    ({"content-type": "application/json"}, 415, "content-type"),
    ({"content-type": "application/cloudevents+avro", "ce-specversion": "1.0"}, 415, "content-type"),
    ({"content-type": "text/plain", "ce-specversion": "1.0"}, 415, "content-type"),
    ({}, 415, "content-type"),
    ({"content-type": "application/json", "ce-specversion": "1.0"}, 400, "id"),
    ({**BINARY, "ce-type": "other"}, 400, "type"),
    ({**BINARY, "ce-time": "noon"}, 400, "time"),
])  # fmt: skip
def test_a_message_that_is_no_event(client, headers, status, field):
    answer = client.ask("POST", "/v1/outcomes", json.dumps(accepted(client)).encode(), headers)
    assert (answer.status, answer.json["field"]) == (status, field)
