"""What the business writes down, as frozen records: names, shapes, ranges and defaults of every key of a catalog.

Only what can be said of one value by itself is checked here. Whether names fit together stands in `references`, whether rules parse and fit
the facts in `catalog`, how a refusal is worded in `faults`. Durations are microseconds (`durations`), texts of rules stay texts.

A record is named after its section. Rooms that compute have their own records of some of these names (`ContactPolicy`, `Exploration`, `Fact` ...):
here stands what was written, there what it comes to.
"""

from __future__ import annotations

import numbers
import sys
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, PlainValidator, Strict, StringConstraints
from pydantic import field_validator, model_validator

from nba_engine import schema
from nba_engine.catalog.durations import FOREVER_US, duration_text, parse_duration, parse_moment, window_us
from nba_engine.catalog.fact_types import parse_fact_type, written_type
from nba_engine.contact.names import NO_RESPONSE

EPSILON_DEFAULT = 0.05
GAMMA_DEFAULT = 300.0
POSTERIOR_SCALE_DEFAULT = 0.3
UNIFORM_SHARE_DEFAULT = 0.01
SIMILARITY_AT_LEAST_DEFAULT = 0.5
COUNT_MAX = 1_000_000

Direction = Literal["inbound", "outbound"]
Text = Annotated[str, Strict()]
Name = Annotated[str, Strict(), StringConstraints(min_length=1)]
Flag = Annotated[bool, Strict()]
Number = Annotated[float, Strict(), Field(allow_inf_nan=False)]
Amount = Annotated[float, Strict(), Field(allow_inf_nan=False, ge=0, le=schema.VALUE_MAX)]
Share = Annotated[float, Strict(), Field(allow_inf_nan=False, ge=0, le=1)]
Duration = Annotated[int, PlainValidator(parse_duration), PlainSerializer(duration_text)]
Moment = Annotated[date, PlainValidator(parse_moment), PlainSerializer(lambda moment: moment.isoformat())]
FactType = Annotated[schema.Type, PlainValidator(parse_fact_type), PlainSerializer(written_type)]


def _several(written: object) -> object:
    """A single text where a list of texts is meant."""
    return (written,) if isinstance(written, str) else written


def _value(written: object) -> float | str:
    if isinstance(written, str) and written.strip():
        return str.__str__(written)
    if isinstance(written, numbers.Real) and not isinstance(written, int):
        written = float(written)
    if isinstance(written, int | float) and not isinstance(written, bool) and abs(written) <= sys.float_info.max:
        return float(written)
    raise ValueError("a number, or the text of an expression giving one")


def _whole(written: object) -> object:
    """An integral number of another library as an int."""
    return int(written) if isinstance(written, numbers.Integral) and not isinstance(written, bool) else written


def _similar_by(written: object) -> tuple[str, ...]:
    by = (written,) if isinstance(written, str) else written
    if isinstance(by, list | tuple) and by and all(name in ("group", "tags") for name in by):
        return tuple(dict.fromkeys(by))
    raise ValueError("group, tags or both (the issue alone makes nothing similar)")


def _classifier(written: object) -> str | list[Any] | dict[str, Any]:
    if isinstance(written, str | list | dict) and written:
        return written
    raise ValueError("the name of a classifier, a mapping of it to its parameters, or a list of such steps")


def _half_life(written: object) -> int:
    half_life_us = parse_duration(written)
    if half_life_us == 0:
        raise ValueError("a duration above 0 such as 90d, or forever")
    return half_life_us


def _sticky(written: object) -> int | None:
    if written == "interaction":
        return None
    try:
        window = parse_duration(written)
    except ValueError:
        window = 0
    if window == 0:
        raise ValueError("interaction, or a duration above 0 such as 7d")
    return window


def _written_sticky(window_us: int | None) -> str:
    return "interaction" if window_us is None else duration_text(window_us)


def _version(written: object) -> str:
    if isinstance(written, str):
        return str.__str__(written)  # the text itself, whatever an enumeration makes of it
    if isinstance(written, date | numbers.Integral) and not isinstance(written, bool):
        return str(written)
    raise ValueError('text; put it in quotes, such as "1.10"')


Rules = Annotated[tuple[Name, ...], BeforeValidator(_several)]


