"""Made-up past contacts for the call, so that the engine has something to go by: 1,500 answers drawn from rates written below."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np
import pyarrow as pa

from nba_engine.catalog.catalog import Catalog

N_CONTACTS = 1500
ACCEPT_RATES = {
    "unlimited-plus": 0.22,
    "unlimited-max": 0.12,
    "data-booster": 0.15,
    "loyalty-credit": 0.32,
    "tariff-check": 0.28,
    "television-trial": 0.10,
    "complaint-follow-up": 0.50,
}
"""How often each action of data/contact_centre.yaml is accepted by a customer of middling churn risk; invented."""

_START = datetime(2025, 9, 1, 8, tzinfo=timezone.utc)


def past_contacts(catalog: Catalog) -> pa.Table:
    """A table as `Engine.learn` takes it. The higher the risk of churn, the fewer accept; the same table each time."""
    rng = np.random.default_rng(42)
    forms = [(action.id, t.id, t.channel) for action in catalog.definition.actions for t in action.treatments if t.channel != "email"]
    rows: list[dict[str, Any]] = []
    for i in range(N_CONTACTS):
        action, treatment, channel = forms[rng.integers(len(forms))]
        churn_risk = float(rng.uniform())
        accepted = rng.uniform() < ACCEPT_RATES[action] * (1.3 - 0.6 * churn_risk)
        rows.append({
            "subject": f"past-{i}",
            "channel": channel,
            "at": _START + timedelta(hours=2 * i),
            "action": action,
            "treatment": treatment,
            "label": "accepted" if accepted else "declined",
            "churn_risk": churn_risk,
            "monthly_bill": float(rng.uniform(20.0, 110.0)),
            "tenure_months": int(rng.integers(1, 120)),
            "tariff": str(rng.choice(["mobile-5", "mobile-20", "home"])),
            "products": [["mobile"], ["mobile", "television"], ["internet"]][rng.integers(3)],
            "open_complaints": int(rng.uniform() < 0.1),
            "intent": str(rng.choice(["cancel", "bill", "question"])),
        })
    return pa.Table.from_pylist(rows)
