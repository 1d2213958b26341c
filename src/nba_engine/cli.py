"""The command line: reads arguments, calls one function, prints. Exit codes: 0 done, 1 findings, 2 wrong use.

Everything but typer is imported where it is used, so that `nba --help` answers at once.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

FINDINGS, WRONG_USE = 1, 2

app = typer.Typer(help="Next best action, in process.", no_args_is_help=True, add_completion=False, pretty_exceptions_show_locals=False)

CatalogFile = Annotated[Path, typer.Argument(metavar="CATALOG", help="A catalog: .yaml, .yml or .json.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print machine output.")]


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
    facts: Annotated[Path, typer.Option(help="The subject's facts, a mapping: .yaml, .yml or .json.", show_default=False)],
    channel: Annotated[str | None, typer.Option(help="Where it will be shown; all channels compete without it.")] = None,
    limit: Annotated[int, typer.Option(help="Offers at most.")] = 1,
    subject: Annotated[str, typer.Option(help="Who is asked for.")] = "subject",
    as_json: AsJson = False,
) -> None:
    """Decide once, with nothing learned and nobody contacted before, and explain it."""
    from nba_engine.catalog.catalog import Catalog

    with _refusals(as_json):
        loaded, given = Catalog.load(catalog), _facts(facts)
        from nba_engine.engine import Engine

        engine = Engine(loaded)
        explanation = engine.explain(engine.decide(subject, facts=given, channel=channel, limit=limit).id)
    for name in sorted(engine.unknown_facts):
        typer.echo(f"{facts}: the catalog declares no fact {name!r}; it was ignored", err=True)
    if as_json:
        _print_json(explanation.to_dict())
        return
    typer.echo(str(explanation))
    for offer in explanation.decision.offers:
        if offer.script:
            typer.echo(f"  {offer.rank}. says: {offer.script}")


@app.command()
def warm(as_json: AsJson = False) -> None:
    """Compile every kernel before the first customer waits for it."""
    from nba_engine import progress

    seconds = progress.warm()
    if as_json:
        _print_json({"seconds": seconds})
    else:
        typer.echo(f"kernels are ready, after {seconds:.1f} seconds")


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


def _facts(path: Path) -> dict[str, Any]:
    from nba_engine.catalog.loading import read
    from nba_engine.errors import CatalogError, RequestError

    source = read(path)
    if source.faults:
        raise CatalogError(source.faults, source.name)
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
