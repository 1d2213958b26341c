"""The catalog that docs/catalog.md describes from YAML, JSON and a mapping: every key, every meaning, every default."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from datetime import date, datetime, timedelta, timezone
from enum import Enum
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from nba_engine import schema
from nba_engine.catalog import Catalog
from nba_engine.catalog.durations import DAWN_US, FOREVER_US, parse_duration, parse_moment, window_us
from nba_engine.errors import CatalogError
from nba_engine.rules import parse

ROOT = Path(__file__).parents[1]
DAY_US = 86_400_000_000

PUBLIC_EXAMPLE = """
name: telco
version: "2026-11-22"
timezone: Europe/Zurich                  # for dates without a zone; default UTC
facts:                                   # name: CEL type, or {type, origin, predictor, sensitive, immutable}
  age: int
  monthly_bill: double
  tariff: string
  products: list<string>
  contract_end: timestamp
  address: {type: {city: string, zip: string}}
  consent_email: bool
  intent: {type: string, origin: interaction}
  internal_flag: {type: bool, predictor: false}      # rules may read it, models may not
outcomes:                                # labels: what came back, and what it means
  accepted:    {reward: 1}
  declined:    {reward: 0}
  presented:   {exposure: presented}
  skipped:     {exposure: skipped}       # the agent did not show it: teaches nothing about the customer
  complaint:   {reward: 0, value: -40}
  cancelled:   {revokes: accepted}       # cooling-off
reasons:
  not_now:        {suppress: 7d}
  too_expensive:  {suppress: 60d, similar: 30d}
  already_have:   {suppress: 365d, learn: false}
  wrong_channel:  {suppress: 30d, scope: channel, learn: false}
  never:          {suppress: forever, similar: 180d}
  do_not_contact: {suppress: forever, scope: subject, direction: outbound}
channels:
  call:  {presented: reported, no_response: never}
  web:   {presented: on_return, no_response: 30m}
  email: {direction: outbound, presented: reported, no_response: 3d, consent: consent_email}
issues:
  retention: {lever: 1.2, groups: {loyalty: {eligibility: ["age >= 18"]}}}
  sales:     {groups: {broadband: {}, cards: {lever: 0.9}}}
  service:   {explore: false, groups: {complaint: {}}}
actions:
  - id: fibre-upgrade
    issue: sales
    group: broadband
    value: "monthly_bill * 6.0"          # a number or a CEL expression giving one
    lever: 1.0
    tags: [fibre, upgrade]
    eligibility:   ["age >= 18"]
    applicability: ["!('fibre' in products)"]
    suitability:   ["monthly_bill < 90.0"]
    valid: {from: 2026-01-01, until: 2026-12-31}     # both inclusive
    treatments:
      - {id: fibre-call, channel: call, script: "..."}
      - {id: fibre-mail, channel: email, cost: 0.02}
  - {id: nothing, null_action: true}
similarity: {by: [group, tags], at_least: 0.5}
context_weights:
  - {when: "intent == 'cancel'", issue: retention, multiplier: 2.0}     # or group:, or action:
contact_policies:
  - {name: no-nagging,  scope: action,  label: declined,  count: 1, within: 30d, suppress: 30d}
  - {name: rest-group,  scope: group,   label: declined,  count: 2, within: 30d, suppress: 14d}
  - {name: look-alikes, scope: similar, label: declined,  count: 1, within: 7d,  suppress: 7d}
  - {name: weekly-mail, scope: channel, label: presented, count: 3, within: 7d, per: interaction, direction: outbound}
control_groups:
  - {name: random,  share: 0.02, kind: uniform}      # by a hash of the subject
  - {name: holdout, share: 0.02, kind: nothing}
