"""`nba serve` as a client uses it: a process started by the command line, a real socket, restarts; and the answers it gives."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import jsonschema
import msgspec
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from typer.testing import CliRunner

import nba_engine as nba
from nba_engine import cli
from nba_engine.service import serving
from nba_engine.service.application import Application
from nba_engine.service.bodies import DecideBody, PromoteBody, RecordBody
from nba_engine.service.describing import describe
from nba_engine.service.routes import BODY_BYTES_MAX, ROUTES
from tests.service_client import Client, running
from tests.shop import ADULT, HandClock, catalog, engine, written

TOKEN = "a-token-of-the-tests"


@contextmanager
def served(folder, *options, token=""):
    """`nba serve` as its own process; yields a client, once it is ready, and the process, and ends it with SIGTERM."""
    (folder / "catalog.json").write_text(json.dumps(written()))
    command = [sys.executable, "-c", "from nba_engine.cli import main; main()", "serve", folder / "catalog.json", "--store", folder / "store",
               "--port", "0", *options]
    with subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, text=True, env={**os.environ, "NBA_TOKEN": token}) as process:
        try:
            line = process.stdout.readline()
            client = Client(int(line.split()[0].rpartition(":")[2]), token or None)
            client.wait_until_ready()
            yield client, process
        finally:
            process.terminate()
            code = process.wait(60)
    assert code == 0


def test_a_restart_loses_nothing(tmp_path):
    ask = {"subject": "anna", "channel": "call", "limit": 2, "facts": ADULT, "request_id": "r1"}
    with served(tmp_path) as (client, _):
        assert client.get("/live").json == {"live": True}
        first = client.post("/v1/decide", ask)
        made = first.json
        assert first.status == 200 and made["subject"] == "anna" and len(made["offers"]) == 2 and made["request_id"] == "r1"
        assert client.post("/v1/decide", ask).body == first.body
        told = {"decision_id": made["id"], "label": "declined", "action": made["offers"][0]["action"], "reason": "never", "event_id": "e1"}
        receipt = client.post("/v1/record", told).json
        assert (receipt["duplicate"], receipt["learned"], receipt["reward"]) == (False, True, 0.0)
        explained = client.get(f"/v1/explain/{made['id']}").json
        assert explained["decision"] == made and len(explained["actions"]) == 4
    with served(tmp_path) as (client, _):
        assert client.post("/v1/decide", ask).body == first.body
        assert client.post("/v1/record", told).json == {**receipt, "duplicate": True, "learned": False}
        later = client.get(f"/v1/explain/{made['id']}").json  # the store keeps the terms of what was offered, not of what was not
        assert later["decision"] == made and later["actions"][:2] == explained["actions"][:2]
        again = client.decide(channel="call", limit=4, facts=ADULT)
        assert again["id"] != made["id"] and told["action"] not in {offer["action"] for offer in again["offers"]}


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_finishes_what_is_under_way(tmp_path, how):
    """Every answer that was acknowledged while the signal came is in the store, and every request was answered or not begun."""
    acknowledged, refused = [], []
    with served(tmp_path, "--sync", "disk") as (client, process):
        ids = [client.decide(f"s{i}", channel="call", facts=ADULT)["id"] for i in range(80)]
        started = threading.Barrier(5)

        def record(mine):
            started.wait()
            for decision_id in mine:
                try:
                    answer = client.post("/v1/record", {"decision_id": decision_id, "label": "accepted", "event_id": "e"})
                except OSError:
                    return
                (acknowledged if answer.status == 200 else refused).append(decision_id)

        threads = [threading.Thread(target=record, args=(ids[i::4],)) for i in range(4)]
        for thread in threads:
            thread.start()
        started.wait()
        while len(acknowledged) < 10:
            time.sleep(0.001)
        process.send_signal(how)
        for thread in threads:
            thread.join()
        assert process.wait(30) == 0
    assert refused == [] and 10 <= len(acknowledged)
    with nba.Engine(catalog(), store=tmp_path / "store") as shop:
        assert all(shop.record(decision_id, "accepted", event_id="e").duplicate for decision_id in acknowledged)


def test_a_token_is_asked_for(tmp_path):
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    with served(tmp_path, "--token-file", tmp_path / "token", "--host", "127.0.0.1", token=TOKEN) as (client, _):
        assert client.decide(facts=ADULT)["subject"] == "anna"
        stranger = Client(client.port)
        for path in ("/v1/explain/x", "/openapi.json", "/nowhere"):
            for given in (None, f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", TOKEN, "Bearer", "Bearer \xe9"):
                answer = stranger.ask("GET", path, headers={} if given is None else {"authorization": given})
                assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer") and TOKEN not in answer.body.decode()
        assert stranger.ask("GET", "/nowhere", headers={"authorization": f"bearer {TOKEN}"}).status == 404
        assert [stranger.get(path).status for path in ("/live", "/ready")] == [200, 200]


def test_profiles_of_a_file_are_looked_up(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"subject": ["anna", "ben"], "age": [41, 12]}), tmp_path / "profiles.parquet")
    with served(tmp_path, "--profiles", tmp_path / "profiles.parquet") as (client, _):
        n_eligible = [client.decide(subject, channel="call", facts={"bill": 1.0})["funnel"]["eligibility"] for subject in ("anna", "ben")]
    assert n_eligible == [4, 3]


def run(*arguments):
    return CliRunner().invoke(cli.app, ["serve", *[str(argument) for argument in arguments]])


def test_wrong_use_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.delenv("NBA_TOKEN", raising=False)
    (tmp_path / "catalog.json").write_text(json.dumps(written()))
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "two words").write_text("open sesame")
    usual = (tmp_path / "catalog.json", "--store", tmp_path / "store")
    monkeypatch.setattr(serving, "end_on_signals", lambda: None)
    with serving.listener("127.0.0.1", 0, None) as taken, nba.Engine(catalog(), store=tmp_path / "used"):
        for arguments, words in (
            ((*usual, "--host", "0.0.0.0"), ("0.0.0.0 can be reached from other machines", "--token-file", "NBA_TOKEN")),
            ((*usual, "--host", "::"), ("no token is set",)),
            ((*usual, "--token-file", tmp_path / "nowhere"), ("the token file cannot be read", "give a file")),
            ((*usual, "--token-file", tmp_path / "empty"), ("holds no usable token",)),
            ((*usual, "--token-file", tmp_path / "two words"), ("holds no usable token",)),
            ((*usual, "--port", taken.getsockname()[1]), ("cannot be listened on", "--port")),
            ((*usual, "--host", "no.such.host.invalid"), ("cannot be listened on", "--host")),
            ((tmp_path / "nowhere.yaml", "--store", tmp_path / "store", "--port", 0), ("nowhere.yaml: 1 fault",)),
            ((*usual, "--port", 0, "--profiles", tmp_path / "p.csv"), ("profiles are not read from",)),
            ((tmp_path / "catalog.json", "--store", tmp_path / "used", "--port", 0), ("is open already", "choose another folder")),
            ((tmp_path / "catalog.json",), ("--store",)),
            ((*usual, "--sync", "never"), ("'disk', 'os'",)),
        ):
            result = run(*arguments)
            assert result.exit_code == 2, (arguments, result.output)
            assert all(word in result.stderr for word in words), (words, result.stderr)


def test_another_address_is_fine_with_a_token():
    with serving.listener("0.0.0.0", 0, TOKEN) as open_to_all, serving.listener("localhost", 0, None) as named:
        assert serving.url(open_to_all).startswith("http://0.0.0.0:") and serving.url(named).startswith(("http://127.0.0.1:", "http://[::1]:"))


def test_without_the_extra_it_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.delitem(sys.modules, "nba_engine.service.serving")
    monkeypatch.delattr("nba_engine.service.serving")
    result = run("catalog.json", "--store", tmp_path)
    assert (result.exit_code, result.stderr) == (2, "nba serve needs uvicorn, which is not installed; pip install nba_engine[serve]\n")


def test_the_description_is_openapi_and_holds_for_every_answer(client, shop):
    described = client.get("/openapi.json").json
    assert list(OpenAPIV31SpecValidator(described).iter_errors()) == []
    assert {(path, method.upper()) for path, methods in described["paths"].items() for method in methods} == {(r.path, r.method) for r in ROUTES}
    made = client.decide(channel="call", limit=3, facts=ADULT, at="2026-03-02T12:00:00+01:00")
    told = {"decision_id": made["id"], "label": "accepted", "action": made["offers"][0]["action"], "value": 12.5, "at": 1_772_452_800_000_001}
    answers = {
        "/v1/decide": made,
        "/v1/record": client.post("/v1/record", told).json,
        "/v1/explain/{decision_id}": client.get(f"/v1/explain/{made['id']}").json,
        "/ready": client.get("/ready").json,
    }
    for path, answer in answers.items():
        [operation] = described["paths"][path].values()
        _validate(answer, operation["responses"]["200"]["content"]["application/json"]["schema"], described)
    asked = {"subject": "anna", "facts": None, "channel": None, "interaction": None, "request_id": None, "at": None}  # null is what is left out
    _validate(asked, described["paths"]["/v1/decide"]["post"]["requestBody"]["content"]["application/json"]["schema"], described)
    assert client.post("/v1/decide", asked).status == 200
    sent = described["paths"]["/v1/record"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    _validate(told, sent, described)
    with pytest.raises(jsonschema.ValidationError, match="labl"):
        _validate({**told, "labl": "accepted"}, sent, described)
    refusal = described["paths"]["/v1/explain/{decision_id}"]["get"]["responses"]["404"]["content"]
    _validate(client.get("/v1/explain/nothing").json, refusal["application/problem+json"]["schema"], described)


def test_the_document_names_every_path_field_and_limit():
    text = (Path(__file__).parents[1] / "docs" / "service.md").read_text("utf-8")
    assert all(f"| `{route.method} {route.path}` |" in text for route in ROUTES)
    for body in (DecideBody, PromoteBody, RecordBody):
        [line] = [line for line in text.splitlines() if line.startswith(f"| `POST /v1/{body.__name__.removesuffix('Body').lower()}`")]
        assert set(re.findall(r"`(\w+)`", line)) == set(body.__struct_fields__)
    assert f"{BODY_BYTES_MAX:,} bytes" in text
    statuses = {status for route in ROUTES for status in route.refuses} | {401, 405, 500}
    assert {int(status) for row in re.findall(r"^\| (\d{3}(?:, \d{3})*) \|", text, re.MULTILINE) for status in row.split(", ")} == statuses


def test_the_description_says_where_the_token_is_asked_for():
    described = describe(secured=True)
    assert list(OpenAPIV31SpecValidator(described).iter_errors()) == []
    operations = [(path, operation) for path, methods in described["paths"].items() for operation in methods.values()]
    asking = {path for path, operation in operations if "security" in operation}
    assert asking == {route.path for route in ROUTES} - {"/live", "/ready"}
    assert asking == {path for path, operation in operations if "401" in operation["responses"]}


def _validate(answer, schema, described):
    jsonschema.Draft202012Validator({**schema, "components": described["components"]}).validate(answer)


def test_health_and_who_is_in_charge():
    """A promotion that is sent again is the same promotion; without a challenger it is refused."""
    with engine(catalog=catalog(challenger={"kind": "beta_bernoulli"})) as shop, running(Application(shop)) as client:
        made = client.decide(channel="call", facts=ADULT)
        client.post("/v1/record", {"decision_id": made["id"], "label": "accepted"})
        health, described = client.get("/v1/health").json, client.get("/openapi.json").json
        assert [row["answers"] for row in health["actions"]] == [1, 1] and health["actions"][0]["auc"] is None
        assert json.loads(health["challenger"])["kind"] == "beta_bernoulli" and len(health["comparisons"]) == 2
        for challenger, kind in ((True, "beta_bernoulli"), (True, "beta_bernoulli"), (False, "probit"), (False, "probit")):
            promoted = client.post("/v1/promote", {"challenger": challenger}).json
            assert json.loads(promoted["model"])["kind"] == kind and (promoted["promoted_at"] is not None) == challenger
            _validate(promoted, described["paths"]["/v1/promote"]["post"]["responses"]["200"]["content"]["application/json"]["schema"], described)
        _validate(health, described["paths"]["/v1/health"]["get"]["responses"]["200"]["content"]["application/json"]["schema"], described)
    with engine() as shop, running(Application(shop)) as client:
        assert client.post("/v1/promote", {"challenger": False}).status == 200
        refused = client.post("/v1/promote", {"challenger": True})
        assert refused.status == 422 and "names no challenger" in refused.json["detail"]


def test_explain_is_the_explanation_as_a_mapping(client, shop):
    made = client.decide("ben", limit=2, facts={"age": 17, "bill": 99.0})
    told = client.get(f"/v1/explain/{made['id']}").json
    assert told == json.loads(json.dumps(shop.explain(made["id"]).to_dict())) and told["decision"] == made


def test_the_same_answers_as_in_process():
    """The service adds nothing: an engine of the same seed, asked the same, draws the same slate with the same probabilities."""
    with engine() as served_one, running(Application(served_one)) as client, engine() as other:
        for i in range(20):
            facts = {**ADULT, "since": "2020-01-01T00:00:00Z", "bill": 10.0 + i, "undeclared": [1, {"x": None}]}
            over_http = client.decide(f"twin-{i}", channel="call", limit=3, facts=facts, interaction="one")
            in_process = other.decide(f"twin-{i}", channel="call", limit=3, facts=facts, interaction="one")
            assert over_http["offers"] == [msgspec.to_builtins(offer) for offer in in_process.offers] and over_http["funnel"] == in_process.funnel


def test_time_outs_are_applied_by_the_clock_of_the_service():
    clock = HandClock()
    with engine(clock=clock) as shop, running(Application(shop)) as client:
        client.decide(channel="web", facts=ADULT)
        version = shop.beliefs_version
        clock.now += timedelta(minutes=31)
        deadline = time.monotonic() + 30
        while shop.beliefs_version == version and time.monotonic() < deadline:
            time.sleep(0.02)
        assert shop.beliefs_version == version + 1 and shop.advance() == 0


def test_it_is_ready_when_kernels_are(monkeypatch):
    compiled = threading.Event()
    with engine() as shop:
        monkeypatch.setattr(shop, "warm", lambda: compiled.wait(60))
        with running(Application(shop), ready=False) as client:
            assert client.get("/live").status == 200
            for answer in (client.get("/ready"), client.post("/v1/decide", {"subject": "anna"}), client.get("/openapi.json")):
                assert (answer.status, answer.headers["retry-after"]) == (503, "1") and "GET /ready" in answer.json["detail"]
            compiled.set()
            client.wait_until_ready(30)
            described = client.get("/openapi.json").json["paths"]
            assert {path for path, methods in described.items() for said in methods.values() if "503" not in said["responses"]} == {"/live"}
            assert client.decide()["offers"][0]["action"] == "stay"
            assert client.ask("HEAD", "/ready").body == b""


@pytest.mark.parametrize("error", [nba.StoreError("the disk is full"), OSError("no disk")])
def test_it_is_not_ready_before_time_outs_were_applied(monkeypatch, error):
    tried, works = threading.Event(), threading.Event()
    with engine() as shop:
        advance = shop.advance

        def failing(at=None):
            if works.is_set():
                return advance(at)
            tried.set()
            raise error

        monkeypatch.setattr(shop, "warm", lambda: 0.0)
        monkeypatch.setattr(shop, "advance", failing)
        monkeypatch.setattr("nba_engine.service.application.ADVANCE_INTERVAL_S", 0.02)
        with running(Application(shop), ready=False) as client:
            assert tried.wait(300)
            tried.clear()
            assert tried.wait(30)  # the clock came by again, so the first failure lies behind it
            assert (client.get("/ready").status, client.get("/live").status) == (503, 200)
            works.set()
            client.wait_until_ready(30)
            works.clear()
            tried.clear()
            assert tried.wait(30)  # from then on late time-outs close nothing
            assert (client.get("/ready").status, client.get("/openapi.json").status) == (200, 200)


def test_an_answer_that_waits_for_the_disk_keeps_nobody_else_waiting(monkeypatch):
    written_to_disk, waiting = threading.Event(), threading.Barrier(4)
    with engine() as shop, running(Application(shop)) as client:
        ids = [client.decide(f"s{i}", channel="call", facts=ADULT)["id"] for i in range(3)]
        record = shop.record

        def slow(*arguments, **named):
            waiting.wait(30)
            assert written_to_disk.wait(30)
            return record(*arguments, **named)

        monkeypatch.setattr(shop, "record", slow)
        answers = []

        def tell(decision_id):
            answers.append(client.post("/v1/record", {"decision_id": decision_id, "label": "accepted"}))

        threads = [threading.Thread(target=tell, args=(decision_id,)) for decision_id in ids]
        for thread in threads:
            thread.start()
        waiting.wait(30)  # all three wait at once, so that they can share a commit
        assert client.decide("other", facts=ADULT)["subject"] == "other" and answers == []
        written_to_disk.set()
        for thread in threads:
            thread.join(30)
        assert [answer.status for answer in answers] == [200, 200, 200]
