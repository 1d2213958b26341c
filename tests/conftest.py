"""For every test: kernels cached by the state of the sources, and no kernel compiled for a second signature. And the shop and its service."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.kernel_cache import use_own_folder

assert "numba" not in sys.modules, "numba was imported before its cache folder was chosen"
if "PYTEST_XDIST_WORKER" not in os.environ:  # workers inherit the choice of the run that started them
    use_own_folder()

JIT = os.environ.get("NUMBA_DISABLE_JIT") != "1"
_REPORTED: set[str] = set()


@pytest.fixture(autouse=True)
def one_signature_per_kernel() -> Iterator[None]:
    """A second signature is a compile pause in somebody's phone call: the test that caused it fails.

    Signatures that differ in literals only are one: those are compiled with the kernel that calls.
    """
    yield
    registry = sys.modules.get("nba_engine.numerics.kernel")
    if JIT and registry is not None:
        second = {name: found for name, kernel in registry.KERNELS.items() if len(found := _types(kernel)) > 1 and name not in _REPORTED}
        _REPORTED.update(second)
        assert not second, f"called with arrays of other types: {second}"


@pytest.fixture(autouse=not JIT)
def silent_arithmetic() -> Iterator[None]:
    """Compiled code wraps integers and divides by zero as IEEE says, silently; numpy's scalars warn of both."""
    with np.errstate(all="ignore"):
        yield


@pytest.fixture(scope="module")
def shop() -> Iterator[Any]:
    """An engine on the made-up shop of tests/shop.py, one for all tests of a file."""
    from tests.shop import engine

    with engine() as shop:
        yield shop


@pytest.fixture(scope="module")
def client(shop: Any) -> Iterator[Any]:
    """A client of the service of `shop`."""
    from nba_engine.service.application import Application
    from tests.service_client import running

    with running(Application(shop)) as client:
        yield client


def _types(kernel: Any) -> set[tuple[Any, ...]]:
    if len(kernel.signatures) < 2:
        return set()
    from numba import types

    return {tuple(types.unliteral(argument) for argument in signature) for signature in kernel.signatures}
