"""A campaign overnight: decide for a whole table, write the offers down, and learn from what came back. The customers are made up.

Run it with `python examples/overnight.py`.
"""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

import nba_engine as nba

CATALOG = Path(__file__).with_name("catalog.yaml")


def customers(n: int, seed: int = 1) -> pa.Table:
    """Made-up facts, a row per customer, as they would come from a warehouse."""
    r = random.Random(seed)
    return pa.table({
        "subject": [f"customer-{i}" for i in range(n)],
        "channel": ["call"] * n,
        "age": [r.randrange(18, 90) for _ in range(n)],
        "monthly_bill": [round(r.uniform(20, 140), 2) for _ in range(n)],
        "products": [r.sample(["fibre", "mobile", "tv"], r.randrange(3)) for _ in range(n)],
        "intent": [r.choice(["buy", "cancel", None]) for _ in range(n)],
    })  # fmt: skip


def main(n: int = 2_000) -> tuple[int, int]:
    """Offers made and answers learned."""
    engine = nba.Engine(nba.Catalog.load(CATALOG))
    table = customers(n)
    offers = engine.decide_batch(table, limit=1, threads=2)
    made = offers.filter(pc.is_valid(offers.column("action")))
    # A day later: the offers that were shown, what each customer said, and the facts of the night before.
    answers = random.Random(2)
    history = made.select(["subject", "channel", "at", "action", "treatment", "rank", "selection_probability"])
    history = history.append_column("label", pa.array([answers.choice(["accepted", "declined", "declined"]) for _ in range(made.num_rows)]))
    facts = table.drop_columns(["subject", "channel"]).take(made.column("row"))
    for name in facts.column_names:
        history = history.append_column(name, facts.column(name))
    learned = engine.learn(history)
    print(f"{made.num_rows} of {n} customers got an offer, {learned} answers were learned")
    print(offers.slice(0, 3).select(["subject", "action", "propensity", "selection_probability"]).to_pylist())
    return made.num_rows, learned


if __name__ == "__main__":
    main()