class Record(BaseModel):
    """A mapping with known keys; a key with nothing behind it counts as not written."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=False)

    @model_validator(mode="before")
    @classmethod
    def _leave_out_empty(cls, written: Any) -> Any:
        if written is None:
            return {}
        if not isinstance(written, Mapping):
            return written
        return {key: value for key, value in written.items() if value is not None or key not in keys_of(cls)}


def keys_of(model: type[BaseModel]) -> list[str]:
    """The keys of a record as people write them."""
    return [field.alias or name for name, field in model.model_fields.items()]


class Fact(Record):
    type: FactType
    origin: Literal["profile", "interaction"] = "profile"
    predictor: Flag = True
    sensitive: Flag = False
    immutable: Flag = False

    @model_validator(mode="before")
    @classmethod
    def _from_type_alone(cls, written: Any) -> Any:
        return {"type": written} if isinstance(written, str) else written


class Outcome(Record):
    """What a label means. `reward` trains the model, `value` is money; `revokes` names the label that is taken back."""

    reward: Share | None = None
    value: Number | None = None
    exposure: Literal["presented", "skipped"] | None = None
    revokes: Name | None = None


class Reason(Record):
    """Why it was declined. `suppress` and `similar` are durations of silence for the action and for those like it; None is no silence."""

    suppress: Duration | None = None
    similar: Duration | None = None
    scope: Literal["action", "channel", "subject"] = "action"
    direction: Direction | None = None
    learn: Flag = True


class Channel(Record):
    """`no_response` is how long silence may last after presentation before it counts as an answer; `FOREVER_US` is never."""

    direction: Direction = "inbound"
    presented: Literal["reported", "on_return"] = "reported"
    no_response: Duration = FOREVER_US
    consent: Name | None = None


class Ruled(Record):
    """Engagement rules in their order; all must be true. `lever` multiplies the levers above."""

    lever: Amount = 1.0
    eligibility: Rules = ()
    applicability: Rules = ()
    suitability: Rules = ()


class Model(Record):
    """Which model says how likely a positive answer is; its kind alone may stand for it. What customers answered half_life ago counts half.
    `classifier` is that of kind river: a name of river's, such as linear_model.LogisticRegression, a mapping of such a name to its parameters, or a
    list of them, a pipeline."""

    kind: Literal["probit", "probit_full", "linear", "naive_bayes", "beta_bernoulli", "river"] = "probit"
    classifier: Annotated[str | list[Any] | dict[str, Any] | None, PlainValidator(_classifier)] = None
    one_for_all: Flag = False
    half_life: Annotated[int, PlainValidator(_half_life), PlainSerializer(duration_text)] = FOREVER_US

    @model_validator(mode="before")
    @classmethod
    def _from_kind_alone(cls, written: Any) -> Any:
        return {"kind": written} if isinstance(written, str) else written

    @property
    def options(self) -> dict[str, Any]:
        """What the kind's maker is given."""
        if self.kind != "river":
            return {} if self.half_life >= FOREVER_US else {"half_life_us": self.half_life}
        return {"one_for_all": self.one_for_all, **({} if self.classifier is None else {"written": self.classifier})}


class Group(Ruled):
    explore: Flag = True


class Issue(Ruled):
    """`model` is that of its actions where they have none of their own."""

    explore: Flag = True
    model: Model | None = None
    groups: dict[Name, Group] = Field(default_factory=dict)


class Window(Record):
    """Days or moments, both inclusive; None is open."""

    start: Moment | None = Field(None, alias="from")
    end: Moment | None = Field(None, alias="until")


class Treatment(Ruled):
    """An action's form on one channel. `cost` and `script` are the action's where the treatment has none of its own."""

    id: Name
    channel: Name
    cost: Amount | None = None
    script: Text | None = None


class Action(Ruled):
    """Something that can be proposed. `value` is a number or the text of an expression giving one."""

    id: Name
    issue: Name | None = None
    group: Name | None = None
    value: Annotated[float | str, PlainValidator(_value)] = 1.0
    cost: Amount = 0.0
    script: Text | None = None
    explore: Flag = True
    tags: Annotated[tuple[Name, ...], BeforeValidator(_several)] = ()
    valid: Window = Window()
    null_action: Flag = False
    model: Model | None = None
    treatments: tuple[Treatment, ...] = ()

    @field_validator("treatments")
    @classmethod
    def _pass_down(cls, treatments: tuple[Treatment, ...], info: Any) -> tuple[Treatment, ...]:
        own = {"cost": info.data.get("cost", 0.0), "script": info.data.get("script")}
        return tuple(t.model_copy(update={k: v for k, v in own.items() if getattr(t, k) is None}) for t in treatments)


class Similarity(Record):
    """Actions are alike if they share their group, or if the Jaccard index of their tags is `at_least` this, by what `by` names."""

    by: Annotated[tuple[Literal["group", "tags"], ...], BeforeValidator(_similar_by)] = ("group", "tags")
    at_least: Annotated[float, Strict(), Field(gt=0, le=1)] = SIMILARITY_AT_LEAST_DEFAULT


