"""Real data sets as lists of facts and a label per row, read from ../shared/data (UCI, CC BY 4.0).

What a number from them means: the share of rows on which a learner that sees only its own choice's outcome chose wrongly.
Where it loses: a classification made into a bandit has one right action per row and no noise in reward; offers are not like that.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from nba_engine.schema import BOOL, DOUBLE, INT, STRING, Type

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
_TYPES = {"int64": INT, "double": DOUBLE, "string": STRING, "bool": BOOL}


@dataclass(frozen=True, slots=True)
class ClassificationSet:
    """`facts`: column name -> its values in row order; `types`: column name -> CEL type; `labels` int[n]: position in `actions`."""

    name: str
    facts: dict[str, list[Any]]
    types: dict[str, Type]
    labels: np.ndarray
    actions: list[str]

    def row(self, i: int) -> dict[str, Any]:
        """The facts of one row, as `decide` takes them."""
        return {name: values[i] for name, values in self.facts.items()}


def read(name: str) -> ClassificationSet:
    """One of `SETS`."""
    file, label, dropped = SETS[name]
    table = pq.read_table(DATA / f"{file}.parquet")
    if "split" in table.column_names:
        table = table.filter([s == "train" for s in table["split"].to_pylist()])
    labels = [str(value) for value in table[label].to_pylist()]
    actions = sorted(set(labels))
    table = table.drop_columns([label, *dropped])
    return ClassificationSet(
        name=name,
        facts={column.replace("-", "_").replace(".", "_"): table[column].to_pylist() for column in table.column_names},
        types={field.name.replace("-", "_").replace(".", "_"): _TYPES[str(field.type)] for field in table.schema},
        labels=np.array([actions.index(value) for value in labels]),
        actions=actions,
    )


SETS = {
    "mushroom": ("mushroom", "class", ()),
    "statlog": ("statlog_shuttle", "label", ("split",)),
    "bank": ("bank_additional_full", "y", ("duration",)),
}
"""name -> (file, label column, columns that are no facts)."""
