"""A catalog that does not hold together: every fault at once, each said once, where it stands."""

from __future__ import annotations

import json
from datetime import date

import pytest

from nba_engine.catalog import Catalog, loading
from nba_engine.errors import CatalogError
from tests.test_catalog import PUBLIC_EXAMPLE

FAULTY = """\
name: telco
facts:
  age: int
  bill: duble
  consent: string
outcomes:
  accepted: {reward: 2}
  cancelled: {revokes: acepted}
channels:
  mail: {direction: outbund, consent: consent}
issues: {sales: {groups: {cards: {}}}}
actions:
  - id: gold
    issue: sales
    group: card
    eligibilty: ["age >= 18"]
    applicability:
      - "age >= 18"
      - "ages < 75"
    suitability: "age >= "
  - {id: gold, issue: sales, group: cards, value: "bill * 2.0"}
contact_policies:
  - {name: rest, scope: action, label: accepted, within: 30}
"""

PLACES = [
    ("facts.bill.type", 4, 9, "came 'duble', needed a type such as int, double"),
    ("outcomes.accepted.reward", 7, 22, "came 2, needed at most 1"),
    ("outcomes.cancelled.revokes", 8, 24, "came the label 'acepted', needed one that outcomes declares; did you mean 'accepted'?"),
    ("channels.mail.direction", 10, 21, "came 'outbund', needed one of inbound, outbound; did you mean 'outbound'?"),
    ("channels.mail.consent", 10, 39, "came the fact 'consent' of type string, needed one of type bool"),
    ("actions[0].group", 15, 12, "came the group 'card', needed one of the issue 'sales'; did you mean 'cards'?"),
    ("actions[0].eligibilty", 16, 5, "came the unknown key 'eligibilty'; did you mean 'eligibility'?"),
    ("actions[0].applicability[1]", 19, 9, "unknown fact 'ages'; did you mean 'age'?"),
    ("actions[0].suitability[0]", 20, 18, "the expression ends too soon"),
    ("actions[1].id", 21, 10, "the action 'gold' stands here twice (first in line 13)"),
    ("contact_policies[0].within", 23, 58, "came 30, needed a duration such as 30d"),
]


def faults_of(mapping):
    with pytest.raises(CatalogError) as caught:
        Catalog.from_dict(mapping)
    return [(fault.place, fault.message) for fault in caught.value.faults]


def faults_in(tmp_path, text, suffix=".yaml"):
    path = tmp_path / f"catalog{suffix}"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CatalogError) as caught:
        Catalog.load(path)
    assert caught.value.source == str(path)
    return [(fault.place, fault.line, fault.column, fault.message) for fault in caught.value.faults]


def one_fault(place, message, **sections):
    [(found_place, found_message)] = faults_of(sections)
    assert (found_place, found_message[: len(message)]) == (place, message)


def test_all_faults_at_once_each_once_where_it_stands(tmp_path):
    found = faults_in(tmp_path, FAULTY)
    assert [fault[:3] for fault in found] == [place[:3] for place in PLACES]
    for fault, (*_, message) in zip(found, PLACES, strict=True):
        assert fault[3].startswith(message)