class ContextWeight(Record):
    """Multiplies the priority of one issue, group or action while `when` is true. `issue` beside `group` says which group of that name."""

    when: Name
    issue: Name | None = None
    group: Name | None = None
    action: Name | None = None
    multiplier: Amount = 1.0


class ContactPolicy(Record):
    """`count` times `label` `within` a window closes the scope: for `suppress`, or while the count holds where that is None."""

    name: Name
    scope: Literal["action", "treatment", "group", "issue", "similar", "channel", "subject"]
    label: Name
    count: Annotated[int, BeforeValidator(_whole), Strict(), Field(ge=1, le=COUNT_MAX)] = 1
    within: Duration
    suppress: Duration | None = None
    per: Literal["offer", "interaction"] = "offer"
    direction: Direction | None = None


class ControlGroup(Record):
    name: Name
    share: Share
    kind: Literal["uniform", "nothing"]


class Exploration(Record):
    """How the slate is drawn. `sticky` is the window within which the noise stays, in microseconds; None is the interaction."""

    kind: Literal["thompson", "greedy", "epsilon", "squarecb", "uniform"] = "thompson"
    posterior_scale: Amount = POSTERIOR_SCALE_DEFAULT
    uniform_share: Share = UNIFORM_SHARE_DEFAULT
    sticky: Annotated[int | None, PlainValidator(_sticky), PlainSerializer(_written_sticky)] = None
    epsilon: Share = EPSILON_DEFAULT
    gamma: Annotated[float, Strict(), Field(allow_inf_nan=False, gt=0)] = GAMMA_DEFAULT


def _cell(written: object) -> str:
    if isinstance(written, bool):
        return str(written).lower()
    if written is None or isinstance(written, str | int | float):
        return "" if written is None else str(written).strip()
    raise ValueError("text, a number, true or false")


class Table(Record):
    """Rules of many actions as rows (see `tables`). `complete`: every customer is meant to find a row, so `check` looks for gaps.

    `file`: where the rows were read from; places of rows are then told as that file counts them.
    """

    name: Name
    stage: Literal["eligibility", "applicability", "suitability"] = "eligibility"
    complete: Flag = False
    file: Text | None = None
    rows: tuple[dict[Name, Annotated[str, PlainValidator(_cell)]], ...] = ()


def _everyday_outcomes() -> dict[str, Outcome]:
    return {
        "accepted": Outcome(reward=1.0),
        "declined": Outcome(reward=0.0),
        "presented": Outcome(exposure="presented"),
        "skipped": Outcome(exposure="skipped"),
    }


class Definition(Record):
    """A whole catalog as written, defaults filled in. Without a section `outcomes` the four everyday labels hold; `no_response` always does."""

    name: Name = "catalog"
    version: Annotated[str, PlainValidator(_version)] = ""
    timezone: Name = "UTC"
    facts: dict[Name, Fact] = Field(default_factory=dict)
    outcomes: dict[Name, Outcome] = Field(default_factory=_everyday_outcomes)
    reasons: dict[Name, Reason] = Field(default_factory=dict)
    channels: dict[Name, Channel] = Field(default_factory=dict)
    issues: dict[Name, Issue] = Field(default_factory=dict)
    actions: tuple[Action, ...] = ()
    tables: tuple[Table, ...] = ()
    similarity: Similarity = Similarity()
    context_weights: tuple[ContextWeight, ...] = ()
    contact_policies: tuple[ContactPolicy, ...] = ()
    control_groups: tuple[ControlGroup, ...] = ()
    exploration: Exploration = Exploration()
    model: Model = Model()
    challenger: Model | None = None
    crosses: tuple[tuple[Name, Name], ...] = ()

    @model_validator(mode="after")
    def _imply_no_response(self) -> Definition:
        self.outcomes.setdefault(NO_RESPONSE, Outcome(reward=0.0))
        return self

    def model_of(self, action: Action, default: Model | None = None) -> Model:
        """What is said of an action's model: its own word, else its issue's, else the catalog's (or `default` in its place)."""
        issue = self.issues.get(action.issue) if action.issue is not None else None
        return action.model or (issue.model if issue is not None else None) or default or self.model

    @property
    def model_kinds(self) -> set[str]:
        """The kinds of the models that actions have."""
        return {self.model_of(action).kind for action in self.actions if not action.null_action}

    def window_us(self, action: Action) -> tuple[int, int]:
        """First and last microsecond (UTC) at which the action is valid; an open end is `FOREVER_US` away."""
        return window_us(action.valid.start, action.valid.end, ZoneInfo(self.timezone))