exploration: {kind: thompson, posterior_scale: 0.3, uniform_share: 0.01, sticky: interaction}
"""


@pytest.fixture
def example(tmp_path):
    path = tmp_path / "catalog.yaml"
    path.write_text(PUBLIC_EXAMPLE)
    return Catalog.load(path)


def plain_values(text, unquoted=str):
    import yaml

    return json.loads(json.dumps(yaml.safe_load(text), default=unquoted))


def one_action(**keys):
    return Catalog.from_dict({"facts": {"age": "int"}, "actions": [{"id": "a", **keys}]}).definition.actions[0]


def test_yaml_json_and_mapping_mean_the_same(example, tmp_path):
    import yaml

    as_mapping = yaml.safe_load(PUBLIC_EXAMPLE)
    assert as_mapping["actions"][0]["valid"]["from"] == date(2026, 1, 1)
    assert Catalog.from_dict(as_mapping).definition == example.definition
    assert Catalog.from_dict(plain_values(PUBLIC_EXAMPLE)).definition == example.definition
    for name, indent in (("indented.json", "\t"), ("one-line.json", None)):
        (tmp_path / name).write_text(json.dumps(as_mapping, default=str, indent=indent))
        assert Catalog.load(tmp_path / name).definition == example.definition
    (tmp_path / "catalog.yml").write_text("\ufeff" + PUBLIC_EXAMPLE, encoding="utf-8")
    assert Catalog.load(str(tmp_path / "catalog.yml")).definition == example.definition


def test_facts_of_the_example(example):
    facts = {fact.name: fact for fact in example.facts}
    assert [str(fact.type) for fact in example.facts] == [
        "int", "double", "string", "list<string>", "timestamp", "{city: string, zip: string}", "bool", "string", "bool",
    ]  # fmt: skip
    assert facts["intent"] == schema.Fact("intent", schema.STRING, origin="interaction")
    assert facts["internal_flag"] == schema.Fact("internal_flag", schema.BOOL, predictor=False)
    assert facts["age"] == schema.Fact("age", schema.INT, "profile", True, False, False)
    assert example.types["now"] == schema.TIMESTAMP and example.types["channel"] == example.types["direction"] == schema.STRING


def test_outcomes_reasons_and_channels_of_the_example(example):
    d = example.definition
    assert list(d.outcomes) == ["accepted", "declined", "presented", "skipped", "complaint", "cancelled", "no_response"]
    assert (d.outcomes["accepted"].reward, d.outcomes["complaint"].value, d.outcomes["cancelled"].revokes) == (1.0, -40.0, "accepted")
    assert [d.outcomes[label].exposure for label in ("presented", "skipped", "accepted")] == ["presented", "skipped", None]
    assert (d.outcomes["no_response"].reward, d.outcomes["no_response"].exposure) == (0.0, None)
    never, contact = d.reasons["never"], d.reasons["do_not_contact"]
    assert (never.suppress, never.similar, never.scope, never.direction, never.learn) == (FOREVER_US, 180 * DAY_US, "action", None, True)
    assert (contact.suppress, contact.similar, contact.scope, contact.direction) == (FOREVER_US, None, "subject", "outbound")
    assert not d.reasons["already_have"].learn and d.reasons["wrong_channel"].scope == "channel"
    call, web, email = d.channels["call"], d.channels["web"], d.channels["email"]
    assert (call.direction, call.presented, call.no_response, call.consent) == ("inbound", "reported", FOREVER_US, None)
    assert (web.presented, web.no_response) == ("on_return", 30 * 60_000_000)
    assert (email.direction, email.no_response, email.consent) == ("outbound", 3 * DAY_US, "consent_email")


def test_taxonomy_and_actions_of_the_example(example):
    d = example.definition
    assert d.issues["retention"].lever == 1.2 and d.issues["retention"].groups["loyalty"].eligibility == ("age >= 18",)
    assert d.issues["sales"].groups["cards"].lever == 0.9 and not d.issues["service"].explore and d.issues["sales"].explore
    fibre, nothing = d.actions
    assert (fibre.id, fibre.issue, fibre.group, fibre.value, fibre.lever) == ("fibre-upgrade", "sales", "broadband", "monthly_bill * 6.0", 1.0)
    assert fibre.tags == ("fibre", "upgrade")
    assert (fibre.eligibility, fibre.applicability, fibre.suitability) == (("age >= 18",), ("!('fibre' in products)",), ("monthly_bill < 90.0",))
    treatments = [(t.id, t.channel, t.cost, t.script) for t in fibre.treatments]
    assert treatments == [("fibre-call", "call", 0.0, "..."), ("fibre-mail", "email", 0.02, None)]
    assert nothing.null_action and nothing.issue is None and nothing.treatments == ()


def test_both_ends_of_a_window_are_inclusive_in_the_catalogs_zone(example):
    zurich = ZoneInfo("Europe/Zurich")
    first, last = example.definition.window_us(example.definition.actions[0])
    epoch = datetime(1970, 1, 1, tzinfo=timezone.utc)
    assert epoch + timedelta(microseconds=first) == datetime(2026, 1, 1, tzinfo=zurich)
    assert epoch + timedelta(microseconds=last + 1) == datetime(2027, 1, 1, tzinfo=zurich)
    assert example.definition.window_us(example.definition.actions[1]) == (DAWN_US, FOREVER_US)


def test_the_other_sections_of_the_example(example):
    d = example.definition
    assert (d.similarity.by, d.similarity.at_least) == (("group", "tags"), 0.5)
    weight = d.context_weights[0]
    assert (weight.when, weight.issue, weight.group, weight.action, weight.multiplier) == ("intent == 'cancel'", "retention", None, None, 2.0)
    assert [(p.scope, p.label, p.count, p.within, p.suppress, p.per, p.direction) for p in d.contact_policies] == [
        ("action", "declined", 1, 30 * DAY_US, 30 * DAY_US, "offer", None),
        ("group", "declined", 2, 30 * DAY_US, 14 * DAY_US, "offer", None),
        ("similar", "declined", 1, 7 * DAY_US, 7 * DAY_US, "offer", None),
        ("channel", "presented", 3, 7 * DAY_US, None, "interaction", "outbound"),
    ]
    assert [(g.name, g.share, g.kind) for g in d.control_groups] == [("random", 0.02, "uniform"), ("holdout", 0.02, "nothing")]
    assert (d.exploration.kind, d.exploration.posterior_scale, d.exploration.uniform_share, d.exploration.sticky) == ("thompson", 0.3, 0.01, None)
    assert (example.name, example.version, d.timezone) == ("telco", "2026-11-22", "Europe/Zurich")


def test_defaults():
    d = Catalog.from_dict({"channels": {"call": None}, "actions": [{"id": "a"}], "reasons": {"why": {}}}).definition
    assert (d.name, d.timezone, d.model.kind) == ("catalog", "UTC", "probit")
    assert (d.channels["call"].direction, d.channels["call"].presented, d.channels["call"].no_response) == ("inbound", "reported", FOREVER_US)
    a = d.actions[0]
    assert (a.value, a.lever, a.cost, a.explore, a.tags, a.treatments, a.null_action, a.script) == (1.0, 1.0, 0.0, True, (), (), False, None)
    assert (d.exploration.kind, d.exploration.posterior_scale, d.exploration.uniform_share, d.exploration.sticky) == ("thompson", 0.3, 0.01, None)
    assert (d.similarity.by, d.similarity.at_least, d.control_groups, d.contact_policies) == (("group", "tags"), 0.5, (), ())
    assert {label: outcome.reward for label, outcome in d.outcomes.items()} == {
        "accepted": 1.0, "declined": 0.0, "presented": None, "skipped": None, "no_response": 0.0,
    }  # fmt: skip


def test_a_single_text_stands_for_a_list_of_one():
    a = one_action(eligibility="age >= 18", tags="one")
    assert (a.eligibility, a.tags) == (("age >= 18",), ("one",))


def test_treatments_take_cost_and_script_of_their_action_where_they_have_none():
    keys = {"id": "a", "cost": 3, "script": "s", "treatments": [{"id": "t", "channel": "c"}, {"id": "u", "channel": "c", "cost": 0, "script": ""}]}
    treatments = Catalog.from_dict({"channels": {"c": {}}, "actions": [keys]}).definition.actions[0].treatments
    assert [(t.cost, t.script) for t in treatments] == [(3.0, "s"), (0.0, "")]


def test_no_response_may_be_declared_otherwise():
    assert Catalog.from_dict({"outcomes": {"no_response": {"reward": 0.2}}}).definition.outcomes["no_response"].reward == 0.2


def test_consent_may_be_a_field_of_a_struct():
    catalog = Catalog.from_dict({"facts": {"consent": {"type": {"mail": "bool"}}}, "channels": {"mail": {"consent": "consent.mail"}}})
    assert catalog.definition.channels["mail"].consent == "consent.mail"


@pytest.mark.parametrize(("written", "microseconds"), [
    ("30d", 30 * DAY_US), ("72h", 3 * DAY_US), ("15m", 900_000_000), ("30s", 30_000_000), (" 7D ", 7 * DAY_US), ("0s", 0),
    ("forever", FOREVER_US), ("never", FOREVER_US), ("999999999999999999d", FOREVER_US), (timedelta(hours=1), 3_600_000_000),
])  # fmt: skip
def test_durations(written, microseconds):
    assert parse_duration(written) == microseconds


@pytest.mark.parametrize("written", [7, 7.0, None, True, "", "7", "d", "-3d", "3 d", "1.5h", "7days", "٣d", timedelta(-1)])
def test_what_is_no_duration(written):
    with pytest.raises(ValueError, match="a duration such as 30d"):
        parse_duration(written)


def test_moments_have_the_zone_they_name_or_the_catalogs():
    zone = ZoneInfo("Asia/Tokyo")
    noon = parse_moment("2026-01-31T12:00:00")
    assert window_us(noon, parse_moment("2026-01-31T12:00:00+09:00"), zone) == (1769828400000000, 1769828400000000)
    assert window_us(parse_moment("2026-01-31 12:00:00Z"), None, zone) == (1769860800000000, FOREVER_US)
    assert window_us(None, date.max, zone) == (DAWN_US, FOREVER_US)


def test_summer_time_shortens_the_last_day():
    first, last = window_us(date(2026, 3, 29), date(2026, 3, 29), ZoneInfo("Europe/Zurich"))
    assert last - first + 1 == 23 * 3_600_000_000


def test_plain_words_follow_yaml_1_2_so_that_labels_and_tags_stay_text(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(
        "outcomes: {yes: {reward: 1e0}, no: {reward: 0}, on: {reward: .5}}\nversion: 2026-11-22\n"
        "actions: [{id: a, tags: [no, off, 12:30], value: 0x10, explore: false, script: ~}]\n"
    )
    d = Catalog.load(path).definition
    assert [(label, outcome.reward) for label, outcome in d.outcomes.items()][:3] == [("yes", 1.0), ("no", 0.0), ("on", 0.5)]
    assert (d.version, d.actions[0].tags, d.actions[0].value) == ("2026-11-22", ("no", "off", "12:30"), 16.0)


def test_anchors_and_merge_keys(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(
        "actions:\n- &base {id: a, value: 2, tags: &t [x]}\n- {<<: *base, id: b}\n- {id: c, <<: [{value: 3}, *base]}\n- {id: d, tags: *t}\n"
    )
    assert [(a.id, a.value, a.tags) for a in Catalog.load(path).definition.actions] == [
        ("a", 2.0, ("x",)), ("b", 2.0, ("x",)), ("c", 3.0, ("x",)), ("d", 1.0, ("x",)),
    ]  # fmt: skip


def test_numbers_and_texts_of_other_types_are_what_they_hold():
    """numpy's numbers where any number may stand; a member of an enumeration is its text, not its name."""

    class Release(str, Enum):
        AUTUMN = "2026-09"

    policy = {"name": "p", "scope": "action", "label": "declined", "within": "1d", "count": np.int64(2)}
    actions = [{"id": "a", "value": np.int64(3), "cost": np.float32(0.5)}, {"id": "b", "value": np.float32(2.5)}]
    made = Catalog.from_dict({"version": Release.AUTUMN, "actions": actions, "contact_policies": [policy]})
    assert (made.version, [a.value for a in made.definition.actions], made.definition.contact_policies[0].count) == ("2026-09", [3.0, 2.5], 2)
    assert Catalog.from_dict({"version": np.int64(7)}).version == "7"


