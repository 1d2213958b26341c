"""Rules alone. `python -m benchmarks.bench_rules [ACTIONS ...]` prints what issue 4 asks; `python -m pytest benchmarks/bench_rules.py` times
the world of `world.py` (about 5 conditions over 40 facts, Ors, nulls, lists and times) by itself and with encoding the row.

Printed are the median and the least of single evaluations from an encoded row, customers taking turns, for conjunctions and general rules, with
shared constants and constants of their own (rule_world.py); a batch of 10,000 rows; the bytes of the tables; and what compiling took. Beside them one
generated Python function for the same rules, zen-engine (peers/zen.py) and cel-expr-python (peers/cel_expr.py), which read the customer's dict and so
also do what encoding does. The least is what the machine can do when nobody else uses it.
Where it loses: below some 50 rules generated Python is faster than encoding alone; rules that only the plain evaluator can answer cost 5 to 50 us
each and distinct text; above 10,000 actions with constants of their own, memory and time grow faster than the actions.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from statistics import median
from typing import Any

import numpy as np
import pytest

import nba_engine as nba
from benchmarks import rule_world, setting, world
from benchmarks.peers import cel_expr, generated, zen
from nba_engine.decision import _fill_eligible, _fill_terms
from nba_engine.facts.encoding import Encoder, Row
from nba_engine.facts.tables import encode_table
from nba_engine.facts.vocabulary import Vocabulary
from nba_engine.rules.index import RuleIndexBuilder
from nba_engine.rules.truth import Evaluation
from nba_engine.schema import Fact
from tests.kernel_cache import use_own_folder

BARS_US = {(1_000, False): 2.0, (10_000, False): 8.0, (100_000, False): 80.0, (1_000, True): 4.0, (10_000, True): 28.0, (100_000, True): 250.0}
PEERS_MAX, N_ROWS, CHUNK = 10_000, 10_000, 256


@pytest.fixture(scope="module", params=[100, 1_000, 10_000])
def made(request):
    return world.make(request.param)


@pytest.fixture(scope="module")
def state(made):
    return nba.Engine(setting.catalog(len(made.rules)))._memory.state


@pytest.fixture(scope="module")
def rows(state):
    return [encode(state.plan, facts) for facts in setting.customers()[:100]]


def encode(plan, facts):
    return plan.encoder.encode(facts, world.NOW * 1_000_000, "call", "inbound")


def evaluate(state, row) -> None:
    evaluation: Evaluation = state.work.rules
    evaluation.run(row, lambda _: {})


def test_rules_alone(benchmark, state, rows):
    following = itertools.cycle(rows)
    benchmark(lambda: evaluate(state, next(following)))


def test_encoding_and_rules(benchmark, state):
    following = itertools.cycle(setting.customers()[:100])
    benchmark(lambda: evaluate(state, encode(state.plan, next(following))))


@pytest.mark.parametrize("form", [generated.GeneratedRules, zen.ZenTable, zen.ZenExpression])
def test_instead(benchmark, made, form):
    try:
        peer = form(made)
    except ImportError as error:
        pytest.skip(str(error))
    following = itertools.cycle(world.customers(100))
    slow = form is zen.ZenTable and len(made.rules) > 1_000
    benchmark.pedantic(lambda: peer.decide(next(following)), rounds=5) if slow else benchmark(lambda: peer.decide(next(following)))


def test_stages_and_terms(benchmark, state, rows):
    plan, work = state.plan, state.work
    evaluate(state, rows[0])

    def both() -> None:
        _fill_eligible(1, work.rules.bits, plan.stage_words, plan.channel_masks, plan.n_available, plan.windows, work.at_us, work.channel_index,
                       plan.action, work.bits, work.counts)
        _fill_terms(1, work.bits, work.rules.values, work.rules.states, plan.numbers, plan.value_slots, plan.action, work.offsets, work.survivors,
                    work.terms, work.counts)

    benchmark(both)
    assert np.count_nonzero(work.survivors) > 1


def main(sizes: Sequence[int] = (1_000, 10_000, 100_000)) -> int:
    """Print every line of the table as it is measured."""
    use_own_folder()
    sys.stdout.write("| rules | constants | actions | median | least | bar | tables | compiled in |\n|---|---|---|---|---|---|---|---|\n")
    for general, shared, n in itertools.product((False, True), (True, False), sizes):
        for line in _lines(n, general, shared):
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
    return 0


def _lines(n: int, general: bool, shared: bool) -> Iterator[str]:
    what = f"| {'general' if general else 'conjunctions'} | {'shared' if shared else 'their own'} | {n:,} |"
    encoder = Encoder([Fact(name, type_) for name, type_ in rule_world.TYPES.items()], Vocabulary())
    columns = {column.name: (i, column.type) for i, column in enumerate(encoder.columns)}
    builder = RuleIndexBuilder(columns, len(columns), encoder.vocabulary.name)
    made, facts = list(rule_world.rules(n, general=general, shared=shared)), rule_world.customers(64)
    started = time.perf_counter()
    for rule in made:
        builder.target([rule_world.checked(clause) for clause in rule])
    index = builder.build()
    compiled_s = time.perf_counter() - started
    evaluation = Evaluation(index)
    rows: list[Row] = [encoder.encode(one, 0, "call", "inbound") for one in facts]
    us = _single(lambda row: evaluation.run(row, lambda _: {}), rows)
    bar = BARS_US.get((n, general))
    yield f"{what} {median(us):.1f} us | {min(us):.1f} us | {f'{bar:g} us' if bar else ''} | {index.nbytes / 1e6:.1f} MB | {compiled_s:.1f} s |"
    if n == 1_000:
        yield f"{what} 10,000 rows: {_batch(encoder, index, facts):,.0f} rows/s | | 500,000 rows/s | | |"
    if n > PEERS_MAX:
        return
    written, types = rule_world.world_of(made), {name: type_.kind for name, type_ in rule_world.TYPES.items()}
    for form in (generated.GeneratedRules, zen.ZenExpression, lambda own: cel_expr.CelExpressions(own, types)):
        try:
            peer = form(written)
        except ImportError as error:
            yield f"{what} left out: {error} | | | | |"
            continue
        times = _single(peer.decide, facts, seconds=1.0)
        yield f"{what} {type(peer).__name__}: {median(times):.0f} us | {min(times):.0f} us | | | |"


def _single(run: Callable[[Any], Any], given: Sequence[Any], seconds: float = 3.0) -> list[float]:
    """Microseconds of single calls, `given` taking turns."""
    for one in given[:8]:
        run(one)
    times, ends = list[float](), time.perf_counter() + seconds
    for one in itertools.cycle(given):
        started = time.perf_counter()
        run(one)
        stopped = time.perf_counter()
        times.append((stopped - started) * 1e6)
        if stopped > ends:
            return times
    return times


def _batch(encoder: Encoder, index: Any, facts: Sequence[dict[str, Any]]) -> float:
    """Rows a second over encoded columns, each chunk at its least of ten passes."""
    import pyarrow as pa

    table = pa.Table.from_pylist([facts[k % len(facts)] for k in range(N_ROWS)])
    rows = encode_table(encoder, table, np.zeros(N_ROWS, np.int64), [("call", "inbound")], np.zeros(N_ROWS, np.int64), [])
    chunks, evaluation = [rows.slice(a, min(a + CHUNK, N_ROWS)) for a in range(0, N_ROWS, CHUNK)], Evaluation(index, CHUNK)
    times = np.full((10, len(chunks)), np.inf)
    for turn, (k, chunk) in itertools.product(range(len(times)), enumerate(chunks)):
        started = time.perf_counter()
        evaluation.run(chunk, lambda _: {})
        times[turn, k] = time.perf_counter() - started
    return N_ROWS / times.min(axis=0).sum()


if __name__ == "__main__":
    sys.exit(main([int(text) for text in sys.argv[1:]] or (1_000, 10_000, 100_000)))
