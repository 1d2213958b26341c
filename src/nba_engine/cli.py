"""The command line: reads arguments, calls one function, prints. Exit codes: 0 done, 1 findings or a refused verdict, 2 wrong use.

Everything but typer is imported where it is used, so that `nba --help` answers at once.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

FINDINGS, WRONG_USE = 1, 2

app = typer.Typer(help="Next best action, in process.", no_args_is_help=True, add_completion=False, pretty_exceptions_show_locals=False)

CatalogFile = Annotated[Path, typer.Argument(metavar="CATALOG", help="A catalog: .yaml, .yml or .json.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print machine output.")]


class Sync(Enum):
    """What `Engine(sync=...)` takes."""

    DISK = "disk"
    OS = "os"


def main() -> None:
    """The entry point of `nba`."""
    app()


@app.command()
def demo(as_json: AsJson = False) -> None:
    """Play two acts, under a minute: the truth about a real log, and a made-up call."""
    from rich.console import Console

    from nba_engine import progress

    started = time.perf_counter()
    progress.warm()
    from nba_engine.demo import telling
    from nba_engine.demo.call import call
    from nba_engine.demo.latency import latency
    from nba_engine.demo.truth import truth

    told = truth(lambda offers, n: progress.tracked("learning from every logged row", offers, n))
    if as_json:
        _print_json(_demo_json(told, call(), latency(), time.perf_counter() - started))
        return
    console = Console()
    telling.tell_truth(console, told)
    telling.tell_call(console, call())
    telling.tell_latency(console, latency())
    console.print(f"The whole demo took {time.perf_counter() - started:.0f} seconds.")


@app.command()
def check(catalog: CatalogFile, as_json: AsJson = False) -> None:
    """Say what is wrong or probably not meant in a catalog; 1 if there is anything, 2 if it cannot be used."""
    from nba_engine.catalog.catalog import Catalog

    with _refusals(as_json):
        loaded = Catalog.load(catalog)
    findings = loaded.check()
    if as_json:
        _print_json({"catalog": loaded.name, "version": loaded.version, "faults": [], "findings": findings})
    else:
        n = len(loaded.definition.actions)
        typer.echo(f"{catalog}: {n} action{'s' * (n != 1)}, {len(findings)} finding{'s' * (len(findings) != 1)}")
        for finding in findings:
            typer.echo(f"  {finding}")
    if findings:
        raise typer.Exit(FINDINGS)


@app.command()
def decide(
    catalog: CatalogFile,
    facts: Annotated[Path | None, typer.Option(help="The subject's facts, a mapping: .yaml, .yml or .json.", show_default=False)] = None,
    profiles: Annotated[Path | None, typer.Option(help="Stored profiles: .sqlite, .db, .parquet, .arrow or .feather.", show_default=False)] = None,
    channel: Annotated[str | None, typer.Option(help="Where it will be shown; all channels compete without it.")] = None,
    limit: Annotated[int, typer.Option(help="Offers at most.")] = 1,
    subject: Annotated[str, typer.Option(help="Who is asked for.")] = "subject",
    as_json: AsJson = False,
) -> None:
    """Decide once, with nothing learned and nobody contacted before, and explain it."""
    from nba_engine.catalog.catalog import Catalog

    if facts is None and profiles is None:
        raise typer.BadParameter("give --facts, --profiles, or both; what --facts says comes first")
    with _refusals(as_json):
        loaded, given = Catalog.load(catalog), {} if facts is None else _facts(facts)
        from nba_engine.engine import Engine

        engine = Engine(loaded, profiles=None if profiles is None else _profiles(profiles))
        explanation = engine.explain(engine.decide(subject, facts=given, channel=channel, limit=limit).id)
    for name in sorted(engine.unknown_facts):
        typer.echo(f"the catalog declares no fact {name!r}; it was ignored", err=True)
    if as_json:
        _print_json(explanation.to_dict())
        return
    typer.echo(str(explanation))
    for offer in explanation.decision.offers:
        if offer.script:
            typer.echo(f"  {offer.rank}. says: {offer.script}")


@app.command()
def export(
    store: Annotated[Path, typer.Argument(metavar="DIR", help="A store that no engine has open.", show_default=False)],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The Parquet file to write.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Write every decision of a store, with its facts and what became of its offers, as one Parquet file."""
    from nba_engine import exporting, progress

    with _refusals(as_json), progress.bar() as bar:
        task = bar.add_task("exporting", total=None)
        done = exporting.export(store, out, lambda n_read, n: bar.update(task, completed=n_read, total=n))
    if as_json:
        _print_json(done)
        return
    typer.echo(f"{out}: {done.n_decisions} decisions, {done.n_offers} offers, {done.n_answered} of them answered")
    if done.n_unfit_facts:
        typer.echo(f"{done.n_unfit_facts} facts do not fit their latest declaration; they are null", err=True)


