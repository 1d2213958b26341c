"""A made-up call: a caller who may leave, on the phone and on the web, from the first offer to the cancelled accept.

The story is src/nba_engine/demo/call.py (read it: plain `decide`, `record` and `explain`), over the catalog src/nba_engine/data/contact_centre.yaml;
`nba demo` plays the same after its first act. Seed and times are fixed: it goes the same way each time.
"""

from rich.console import Console

from nba_engine.demo.call import call
from nba_engine.demo.telling import tell_call

if __name__ == "__main__":
    tell_call(Console(), call())