def test_the_text_of_the_error_shows_the_rule_with_a_caret(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("facts: {age: int}\nactions:\n  - id: a\n    eligibility: ['age > 3 && ages < 75']\n")
    with pytest.raises(CatalogError) as caught:
        Catalog.load(path)
    assert str(caught.value) == (
        f"{path}: 1 fault\n"
        "  actions[0].eligibility[0] (line 4, column 19): unknown fact 'ages'; did you mean 'age'?\n"
        "      age > 3 && ages < 75\n"
        "                 ^"
    )
    assert caught.value.faults[0].excerpt == "age > 3 && ages < 75\n           ^"


def test_json_has_lines_and_columns_too(tmp_path):
    text = '{\n\t"facts": {"age": "int"},\n\t"actions": [\n\t\t{"id": "a"},\n\t\t{"id": "b", "lever": "2", "eligibility": ["age"]}\n\t]\n}'
    assert [fault[:3] for fault in faults_in(tmp_path, text, ".json")] == [("actions[1].lever", 5, 24), ("actions[1].eligibility[0]", 5, 45)]


def test_a_mapping_has_places_without_lines():
    with pytest.raises(CatalogError) as caught:
        Catalog.from_dict({"actions": [{"id": "a", "lever": -1}]})
    [fault] = caught.value.faults
    assert (fault.place, fault.message, fault.line, fault.column) == ("actions[0].lever", "came -1, needed at least 0", None, None)
    assert str(caught.value) == "catalog: 1 fault\n  actions[0].lever: came -1, needed at least 0"


def test_a_misspelt_section_is_followed_under_the_name_it_was_meant_to_have(tmp_path):
    text = "fact: {age: int, bill: duble}\nactions: [{id: a, eligibility: age > 1 && bill > 2}]\n"
    assert [fault[:3] for fault in faults_in(tmp_path, text)] == [("fact", 1, 1), ("fact.bill.type", 1, 24)]


@pytest.mark.parametrize("sections", [
    {"outcomes": [], "contact_policies": [{"name": "p", "scope": "action", "label": "lost", "within": "1d"}]},
    {"facts": 3, "actions": [{"id": "a", "eligibility": "age > 3"}]},
    {"channels": "call", "actions": [{"id": "a", "treatments": [{"id": "t", "channel": "call"}]}]},
    {"issues": [], "actions": [{"id": "a", "issue": "i", "group": "g"}]},
    {"issues": {"i": {"groups": 3}}, "actions": [{"id": "a", "issue": "i", "group": "g"}]},
    {"facts": {"age": "it's"}, "actions": [{"id": "a", "eligibility": "age > 3"}]},
    {"actions": [{"id": 5}, {"id": "a"}]},
    {"issues": {"i": {}}, "actions": [{"id": "a", "issue": 5}]},
    {"actions": [7]},
    {"actions": [{"id": "a", "eligibility": [7]}]},
    {"actions": [{"id": "a", "eligibility": ""}]},
    {"similarity": {"by": ["issue"]}},
    {"similarity": {"by": [["group"]]}},
    {"issues": {"i": {}}, "actions": [{"id": "a", "null_action": "yes"}]},
    {"issues": {"i": {"groups": 3}}, "context_weights": [{"when": "true", "group": "g"}]},
    {"issues": {"i": 3}, "context_weights": [{"when": "true", "group": "g"}]},
    {"context_weights": [{"when": "true", "issue": 3}]},
])  # fmt: skip
def test_one_mistake_is_one_fault(sections):
    assert len(faults_of(sections)) == 1


def test_names_that_must_exist():
    taxonomy = {"issues": {"sales": {"groups": {"cards": {}}}}}
    one_fault("actions[0].issue", "came the issue 'sale', needed one that issues declares; did you mean 'sales'?",
              actions=[{"id": "a", "issue": "sale", "group": "cards"}], **taxonomy)  # fmt: skip
    one_fault("actions[0]", "'issue' is missing: add it; known are sales", actions=[{"id": "a"}], **taxonomy)
    one_fault("actions[0]", "'group' is missing: add it; known are cards", actions=[{"id": "a", "issue": "sales"}], **taxonomy)
    one_fault("actions[0].group", "came the group 'cards' without an issue", actions=[{"id": "a", "group": "cards"}])
    one_fault("actions[0].treatments[0].channel", "came the channel 'cal', needed one that channels declares; did you mean 'call'?",
              channels={"call": {}}, actions=[{"id": "a", "treatments": [{"id": "t", "channel": "cal"}]}])  # fmt: skip
    one_fault("channels.mail.consent", "came the fact 'agreed', needed one that facts declares; did you mean 'agreed_mail'?",
              facts={"agreed_mail": "bool"}, channels={"mail": {"consent": "agreed"}})  # fmt: skip
    one_fault("contact_policies[0].label", "came the label 'decline', needed one that outcomes declares; did you mean 'declined'?",
              contact_policies=[{"name": "p", "scope": "action", "label": "decline", "within": "1d"}])  # fmt: skip
    one_fault("outcomes.back.revokes", "came the label 'back'", outcomes={"yes": {"reward": 1}, "back": {"revokes": "back"}})


def test_contact_policies_may_name_presented_and_no_response_without_their_declaration():
    policies = [{"name": label, "scope": "subject", "label": label, "within": "1d"} for label in ("presented", "no_response")]
    assert len(Catalog.from_dict({"outcomes": {"yes": {"reward": 1}}, "contact_policies": policies}).definition.contact_policies) == 2


def test_targets_of_context_weights():
    base = {"issues": {"i": {"groups": {"g": {}, "h": {}}}, "j": {"groups": {"g": {}}}}}
    one_fault("context_weights[0]", "came none of them, needed one of issue, group and action", context_weights=[{"when": "true"}], **base)
    one_fault("context_weights[0]", "came several of them", context_weights=[{"when": "true", "issue": "i", "action": "a"}], **base)
    one_fault("context_weights[0].group", "the group 'g' stands in the issues i, j", context_weights=[{"when": "true", "group": "g"}], **base)
    one_fault("context_weights[0].group", "came the group 'h', needed", context_weights=[{"when": "true", "group": "h", "issue": "j"}], **base)
    one_fault("context_weights[0].action", "came the action 'a', needed one that actions declares", context_weights=[{"when": "true", "action": "a"}])
    good = [{"when": "true", "group": "g", "issue": "j"}, {"when": "true", "group": "h"}]
    assert len(Catalog.from_dict({"context_weights": good, **base}).definition.context_weights) == 2


def test_what_must_differ():
    action = {"id": "a", "treatments": [{"id": "t", "channel": "c"}, {"id": "t", "channel": "c"}]}
    one_fault("actions[0].treatments[1].id", "the treatment 't' stands here twice (first at actions[0].treatments[0].id): rename",
              channels={"c": {}}, actions=[action])  # fmt: skip
    policy = {"name": "p", "scope": "action", "label": "declined", "within": "1d"}
    one_fault("contact_policies[1].name", "the contact policy 'p' stands here twice", contact_policies=[policy, policy])
    group = {"name": "g", "share": 0.1, "kind": "nothing"}
    one_fault("control_groups[1].name", "the control group 'g' stands here twice", control_groups=[group, group])
    one_fault("actions[2].null_action", "came a second null action, needed at most one: 'a' is one already",
              actions=[{"id": "a", "null_action": True}, {"id": "b"}, {"id": "c", "null_action": True}])  # fmt: skip


def test_numbers_and_times_that_do_not_fit():
    groups = [{"name": name, "share": 0.6, "kind": "uniform"} for name in "ab"]
    one_fault("control_groups", "came shares that sum to 1.2, needed at most 1", control_groups=groups)
    one_fault("actions[0].valid", "from 2026-02-01 is after until 2026-01-31: exchange them",
              actions=[{"id": "a", "valid": {"from": date(2026, 2, 1), "until": "2026-01-31"}}])  # fmt: skip
    one_fault("actions[0].valid.from", "came '2026-13-01', needed a date such as", actions=[{"id": "a", "valid": {"from": "2026-13-01"}}])
    one_fault("timezone", "came 'Mars/Olympus', needed a zone of the IANA list", timezone="Mars/Olympus")
    one_fault("timezone", "came '../etc/passwd', needed a zone", timezone="../etc/passwd")
    one_fault("exploration.uniform_share", "came 1.5, needed at most 1", exploration={"uniform_share": 1.5})
    one_fault("exploration.sticky", "came '0s', needed interaction, or a duration above 0", exploration={"sticky": "0s"})
    one_fault("exploration.posterior_scale", "came inf, needed a finite number", exploration={"posterior_scale": float("inf")})
    one_fault("exploration.kind", "came 'thomson', needed one of thompson, greedy", exploration={"kind": "thomson"})
    one_fault("similarity.at_least", "came 0, needed more than 0", similarity={"at_least": 0})
    one_fault("contact_policies[0].count", "came 1.5, needed a whole number",
              contact_policies=[{"name": "p", "scope": "action", "label": "declined", "within": "1d", "count": 1.5}])  # fmt: skip


def test_a_date_that_is_none():
    """The empty cell of a data frame is a datetime that equals nothing, itself included."""
    missing = pytest.importorskip("pandas").NaT
    one_fault("actions[0].valid.from", "came NaTType NaT, needed a date", actions=[{"id": "a", "valid": {"from": missing}}])


def test_kinds_are_kept_apart():
    one_fault("actions[0].null_action", "came 1, needed true or false", actions=[{"id": "a", "null_action": 1}])
    one_fault("actions[0].lever", "came true, needed a number", actions=[{"id": "a", "lever": True}])
    one_fault("actions[0].cost", "came '3', needed a number", actions=[{"id": "a", "cost": "3"}])
    one_fault("actions[0].tags[1]", "came 2, needed text: put it in quotes", actions=[{"id": "a", "tags": ["x", 2]}])
    one_fault("actions[0].value", "came nan, needed a number, or the text of an expression", actions=[{"id": "a", "value": float("nan")}])
    one_fault("version", "came 1.1, needed text; put it in quotes", version=1.1)
    one_fault("facts[5]", "came 5 as a key, needed text: put it in quotes", facts={5: "int"})
    one_fault("issues.", "came '' as a key, needed at least one character", issues={"": {}})
    one_fault("actions[0][3]", "came 3, needed text as a key", actions=[{"id": "a", 3: 4}])
    one_fault("actions[0].value", "came 1000", actions=[{"id": "a", "value": 10**400}])
    one_fault("contact_policies[0].count", "came 1000000000000", contact_policies=[
        {"name": "p", "scope": "action", "label": "declined", "within": "1d", "count": 10**30}])
    one_fault("actions[0]", "'id' is missing: add it", actions=[{}])
    one_fault("actions", "came a mapping, needed a list", actions={"id": "a"})


def test_outcomes_that_contradict_themselves():
    one_fault("outcomes.skipped.reward", "came reward beside exposure skipped", outcomes={"skipped": {"exposure": "skipped", "reward": 0}})
    one_fault("outcomes.back.reward", "came a reward beside revokes", outcomes={"yes": {"reward": 1}, "back": {"revokes": "yes", "reward": 0}})


@pytest.mark.parametrize(("name", "needed"), [
    ("now", "another name, rules have this one built in"), ("channel", "another name, rules"), ("for", "another name, CEL keeps this word"),
    ("in", "another name, CEL keeps"), ("two words", "letters, digits and _"), ("1st", "letters, digits and _"), ("a.b", "letters"),
])  # fmt: skip
def test_names_that_facts_cannot_have(name, needed):
    one_fault(f"facts.{name}", f"came the fact name {name!r}, needed {needed}", facts={name: "int"})


@pytest.mark.parametrize("written", ["strng", "list<int", "null", "dyn", "type", {}, [], 3, {"a": {"b": "strng"}}, {"a b": "int"}])
def test_types_that_facts_cannot_have(written):
    [(place, message)] = faults_of({"facts": {"x": {"type": written}}})
    assert place == "facts.x.type" and "needed" in message


def test_rules_must_be_bool_and_values_numbers():
    facts = {"age": "int", "tariff": "string"}
    one_fault("actions[0].eligibility[0]", "came a rule of type int, needed bool", facts=facts, actions=[{"id": "a", "eligibility": "age"}])
    one_fault("actions[0].value", "came a value of type string, needed a number", facts=facts, actions=[{"id": "a", "value": "tariff"}])
    one_fault("context_weights[0].when", "came a rule of type string, needed bool",
              facts=facts, actions=[{"id": "a"}], context_weights=[{"when": "tariff", "action": "a"}])  # fmt: skip


def test_a_rule_too_large_to_compile_is_a_fault_with_a_place():
    large = " || ".join(f"(age > {i} && age < {i + 2})" for i in range(2000))
    one_fault("actions[0].eligibility[0]", "the rule has more than 4096 parts", facts={"age": "int"}, actions=[{"id": "a", "eligibility": large}])


def test_a_null_action_has_no_treatments():
    action = {"id": "a", "null_action": True, "treatments": [{"id": "t", "channel": "c"}]}
    one_fault("actions[0].treatments", "came treatments of a null action", channels={"c": {}}, actions=[action])


@pytest.mark.parametrize(("named", "place", "problem"), [
    ({"issue": "nowhere"}, "actions[0].issue", "came the issue 'nowhere', needed one that issues declares"),
    ({"issue": "nowhere", "group": "g"}, "actions[0].issue", "came the issue 'nowhere'"),
    ({"issue": "i", "group": "h"}, "actions[0].group", "came the group 'h', needed one of the issue 'i'"),
    ({"group": "g"}, "actions[0].group", "came the group 'g' without an issue"),
])  # fmt: skip
def test_what_a_null_action_names_must_exist(named, place, problem):
    mapping = {"issues": {"i": {"groups": {"g": {}}}},
               "actions": [{"id": "n", "null_action": True, **named}, {"id": "x", "issue": "i", "group": "g"}]}
    with pytest.raises(CatalogError) as caught:
        Catalog.from_dict(mapping)
    assert [f.place for f in caught.value.faults] == [place] and problem in caught.value.faults[0].message


@pytest.mark.parametrize("named", [{}, {"issue": "i"}, {"issue": "i", "group": "g"}])
def test_a_null_action_may_name_no_issue_or_one_that_exists(named):
    mapping = {"issues": {"i": {"groups": {"g": {}}}},
               "actions": [{"id": "n", "null_action": True, **named}, {"id": "x", "issue": "i", "group": "g"}]}
    assert not [f for f in Catalog.from_dict(mapping).check() if f.severity == "error"]


def test_a_mapping_that_holds_itself_is_refused():
    struct = {}
    struct["inner"] = struct
    [(place, message)] = faults_of({"facts": {"x": {"type": struct}}, "actions": [{"idd": "a"}]})[:1]
    assert place == "facts.x.type" and "FACT_DEPTH_MAX" in message


JUNK = [None, 3, True, -1.5, float("nan"), "", "age >", [], ["x"], [["x"]], {}, {"a": 1}, b"x", 10**400]


def test_whatever_stands_in_a_catalog_only_faults_come_of_it():
    import yaml

    def paths(value, path=()):
        yield path
        for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
            yield from paths(value[key], (*path, key))

    whole = json.dumps(yaml.safe_load(PUBLIC_EXAMPLE), default=str)
    for n, path in enumerate(list(paths(json.loads(whole)))[1:]):
        written = json.loads(whole)
        inside = written
        for key in path[:-1]:
            inside = inside[key]
        inside[path[-1]] = JUNK[n % len(JUNK)]
        try:
            Catalog.from_dict(written).check()
        except CatalogError as error:
            assert error.faults and all(fault.message for fault in error.faults)


class TestFiles:
    def test_keys_that_stand_twice(self, tmp_path):
        yaml = "name: a\nactions:\n  - id: a\n    lever: 1\n    lever: 2\nname: b\n"
        assert [fault[:3] for fault in faults_in(tmp_path, yaml)] == [("actions[0].lever", 5, 5), ("name", 6, 1)]
        [(place, line, column, message)] = faults_in(tmp_path, '{"name": "a",\n "name": "b"}', ".json")
        assert (place, line, column) == ("name", 2, 2) and "stands here twice (first in line 1)" in message

    @pytest.mark.parametrize("text", ["!!python/object/apply:os.system ['true']", "name: !!python/name:os.system x", "name: !mine x",
                                      "facts: !!set {a}", "name: !!binary aGk="])  # fmt: skip
    def test_tags_are_refused(self, tmp_path, text):
        [fault] = faults_in(tmp_path, text)
        assert "is refused, a catalog holds plain values only" in fault[3]

    def test_plain_tags_are_taken(self, tmp_path):
        path = tmp_path / "c.yaml"
        path.write_text('name: !!str 5\nactions: [{id: ! 7, lever: !!float "2"}]\n')
        assert [Catalog.load(path).name, Catalog.load(path).definition.actions[0].id] == ["5", "7"]

    def test_an_alias_bomb_is_refused_before_it_swells(self, tmp_path):
        lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
        lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
        [fault] = faults_in(tmp_path, "\n".join(lines))
        assert "CATALOG_ALIAS_VALUES_MAX" in fault[3] and fault[1] <= 7

    def test_an_anchor_cannot_hold_itself(self, tmp_path):
        [fault] = faults_in(tmp_path, "actions: &a [*a]")
        assert fault[:3] == ("actions[0]", 1, 14) and "cannot hold itself" in fault[3]
        [fault] = faults_in(tmp_path, "actions: [*a]")
        assert fault[:3] == ("actions[0]", 1, 11) and "*a names no anchor that stands above it" in fault[3]

    def test_a_key_that_is_no_text_is_told_where_its_mapping_stands(self, tmp_path):
        assert [faults_in(tmp_path, text)[0][0] for text in ("[a]: b", "facts: {{a: b}: int}")] == ["", "facts"]

    @pytest.mark.parametrize("suffix", [".yaml", ".json"])
    @pytest.mark.parametrize("depth", [33, 5_000, 200_000])
    def test_depth_is_capped(self, tmp_path, suffix, depth):
        [fault] = faults_in(tmp_path, "[" * depth + "]" * depth, suffix)
        assert "CATALOG_DEPTH_MAX" in fault[3]

    def test_size_is_capped(self, tmp_path, monkeypatch):
        monkeypatch.setattr(loading, "CATALOG_BYTES_MAX", 10)
        [fault] = faults_in(tmp_path, "name: a very long name")
        assert fault[3] == "came 22 bytes, at most 10 are read (CATALOG_BYTES_MAX): split the catalog"

    @pytest.mark.parametrize(("suffix", "text", "place", "message"), [
        (".yaml", "name: [a\nb: 2", (2, 2), "this is not YAML"), (".yaml", "name: 'a", (1, 9), "this is not YAML"),
        (".yaml", "name: a\n---\nname: b", (2, 1), "came a second document"), (".yaml", "- a", (1, 1), "came a list, needed a mapping"),
        (".yaml", "[a]: b", (1, 1), "came a mapping or list as a key"), (".yaml", "name: *nobody", (1, 7), "the alias *nobody"),
        (".yaml", "", (None, None), "came nothing, needed a mapping"), (".json", "", (1, 1), "this is not JSON"),
        (".json", '{"name" "a"}', (1, 9), "this is not JSON"), (".json", '{"similarity": {"at_least": NaN}}', (1, 29), "came nan, needed"),
        (".json", "[1]", (1, 1), "came a list, needed a mapping"), (".toml", "", (None, None), "came a file that ends in '.toml'"),
    ])  # fmt: skip
    def test_files_that_are_no_catalog(self, tmp_path, suffix, text, place, message):
        [fault] = faults_in(tmp_path, text, suffix)
        assert (fault[1:3], fault[3][: len(message)]) == (place, message)

    def test_a_file_that_is_not_there_or_not_text(self, tmp_path):
        with pytest.raises(CatalogError, match="the file cannot be read"):
            Catalog.load(tmp_path / "none.yaml")
        (tmp_path / "latin.yaml").write_bytes("name: Z\xfcrich".encode("latin-1"))
        with pytest.raises(CatalogError, match=r"not UTF-8 \(byte 7\)"):
            Catalog.load(tmp_path / "latin.yaml")

    def test_json_texts_keep_their_meaning(self, tmp_path):
        path = tmp_path / "c.json"
        path.write_text(json.dumps({"name": 'a "{[,:]}" \\ \U0001f600', "actions": [{"id": "x", "tags": [], "valid": {}}, {"id": "y"}]}))
        assert Catalog.load(path).name == 'a "{[,:]}" \\ \U0001f600'