def test_the_version_follows_the_definition_where_none_is_written():
    one, same, other = (Catalog.from_dict({"actions": [{"id": "a", "value": value}]}).version for value in (1, 1.0, 2))
    assert one == same != other and len(one) == 12


def test_rules_are_parsed_and_checked_once_per_text(example):
    rule = example.rule("age >= 18")
    assert rule.type == schema.BOOL and rule.node == parse("age >= 18")
    assert example.rule("monthly_bill * 6.0").type == schema.DOUBLE
    with pytest.raises(KeyError):
        example.rule("age >= 19")


def test_a_definition_cannot_be_changed_and_can_be_dumped(example):
    with pytest.raises(ValueError, match="frozen"):
        example.definition.name = "other"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert json.loads(example.definition.model_dump_json(by_alias=True))["facts"]["address"]["type"] == {"city": "string", "zip": "string"}


def test_what_was_written_comes_back(example):
    """The journal remembers catalogs in this form."""
    again = Catalog.from_dict(json.loads(json.dumps(example.to_dict())))
    assert again.definition == example.definition and again.facts == example.facts and again.to_dict() == example.to_dict()
    windowed = Catalog.from_dict({"actions": [{"id": "a"}, {"id": "n", "null_action": True}], "exploration": {"sticky": "7d"}})
    assert Catalog.from_dict(windowed.to_dict()).definition == windowed.definition


def test_the_example_file_loads():
    catalog = Catalog.load(ROOT / "examples" / "catalog.yaml")
    assert len(catalog.definition.actions) == 10 and repr(catalog) == "<Catalog 'telco' '2026-11-22': 10 actions>"
    treatments = [t for a in catalog.definition.actions for t in a.treatments]
    assert {t.channel for t in treatments} == {"call", "web", "email"} and all(t.script for t in treatments)


def test_importing_the_room_loads_neither_pydantic_nor_yaml_nor_lark():
    program = "import sys, nba_engine.catalog; print(sorted({'pydantic', 'yaml', 'lark', 'numba'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_a_mapping_is_not_changed():
    written = plain_values(PUBLIC_EXAMPLE)
    before = json.dumps(written)
    Catalog.from_dict(written)
    assert json.dumps(written) == before
    written["actions"][0]["lver"] = 2
    before = json.dumps(written)
    with pytest.raises(CatalogError):
        Catalog.from_dict(written)
    assert json.dumps(written) == before
