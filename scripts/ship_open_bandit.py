"""Make the Open Bandit files that the package ships (src/nba_engine/data) from the shared material beside this repository.

    python scripts/ship_open_bandit.py [folder of the shared material, default ../shared]

What changes on the way: user-item affinities are left out, columns are renamed (`propensity_score` -> `p_log`) and narrowed, times become
timestamps, and the positions of the target table are counted from 1 as in the logs. Item features are not shipped: the two logs number their
items alike, yet an item file belongs to one log and must not be joined to the other.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "src" / "nba_engine" / "data"
USER_FEATURES = [f"user_feature_{i}" for i in range(4)]


def ship_log(source: Path, target: Path) -> None:
    """One log, in the order in which it was written."""
    log = parquet.read_table(source)
    columns = {
        "timestamp": pa.array([pc.cast(text, pa.timestamp("us", "UTC")).as_py() for text in log["timestamp"]], pa.timestamp("us", "UTC")),
        "position": log["position"].cast(pa.int8()),
        "item": log["item_id"].cast(pa.int8()),
        "click": log["click"].cast(pa.int8()),
        "p_log": log["propensity_score"],
        **{name: log[name] for name in USER_FEATURES},
    }
    write(pa.table(columns), target)


def ship_target(source: Path, target: Path) -> None:
    """BTS's probability of each item at each position."""
    table = parquet.read_table(source)
    columns = {
        "position": pc.add(table["position"], 1).cast(pa.int8()),
        "item": table["action"].cast(pa.int8()),
        "p_target": table["pi_e"],
    }
    write(pa.table(columns), target)


def write(table: pa.Table, target: Path) -> None:
    """Compressed, without the writer's own metadata."""
    parquet.write_table(table.replace_schema_metadata(), target, compression="zstd", compression_level=19)
    sys.stdout.write(f"{target.relative_to(ROOT)}: {table.num_rows} rows, {target.stat().st_size:,} bytes\n")


def main(shared: Path) -> None:
    """All three files."""
    DATA.mkdir(exist_ok=True)
    ship_log(shared / "data" / "obd_random_men.parquet", DATA / "obd_random_men.parquet")
    ship_log(shared / "data" / "obd_bts_men.parquet", DATA / "obd_bts_men.parquet")
    ship_target(shared / "conformance" / "ope" / "obd_random_to_bts_men_tables.parquet", DATA / "bts_men_pi_e.parquet")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT.parent / "shared")
