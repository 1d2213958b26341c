"""Starting cold: what an import costs, what a first decision loads, and where compiled kernels are kept, in processes of their own.

The kernels that these processes load were compiled by `nba warm` into the folder of this test run; compiling all of them takes up to a minute
and is done once.
"""

from __future__ import annotations

import os
import pty
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nba_engine.progress import COMPILING
from tests.conftest import JIT

ROOT = Path(__file__).parents[1]
FIRST_DECISIONS = """
import sys
from numba.core import event

class Compiled(event.Listener):
    def on_start(self, event): compiled.append(event.data["dispatcher"].__name__)
    def on_end(self, event): pass

compiled = []
event.register("numba:compile", Compiled())
import nba_engine as nba
engine = nba.Engine(nba.Catalog.load("examples/catalog.yaml"))
for _ in range(2):
    decision = engine.decide("customer-42", channel="call", facts={"age": 41, "intent": "cancel", "products": []}, limit=3)
    for offer in decision.offers:
        engine.record(decision.id, "declined", action=offer.action)
engine.explain(decision.id)
from nba_engine.numerics.kernel import KERNELS
loaded = [name.removeprefix("nba_engine.") for name, kernel in KERNELS.items() if kernel.stats.cache_hits]
"""
TWO_KERNELS = """
from nba_engine.numerics.kernel import kernel

@kernel
def _fill_first(out):
    out[0] = 1.0

@kernel
def _fill_second(out):
    out[0] = 2.0
"""
WRITTEN_NUMBERS = """
from nba_engine.numerics.kernel import kernel, scalar

@scalar
def _twice(number):
    return 2 * number

@kernel
def _fill(out):
    for i in range(out.shape[0]):
        out[i] = _twice(1) + _twice(2) + _twice(i)
"""
RUN_BOTH = """
import numpy, warnings
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    import kernels
    out = numpy.zeros(1)
    kernels._fill_first(out)
    assert out[0] == 1.0
    kernels._fill_second(out)
    assert out[0] == 2.0
print(len(told), *[f"{w.category.__name__}: {w.message}" for w in told])
print(sum(f.stats.cache_misses.total() for f in (kernels._fill_first, kernels._fill_second)))
"""
HELPED = """
import os, subprocess, sys, numpy, kernels
from nba_engine import progress

class Helper(subprocess.Popen):
    def __init__(self, command, **more):
        started.append((self, command[1:]))
        super().__init__([sys.executable, "-c", "import time; time.sleep(60)"], **more)

started = []
subprocess.Popen, os.cpu_count = Helper, lambda: n_cores
with progress.compiling():
    kernels._fill_first(numpy.zeros(1))
    kernels._fill_second(numpy.zeros(1))
print(*[(command, helper.returncode) for helper, command in started])
"""
_BOUND = "import ctypes, os, sys; ctypes.CDLL(None).prctl(24, 1, 0, 0, 0); os.execv(sys.executable, [sys.executable, '-c', sys.argv[1]])"
"""Runs a program that obeys the modes of files even where it is root: PR_CAPBSET_DROP, CAP_DAC_OVERRIDE."""

pytestmark = pytest.mark.skipif(not JIT, reason="plain Python compiles nothing")


