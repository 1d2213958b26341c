"""`python -m nba_engine`: the command `nba`, where no script of that name is on the path."""

from __future__ import annotations

from nba_engine.cli import app

if __name__ == "__main__":
    app(prog_name="nba")
