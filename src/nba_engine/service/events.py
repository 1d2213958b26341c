"""CloudEvents 1.0 over HTTP (structured, batch and binary mode) to the arguments of `Engine.record`.

Source and id together name an event; they become the outcome's `event_id`, so that an event that is delivered twice counts once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import msgspec

from nba_engine.service.bodies import CloudEvent, OutcomeData
from nba_engine.service.problems import Refusal, decoded, misfit

JSON, EVENT, BATCH = "application/json", "application/cloudevents+json", "application/cloudevents-batch+json"
ATTRIBUTES = ("specversion", "id", "source", "type", "time")
"""The attributes that binary mode carries in headers, each behind `ce-`."""

_EVENT, _BATCH, _DATA = msgspec.json.Decoder(CloudEvent), msgspec.json.Decoder(list[CloudEvent]), msgspec.json.Decoder(OutcomeData)


def read(media_type: str, headers: Mapping[bytes, bytes], body: bytes) -> CloudEvent | list[CloudEvent]:
    """One event, or the events of a batch; nothing of a batch is taken where one of them is not well formed."""
    if media_type == EVENT:
        return decoded(_EVENT, body)
    if media_type == BATCH:
        return decoded(_BATCH, body)
    if b"ce-specversion" in headers and is_json(media_type):
        return _binary(headers, body)
    raise Refusal(415, f"came {media_type or 'no content type'}; send {EVENT}, {BATCH}, or {JSON} with the event's attributes in ce- headers",
                  "content-type")


def arguments(event: CloudEvent) -> dict[str, Any]:
    """What `Engine.record` is called with."""
    if event.datacontenttype is not None and not is_json(media_type_of(event.datacontenttype)):
        raise Refusal(415, f"the event's data came as {event.datacontenttype}; send {JSON}", "datacontenttype")
    if (event.data is None) == (event.data_base64 is None):
        raise Refusal(400, "an event carries its outcome in `data`, or in `data_base64`, not in both or neither; send one of them", "data")
    data = event.data or decoded(_DATA, event.data_base64 or b"")
    given = msgspec.structs.asdict(data)
    # A source is a URI reference and has no blanks, so that no two pairs give the same text.
    return {**given, "at": event.time if data.at is None else data.at, "event_id": f"{event.source} {event.id}"}


def media_type_of(header: str) -> str:
    """`application/json` of `Application/JSON; charset=utf-8`."""
    return header.partition(";")[0].strip().lower()


def is_json(media_type: str) -> bool:
    return media_type == JSON or media_type.endswith("+json")


def _binary(headers: Mapping[bytes, bytes], body: bytes) -> CloudEvent:
    data = decoded(_DATA, body)
    given = {name: _plain(value.decode("latin-1")) for name in ATTRIBUTES if (value := headers.get(f"ce-{name}".encode())) is not None}
    try:
        event = msgspec.convert(given, CloudEvent)
    except msgspec.ValidationError as error:
        raise misfit(error) from None
    event.data = data
    return event


def _plain(value: str) -> str:
    """A header's value: quotes taken off, then percent signs read, as the HTTP binding says."""
    if len(value) >= 2 and value[0] == value[-1] == '"':
        value = re.sub(r"\\(.)", r"\1", value[1:-1])
    return unquote(value)