def run(program: str, folder: Path = ROOT, bound: bool = False, **environment: object) -> list[str]:
    """The lines that a program prints, run in `folder` by a process of its own; None takes a variable out of its environment."""
    command = [sys.executable, "-c", _BOUND, program] if bound else [sys.executable, "-c", program]
    whole = {name: str(value) for name, value in (os.environ | environment).items() if value is not None}
    done = subprocess.run(command, cwd=folder, env=whole, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def warmed() -> Path:
    """The folder of this test run, with every kernel in it."""
    run("from nba_engine.warming import warm; warm()")
    return Path(os.environ["NUMBA_CACHE_DIR"])


@pytest.fixture
def baked(warmed, tmp_path) -> Path:
    """A copy of that folder that may not be written, as in an image."""
    shutil.copytree(warmed, tmp_path / "baked")
    _set_modes(tmp_path / "baked", 0o555)
    yield tmp_path / "baked"
    _set_modes(tmp_path / "baked", 0o755)


def forget(folder: Path, *names: str) -> None:
    """Remove the compiled forms of kernels, named by room, file and function."""
    for name in names:
        file, function = name.split(".")[-2:]
        for path in folder.rglob(f"{file}.{function}-*"):
            path.unlink()


def _set_modes(folder: Path, mode: int) -> None:
    for path in (folder, *folder.rglob("*")):
        if path.is_dir():
            path.chmod(mode)


def test_importing_the_package_is_quick_and_loads_nothing_heavy():
    heavy = "numba", "numpy", "pydantic", "pyarrow", "scipy", "river", "lark", "yaml", "msgspec", "rich"
    program = (f"import sys, time; started = time.process_time(); import nba_engine; print(time.process_time() - started); "
               f"print(sorted(set({heavy}) & set(sys.modules)))")  # fmt: skip
    seconds, loaded = run(program)
    assert float(seconds) < 0.15 and loaded == "[]"


def test_first_decisions_with_a_warm_cache_compile_nothing_and_skip_the_tables_for_compiling(warmed):
    compiled, heavy = run(FIRST_DECISIONS + "print(compiled, len(loaded) > 8)\n"
                          "print(sorted({'numba.np.linalg', 'scipy.linalg', 'pyarrow', 'river', 'rich'} & set(sys.modules)))")  # fmt: skip
    assert (compiled, heavy) == ("[] True", "[]")


def test_what_comes_later_compiles_nothing_either(warmed):
    """Stock-taking, inheriting and a table come after some hundred answers, when a kernel that has to be compiled would stall a call for seconds."""
    later = """
compiled.clear()
calls = [engine.decide(f"customer-{i}", channel="call", facts={"age": 20 + i % 50, "intent": "cancel"}, limit=1) for i in range(600)]
for i, decision in enumerate(calls):
    for offer in decision.offers:
        engine.record(decision.id, "accepted" if i % 7 == 0 else "declined", action=offer.action)
engine.decide_batch({"subject": ["one", "two"]})
engine.health()
print(len(engine._memory.state.beliefs.model._given) > 0, compiled)
"""
    assert run(FIRST_DECISIONS + later) == ["True []"]


def test_warming_twice_compiles_nothing(warmed):
    assert run(FIRST_DECISIONS + "compiled.clear()\nengine.warm()\nprint(compiled)") == ["[]"]


def test_what_a_second_process_compiles_ahead_is_of_use_to_the_first(warmed):
    ahead = "from nba_engine.warming import warm_ahead\nwarm_ahead()\nimport sys\nprint(compiled, 'nba_engine.arbitration.winning' in sys.modules)"
    assert run(FIRST_DECISIONS.partition("import nba_engine as nba")[0] + ahead) == ["[] True"]


@pytest.mark.parametrize(("n_cores", "helpers"), [(1, ""), (2, "(['-m', 'nba_engine.warming'], -15)")])
def test_a_second_core_compiles_too_for_as_long_as_the_first_needs(tmp_path, n_cores, helpers):
    (tmp_path / "kernels.py").write_text(TWO_KERNELS, "utf-8")
    assert run(f"n_cores = {n_cores}\n{HELPED}", tmp_path) == [helpers]


def test_a_number_written_in_a_call_gets_no_form_of_its_own(tmp_path):
    (tmp_path / "kernels.py").write_text(WRITTEN_NUMBERS, "utf-8")
    assert run("import numpy, kernels\nkernels._fill(numpy.zeros(3))\nprint(len(kernels._twice.signatures))", tmp_path) == ["1"]


def test_a_folder_that_was_filled_and_may_not_be_written_is_used(baked):
    program = f"{FIRST_DECISIONS}\nimport os; print(compiled, len(loaded) > 8, os.access({str(baked)!r}, os.W_OK))"
    assert run(program, bound=True, NUMBA_CACHE_DIR=baked) == ["[] True False"]


def test_what_is_missing_there_is_compiled_and_said_once(baked):
    names = run(f"{FIRST_DECISIONS}\nprint(*loaded)", NUMBA_CACHE_DIR=baked)[0].split()[:2]
    _set_modes(baked, 0o755)
    forget(baked, *names)
    _set_modes(baked, 0o555)
    listed = sorted(baked.rglob("*"))
    program = f"import warnings\nwith warnings.catch_warnings(record=True) as told:\n{_indented(FIRST_DECISIONS)}\n"
    compiled, said = run(program + "print(*compiled)\nprint(len(told), told[0].message)", bound=True, NUMBA_CACHE_DIR=baked)
    assert {name.rpartition(".")[2] for name in names} <= set(compiled.split())
    assert said.startswith("1 compiled kernels cannot be kept") and "nba warm" in said
    assert sorted(baked.rglob("*")) == listed


def test_where_nothing_can_be_kept_kernels_run_and_one_warning_says_so(tmp_path):
    (tmp_path / "kernels.py").write_text(TWO_KERNELS)
    (tmp_path / "__pycache__").write_text("a file where the folder would be")
    nowhere = {"NUMBA_CACHE_DIR": "/dev/null/none", "XDG_CACHE_HOME": "/dev/null/none", "HOME": "/dev/null", "PYTHONDONTWRITEBYTECODE": "1"}
    for folders in (nowhere, {**nowhere, "NUMBA_CACHE_DIR": ""}):
        said, n_compiled = run(RUN_BOTH, tmp_path, **folders)
        assert said.startswith("1 RuntimeWarning: compiled kernels cannot be kept") and "set NUMBA_CACHE_DIR" in said and n_compiled == "2"


def test_kernels_are_compiled_again_for_another_release_and_not_for_another_process(tmp_path):
    (tmp_path / "kernels.py").write_text(TWO_KERNELS)
    newer = "import nba_engine; nba_engine.__version__ = '99'\n"
    for program, n_compiled in ((RUN_BOTH, "2"), (RUN_BOTH, "0"), (newer + RUN_BOTH, "2"), (newer + RUN_BOTH, "0")):
        assert run(program, tmp_path, NUMBA_CACHE_DIR=tmp_path / "cache") == ["0", n_compiled]


def test_the_recipe_for_images_compiles_for_any_processor(tmp_path):
    """The lines of docs/deployment.md: what it sets at building is found when it is set again, and is not code for this processor."""
    recipe = (ROOT / "docs" / "deployment.md").read_text("utf-8").partition("FROM ")[2].partition("```")[0]
    variables = dict(re.findall(r"^ENV (\w+)=(\S+)$", recipe, re.MULTILINE))
    assert set(variables) == {"NUMBA_CACHE_DIR", "NUMBA_CPU_NAME"} and "RUN nba warm\n" in recipe
    variables["NUMBA_CACHE_DIR"] = str(tmp_path / "cache")
    (tmp_path / "kernels.py").write_text(TWO_KERNELS)
    own = variables | {"NUMBA_CPU_NAME": None}
    for settings, n_compiled in ((variables, "2"), (variables, "0"), (own, "2"), (own, "0"), (variables, "0")):
        assert run(RUN_BOTH, tmp_path, **settings) == ["0", n_compiled]


def test_a_cache_that_may_not_be_read_counts_as_empty(tmp_path):
    (tmp_path / "kernels.py").write_text(TWO_KERNELS)
    run(RUN_BOTH, tmp_path, NUMBA_CACHE_DIR=tmp_path / "cache")
    program = """
import builtins
plain = open

def refusing(path, *more):
    if str(path).endswith(".nbi"):
        raise PermissionError(13, "Permission denied")
    return plain(path, *more)

builtins.open = refusing
"""
    said, n_compiled = run(program + RUN_BOTH, tmp_path, NUMBA_CACHE_DIR=tmp_path / "cache")
    assert n_compiled == "2" and said.startswith("1 RuntimeWarning: compiled kernels cannot be kept")


def test_warming_shows_a_line_where_it_compiles_and_nothing_where_it_loads(warmed, tmp_path):
    shutil.copytree(warmed, tmp_path / "cache")
    name = run(f"{FIRST_DECISIONS}\nprint(*loaded)")[0].split()[0]
    command = [sys.executable, "-c", "from nba_engine.cli import main; main()", "warm"]
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "cache"), "TERM": "xterm", "COLUMNS": "120"}
    forget(tmp_path / "cache", name)
    for expected in (COMPILING + "\n", ""):
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, expected) and done.stdout.startswith("kernels are ready, after ")
    forget(tmp_path / "cache", name)
    terminal, end = pty.openpty()
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=end) as process:
        os.close(end)
        shown = b""
        while part := _read(terminal):
            shown += part
    os.close(terminal)
    assert process.returncode == 0 and COMPILING.encode() in shown and "━".encode() in shown


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # the other end is closed
        return b""


def _indented(program: str) -> str:
    return "\n".join("    " + line for line in program.splitlines())