@app.command()
def health(
    store: Annotated[Path, typer.Argument(metavar="DIR", help="A store that no engine has open.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Say how a store's models do: answers beside predictions, alarms, groups of sensitive facts, the challenger."""
    from nba_engine import exporting, progress

    with _refusals(as_json):
        from nba_engine.engine import Engine

        catalog = exporting.latest_catalog(store)
        with progress.compiling(), Engine(catalog, store=store, sync="os") as engine:
            found = engine.health()
    if as_json:
        _print_json(found.to_dict())
    else:
        typer.echo(str(found))


@app.command()
def replay(
    log: Annotated[Path, typer.Argument(metavar="LOG", help="Logged decisions: .parquet, .csv, .arrow, .feather or a store.", show_default=False)],
    target: Annotated[Path | None, typer.Option(metavar="CATALOG", help="What to judge; without it the log carries p_target.")] = None,
    columns: Annotated[Path | None, typer.Option(help="Your names of the columns by ours, a mapping: .yaml, .yml or .json.")] = None,
    adaptive: Annotated[bool | None, typer.Option("--adaptive/--fixed", help="Whether the log's writer learned; that of a store says.")] = None,
    by_subject: Annotated[bool, typer.Option("--by-subject", help="Intervals by draws of whole subjects, whose rows are alike.")] = False,
    reward_model: Annotated[str | None, typer.Option(help="Brings dr: progressive or cross_fitted; needs --facts without a catalog.")] = None,
    facts: Annotated[str | None, typer.Option(help="Columns that the reward model may read, with commas: known before the decision.")] = None,
    page: Annotated[Path | None, typer.Option("--report", metavar="HTML", help="Also write a page; needs the extra `report`.")] = None,
    as_json: AsJson = False,
) -> None:
    """Say what a target would have earned on logged decisions, and whether the log can say so at all; 1 where it cannot."""
    from nba_engine import progress
    from nba_engine.replay.report import run
    from nba_engine.replay.telling import as_mapping, tell

    with _refusals(as_json):
        from nba_engine.catalog.catalog import Catalog
        from nba_engine.replay.logs import Log

        loaded = None if target is None else Catalog.load(target)
        with progress.rows("reading" if target is None else "deciding again") as advance:
            known = None if facts is None else [name for name in facts.split(",") if name]
            given: dict[str, Any] = {"reward_model": reward_model, "facts": known, "adaptive": adaptive, "by_subject": by_subject}
            report = run(Log.read(log, columns), loaded, progress=advance, **given)
        if page is not None:
            report.to_html(page)
    if as_json:
        _print_json(as_mapping(report))
    else:
        from rich.console import Console

        tell(Console(), report)
    if report.verdict == "refused":
        raise typer.Exit(FINDINGS)


@app.command()
def warm(as_json: AsJson = False) -> None:
    """Compile every kernel before the first customer waits for it."""
    from nba_engine import progress

    seconds = progress.warm()
    if as_json:
        _print_json({"seconds": seconds})
    else:
        typer.echo(f"kernels are ready, after {seconds:.1f} seconds")


@app.command()
def bench(as_json: AsJson = False) -> None:
    """Measure what a decision and an answer cost on this machine, on the small catalog of the demo's call."""
    from rich.console import Console

    from nba_engine import progress

    progress.warm()
    from nba_engine.demo.latency import latency
    from nba_engine.demo.telling import tell_latency

    found = latency()
    if as_json:
        _print_json(found._asdict())
    else:
        tell_latency(Console(), found)


@app.command()
def serve(
    catalog: CatalogFile,
    store: Annotated[Path, typer.Option(metavar="DIR", help="The folder that holds everything durable.", show_default=False)],
    host: Annotated[str, typer.Option(help="Where to listen; other than loopback only with a token.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes a free one.", min=0, max=65535)] = 8080,
    token_file: Annotated[Path | None, typer.Option(help="Holds the token that requests must bear; or set NBA_TOKEN.")] = None,
    sync: Annotated[Sync, typer.Option(help="What a recorded answer survives: loss of power, or a killed process.")] = Sync.DISK,
    profiles: Annotated[Path | None, typer.Option(help="Stored profiles: .sqlite, .db, .parquet, .arrow or .feather.", show_default=False)] = None,
) -> None:
    """Answer over HTTP, one engine in one process, until SIGTERM or SIGINT; needs the extra `serve`."""
    with _refusals(as_json=False):
        try:
            from nba_engine.service import serving
        except ModuleNotFoundError as error:
            typer.echo(f"nba serve needs {error.name}, which is not installed; pip install nba_engine[serve]", err=True)
            raise typer.Exit(WRONG_USE) from None
        from nba_engine import progress
        from nba_engine.catalog.catalog import Catalog
        from nba_engine.service.application import Application

        token = serving.token(token_file)
        with serving.listener(host, port, token) as listener:
            loaded, stored = Catalog.load(catalog), None if profiles is None else _profiles(profiles)
            from nba_engine.engine import Engine

            serving.end_on_signals()
            with progress.compiling(as_line=True), Engine(loaded, store=store, sync=sync.value, profiles=stored) as engine:
                typer.echo(f"{serving.url(listener)} serves {catalog}; GET /ready answers 200 once it decides")
                serving.server(Application(engine, token=token, decide_may_wait=profiles is not None)).run([listener])


@contextmanager
def _refusals(as_json: bool) -> Iterator[None]:
    """What the package refuses on purpose becomes its text and exit code 2."""
    from nba_engine.errors import CatalogError, NbaError

    try:
        yield
    except NbaError as error:
        if as_json:
            _print_json({"error": str(error), "faults": error.faults if isinstance(error, CatalogError) else []})
        else:
            typer.echo(str(error), err=True)
        raise typer.Exit(WRONG_USE) from None


def _profiles(path: Path) -> Any:
    from nba_engine.adapters.profiles import open_profiles

    return open_profiles(path)


def _facts(path: Path) -> dict[str, Any]:
    from dataclasses import replace

    from nba_engine.catalog.loading import read
    from nba_engine.errors import CatalogError, RequestError

    try:
        source = read(path)
        if source.faults:
            raise CatalogError(source.faults, source.name)
    except CatalogError as error:  # it would call the file as a whole a catalog
        raise CatalogError([replace(fault, place=fault.place or "facts") for fault in error.faults], error.source) from None
    if not isinstance(source.value, dict):
        raise RequestError(f"{path}: came {type(source.value).__name__}, needed a mapping of facts, such as {{age: 41}}", "facts")
    return source.value


def _demo_json(told: Any, steps: Any, latency: Any, seconds: float) -> dict[str, Any]:
    rows = [{"name": row.name, "about": row.about, "estimate": row.estimate} for row in told.rows]
    return {"truth": {"rows": rows, "sentences": told.sentences}, "call": {"made_up": True, "steps": steps},
            "latency": latency._asdict(), "seconds": seconds}


def _print_json(value: Any) -> None:
    """Records as mappings, times as RFC 3339, NaN as null."""
    import msgspec

    typer.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())
