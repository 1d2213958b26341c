"""The truth about a small real log: Open Bandit, campaign "men" (ZOZO, Inc., CC BY 4.0; data/README.md), and what its targets would earn.

Two ways of choosing ran side by side at ZOZOTOWN in the same week: uniformly at random, and Bernoulli Thompson sampling (BTS). So an estimate
of BTS from the random log can be laid beside what BTS really earned. Pure functions over the shipped files; printing is the demo's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from nba_engine.replay.estimators import NORMAL_975, Estimate, estimate
from nba_engine.replay.importance import Float

N_ITEMS = 34
N_POSITIONS = 3
Int = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class OpenBanditLog:
    """One log in the order of time, one row per impression.

    `at_us` UTC microseconds; `position` 1 to 3; `item` 0 to 33; `click` 0.0 or 1.0; `p_log` the probability with which the item was chosen
    for that position; `user_features` four lists of hashed texts.
    """

    logging_policy: Literal["random", "bts"]
    at_us: Int
    position: Int
    item: Int
    click: Float
    p_log: Float
    user_features: Mapping[str, Sequence[str]]


class Row(NamedTuple):
    """One line of the act: a short name, what it says in words, and the estimate."""

    name: str
    about: str
    estimate: Estimate


def load(logging_policy: Literal["random", "bts"]) -> OpenBanditLog:
    """One of the two shipped logs, 10,000 rows."""
    table = _read(f"obd_{logging_policy}_men.parquet")
    return OpenBanditLog(
        logging_policy=logging_policy,
        at_us=table["timestamp"].cast("int64").to_numpy(),
        position=table["position"].to_numpy().astype(np.int64),
        item=table["item"].to_numpy().astype(np.int64),
        click=table["click"].to_numpy().astype(np.float64),
        p_log=table["p_log"].to_numpy(),
        user_features={name: table[name].to_pylist() for name in table.column_names if name.startswith("user_feature_")},
    )


def bts_pmf() -> Float:
    """BTS's probability of each item at each position, float64[3, 34]; row 0 is position 1."""
    table = _read("bts_men_pi_e.parquet")
    pmf = np.zeros((N_POSITIONS, N_ITEMS))
    pmf[table["position"].to_numpy() - 1, table["item"].to_numpy()] = table["p_target"].to_numpy()
    return pmf


def as_it_ran(log: OpenBanditLog) -> Estimate:
    """What the log itself earned per impression: its mean click."""
    return estimate("ips", reward=log.click, p_log=log.p_log, p_target=log.p_log, unsupported=np.zeros(len(log.click)))


def from_random(log: OpenBanditLog, p_target: npt.ArrayLike) -> Estimate:
    """SNIPS over the random log; it could choose every item, so every target over the 34 items has support.

    `p_target` is float64[10000]: the target's probability of the logged item on each row. For something that learns on the way, predict each
    row before it is learned from; the estimate is then of what it earns while it learns.
    """
    return estimate("snips", reward=log.click, p_log=log.p_log, p_target=p_target, unsupported=np.zeros(len(log.click)))


def truth(random: OpenBanditLog, bts: OpenBanditLog, p_engine: npt.ArrayLike | None = None) -> list[Row]:
    """The rows of the act, in the order in which they are told; the engine's where `p_engine` is given (see `from_random`)."""
    rarest = int(np.argmin(np.bincount(bts.item, minlength=N_ITEMS)))
    n_rarest = int(np.count_nonzero(bts.item == rarest))
    rows = [
        Row("random, as it ran", "what choosing uniformly at random really earned", as_it_ran(random)),
        Row("BTS, estimated", "what BTS would earn, from the random log alone", from_random(random, bts_pmf()[random.position - 1, random.item])),
        Row("BTS, as it ran", "what BTS really earned in the same week", as_it_ran(bts)),
        Row(
            "random, estimated",
            "the reverse: what uniform choice would earn, from the BTS log alone",
            _snips(bts, np.full(len(bts.item), 1 / N_ITEMS)),
        ),
        Row(
            f"always item {rarest}, estimated",
            f"always the item that BTS showed least ({n_rarest} times), from the BTS log alone",
            _snips(bts, (bts.item == rarest).astype(np.float64)),
        ),
    ]
    if p_engine is not None:
        about = "what this engine would earn while it learns, from the random log alone"
        rows.insert(3, Row("this engine, estimated", about, from_random(random, p_engine)))
    return rows


def reading(rows: Sequence[Row]) -> list[str]:
    """What so few clicks can and cannot show, in sentences whose numbers are computed from `truth`'s rows."""
    by_name = {row.name: row.estimate for row in rows}
    random, target, real = by_name["random, as it ran"], by_name["BTS, estimated"], by_name["BTS, as it ran"]
    low, high = target.interval
    half = (high - low) / 2
    apart = abs(target.value - real.value) / math.hypot(target.std_error, real.std_error)
    n_needed = target.n * (half / (0.1 * target.value)) ** 2
    sentences = [
        f"The random log holds {round(random.n * random.value)} clicks in {random.n:,} impressions. For BTS its rows count like {target.ess:,.0f}, "
        f"in which {target.ess * target.value:.0f} clicks are expected.",
        f"So the estimate of BTS is good to plus or minus {half:.4f}, {half / target.value:.0%} of itself: smaller differences between targets "
        f"do not show. To know it within a tenth, about {n_needed:,.0f} such impressions are needed.",
        f"What BTS really earned, {real.value:.4f}, lies {_where(real.value, target)} the interval of its estimate; the two figures are "
        f"{apart:.1f} standard errors apart ({NORMAL_975:.1f} would be hard to call chance). "
        f"That {'does not contradict' if apart < NORMAL_975 else 'contradicts'} the estimate; with so few clicks it proves little more.",
    ]
    if "this engine, estimated" in by_name:
        engine = by_name["this engine, estimated"]
        where = _where(random.value, engine)
        sentences.append(
            f"Whether this engine beats random choice these clicks {'cannot' if where == 'inside' else 'can'} say: what random choice earned, "
            f"{random.value:.4f}, lies {where} the engine's interval from {engine.interval[0]:.4f} to {engine.interval[1]:.4f}."
        )
    return sentences


def _where(value: float, target: Estimate) -> str:
    low, high = target.interval
    return "below" if value < low else "above" if value > high else "inside"


def _snips(log: OpenBanditLog, p_target: Float) -> Estimate:
    return estimate("snips", reward=log.click, p_log=log.p_log, p_target=p_target)


def _read(name: str) -> Any:
    from pyarrow import parquet

    with as_file(files("nba_engine") / "data" / name) as path:
        return parquet.read_table(path)
