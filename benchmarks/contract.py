"""The figures beyond one decision on one thread: many actions, threads, tables of rows, memory, start, HTTP, and what a user would pick instead.

`report.py` writes them below those of figures.py. What cannot be measured here (a library that is not installed, a method the engine does not have)
is left out with a line that says so; nothing is guessed. Pairs that are compared take turns.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import nba_engine as nba
from benchmarks import bench_batch, bench_decide, bench_learn, bench_memory, bench_start, setting, threads, world
from benchmarks.figures import Figures
from benchmarks.measuring import Case, Timing, alternating
from benchmarks.peers import generated, gittins_, vw

Found = tuple[dict[str, Timing], dict[str, float]]
N_RELOADS = 10


def measure(effort: float = 1.0) -> Figures:
    """All of them, about two minutes; `effort` below 1 takes fewer calls."""
    timings: dict[str, Timing] = {}
    numbers: dict[str, float] = {}
    for group in (_many_actions, _peers, _after_rules, _threads, _batch, _learn, _memory, _start, _http):
        found = group(effort)
        timings |= found[0]
        numbers |= found[1]
    return Figures(timings, numbers)


def _left_out(what: str, why: object) -> Found:
    sys.stderr.write(f"left out: {what}: {why}\n")
    return {}, {}


def measure_for_check() -> Figures:
    """The pairs of `check.py`, some seconds: 1,000 and 4,000 actions, LinUCB in numpy, and one row of a table beside one decision."""
    timings, _ = _growing((1_000, 4_000), 100)
    own, facts = "decide, open, 200 x 20", setting.open_customers(20)
    with bench_decide.taught_engine(*bench_decide.SMALL) as engine:
        numpy = bench_decide.taught_peer("LinUCB in numpy", 20)
        timings |= alternating({own: Case(setting.deciding(engine, facts, limit=1)), "LinUCB in numpy": Case(_asked(numpy, facts))}, 5, 20, 10)
    catalog, rows, facts = bench_batch.rules_rows()
    with nba.Engine(catalog) as engine:
        setting.teach(engine, facts, 300)
        timings |= alternating({"decide, the same rows": Case(setting.deciding(engine, facts, limit=1))}, 3, 200)
    for method, whole, n_rows in ((_batch, "decide_batch, rules", bench_batch.N_ROWS), (_learn, "learn, rules", bench_learn.N_ROWS)):
        found = method(0.3)[0].get(whole)
        if found is not None:
            timings[f"{whole.partition(',')[0]}, a row"] = Timing(found.p50 / n_rows, found.p99 / n_rows)
    return Figures(timings, {})


def _many_actions(effort: float) -> Found:
    return _growing((1_000, 10_000), _n(300, effort))


def _growing(sizes: tuple[int, int], n_calls: int) -> Found:
    with ExitStack() as stack:
        engines = {n: stack.enter_context(nba.Engine(setting.catalog(n))) for n in sizes}
        cases = {f"decide, {n:,} actions": Case(setting.deciding(engine, setting.customers())) for n, engine in engines.items()}
        timings = alternating(cases, 7, n_calls)
        funnels = [engines[sizes[1]].decide("s", channel="call", facts=facts, at=world.AT).funnel for facts in setting.customers()]
        return timings, {f"eligible of {sizes[1]:,}": sum(funnel["eligibility"] for funnel in funnels) / len(funnels)}


def _peers(effort: float) -> Found:
    """Each library on its own size, in turn with ours; one choice each."""
    timings: dict[str, Timing] = {}
    for size in (bench_decide.SMALL, bench_decide.LARGE):
        facts, names = setting.open_customers(size[1]), [name for name, (_, own, _) in bench_decide.PEERS.items() if own == size]
        with bench_decide.taught_engine(*size) as engine:
            cases = {f"decide, open, {size[0]:,} x {size[1]}": Case(setting.deciding(engine, facts, limit=1))}
            for name in names:
                try:
                    cases[name] = Case(_asked(bench_decide.taught_peer(name), facts))
                except ImportError as error:
                    _left_out(name, error)
            timings |= alternating(cases, 5, _n(100, effort), 10)
    return timings, {}


def _asked(peer: Any, facts: list[dict[str, Any]]) -> Callable[[int], Any]:
    return lambda k: peer.decide(facts[k % len(facts)])


def _after_rules(effort: float) -> Found:
    """1,000 actions of which rules leave a fifth: ours, and generated Python for the rules with a library for what is left."""
    customers, rules = world.customers(setting.N_CUSTOMERS), generated.GeneratedRules(world.make(1_000))
    with nba.Engine(setting.catalog(1_000)) as engine:
        setting.teach(engine, setting.customers())
        cases = {"decide, rules": Case(setting.deciding(engine, setting.customers(), limit=1))}
        for name, make in (("gittins", gittins_.Gittins), ("VW ADF", vw.AdfVw)):
            try:
                bandit: Any = make(1_000)
            except ImportError as error:
                _left_out(name, error)
                continue
            cases[f"rules, then {name}"] = Case(_asked_after(rules, bandit, customers))
        return alternating(cases, 5, _n(40, effort), 20), {}


def _asked_after(rules: generated.GeneratedRules, bandit: Any, customers: list[dict[str, Any]]) -> Callable[[int], Any]:
    n = len(customers)
    return lambda k: bandit.decide_among(customers[k % n], rules.decide(customers[k % n]))


def _threads(effort: float) -> Found:
    load = threads.measure(1.5 * effort, 3, _n(N_RELOADS, effort, 1))
    named = {"alone": load.alone, "together": load.together, "a kernel": load.kernel, "a Python loop": load.python, "reloading": load.reloading}
    timings = {f"threads, {name}": timing for name, timing in named.items() if timing is not None}
    return timings, {"scheduler us": load.scheduler_us, "decisions/s of 4 threads": load.decisions_per_s, "ms of a reload": load.reload_ms}


def _batch(effort: float) -> Found:
    timings: dict[str, Timing] = {}
    for name, rows_of in (("rules", bench_batch.rules_rows), ("open", bench_batch.open_rows)):
        catalog, rows, facts = rows_of()
        with nba.Engine(catalog) as engine:
            if not hasattr(engine, "decide_batch"):
                return _left_out("decide_batch", "this engine has no such method")
            setting.teach(engine, facts)
            decide_batch: Callable[..., Any] = engine.decide_batch
            case = Case(lambda _, rows=rows, decide_batch=decide_batch: decide_batch(rows, limit=1, threads=1))
            timings |= alternating({f"decide_batch, {name}": case}, 5, _n(3, effort, 1), 1)
    return timings, {}


def _learn(_: float) -> Found:
    timings: dict[str, Timing] = {}
    for name, rows_of in (("rules", bench_learn.rules_rows), ("open", bench_learn.open_rows)):
        catalog, rows = rows_of()
        case = Case(lambda engine, rows=rows: engine.learn(rows), lambda _, catalog=catalog: nba.Engine(catalog))
        timings |= alternating({f"learn, {name}": case}, 3, 1, 1)
    return timings, {}


def _memory(_: float) -> Found:
    return {}, {f"MB, {name}": megabytes for name, megabytes in bench_memory.measure().items()}


def _start(effort: float) -> Found:
    return {}, {f"s, {name}": seconds for name, seconds in bench_start.measure(_n(5, effort, 1)).items()}


def _http(effort: float) -> Found:
    try:
        import nba_engine.service.serving  # the extra `serve`, which the server's own process needs

        from benchmarks import bench_http
    except ImportError as error:
        return _left_out("HTTP", error)
    requests = bench_http.decide_requests()
    with bench_http.served() as (port, _):
        bench_http.closed_loop(port, requests, 1.0)
        most, paced = bench_http.closed_loop(port, requests, 3.0 * effort), bench_http.open_loop(port, requests, 4.0 * effort)[0]
    return {}, {"HTTP/s": most.per_s, "HTTP ms p99": paced.p99_ms}


def _n(calls: int, effort: float, least: int = 10) -> int:
    return max(least, int(calls * effort))


def rows(found: Figures) -> Iterator[tuple[str, str, str, str]]:
    """(figure, measured, bar, aim), those that were measured."""
    for row in (_row_actions, _rows_threads, _rows_peers, _rows_tables, _rows_edges):
        yield from row(found)


def _row_actions(found: Figures) -> Iterator[tuple[str, str, str, str]]:
    t, n = found.timings, found.numbers
    if "decide, 10,000 actions" in t:
        yield f"`decide`, 10,000 actions, {n['eligible of 10,000']:,.0f} eligible, p50", f"{t['decide, 10,000 actions'].p50:.0f} us", "", ""
        yield "the same / that of 1,000", f"{found.ratio('decide, 10,000 actions', 'decide, 1,000 actions'):.1f}", "12", "5"


def _rows_threads(found: Figures) -> Iterator[tuple[str, str, str, str]]:
    t, n = found.timings, found.numbers
    if "threads, together" not in t:
        return
    alone, p99, share = t["threads, alone"].p50, t["threads, together"].p99, n["scheduler us"]
    yield "`decide` with 4 threads deciding and one recording, p50", f"{t['threads, together'].p50:.0f} us", "", ""
    yield "the same, p99", f"{p99:,.0f} us", f"{5 * alone + share:,.0f} us", f"{3 * alone + share:,.0f} us"
    yield "of which the scheduler's share: five threads computing as long, sharing nothing", f"{share:,.0f} us", "", ""
    yield "five threads in a Python loop as long, p99", f"{t['threads, a Python loop'].p99:,.0f} us", "", ""
    if "threads, reloading" in t:
        text = f"`decide` under that load and reload after reload ({n['ms of a reload']:.0f} ms each), p99"
        yield text, f"{t['threads, reloading'].p99:,.0f} us", "", ""


def _rows_peers(found: Figures) -> Iterator[tuple[str, str, str, str]]:
    small, large = "decide, open, 200 x 20", "decide, open, 1,000 x 64"
    pairs = (
        ("`gittins` / `decide`, 200 actions x 20 facts, all open", "gittins", small, "10", "20"),
        ("`vowpalwabbit` ADF / `decide`, the same", "VW ADF, small", small, "", ""),
        ("LinUCB in numpy / `decide`, the same", "LinUCB in numpy", small, "", ""),
        ("`mabwiser` LinUCB / `decide`, the same", "mabwiser LinUCB", small, "", ""),
        ("`vowpalwabbit` ADF, actions per call / `decide`, 1,000 x 64, all open", "VW ADF", large, "40", "80"),
        ("`vowpalwabbit`, fixed actions / `decide`, the same", "VW fixed actions", large, "", ""),
        ("generated Python, then `gittins` on the fifth that is left / `decide`, 1,000 x 40", "rules, then gittins", "decide, rules", "", ""),
        ("generated Python, then `vowpalwabbit` ADF on that / `decide`, the same", "rules, then VW ADF", "decide, rules", "", ""),
    )
    for text, peer, ours, bar, aim in pairs:
        if peer in found.timings:
            us, own = found.timings[peer].p50, found.timings[ours].p50
            yield text, f"{us / own:.1f} ({us:,.0f} us / {own:.0f} us)", bar, aim


def _rows_tables(found: Figures) -> Iterator[tuple[str, str, str, str]]:
    methods = (("decide_batch", bench_batch.N_ROWS, "60,000/s", "200,000/s"), ("learn", bench_learn.N_ROWS, "100,000/s", "400,000/s"))
    for method, n_rows, bar, aim in methods:
        for name, text in (("rules", "100 actions x 64 facts, one core"), ("open", "the same, every action open to all")):
            timing = found.timings.get(f"{method}, {name}")
            if timing is not None:
                yield f"`{method}`, {text}", f"{1e6 * n_rows / timing.p50:,.0f}/s", *((bar, aim) if name == "rules" else ("", ""))


def _rows_edges(found: Figures) -> Iterator[tuple[str, str, str, str]]:
    n = found.numbers
    if "MB, over" in n:
        yield "memory over imports, 1,000 actions x 64 facts", f"{n['MB, over']:.0f} MB", "150 MB", "60 MB"
    if "s, first decide" in n:
        yield "`import nba_engine`, processor time", f"{n['s, import nba_engine']:.3f} s", "0.15 s", "0.08 s"
        yield "a fresh process up to its first decision, caches warm, processor time", f"{n['s, first decide']:.2f} s", "1.2 s", "0.6 s"
    if "HTTP/s" in n:
        yield "one HTTP worker on loopback, 1,000 actions", f"{n['HTTP/s']:,.0f}/s", "3,000/s", "6,000/s"
        yield "the same at 1,000/s, p99", f"{n['HTTP ms p99']:.1f} ms", "5 ms", ""
