"""The engine's lock: in turn, left unlocked by whatever interrupts, and never twice in one thread."""

from __future__ import annotations

import _thread
import signal
import threading
import time

import pytest

import nba_engine as nba
from nba_engine.turns import FairLock


def test_who_comes_back_at_once_stands_behind_who_waits():
    lock = FairLock()
    for _ in range(50):
        turns = []

        def wait(turns=turns):
            with lock:
                turns.append("waited")

        waiting = threading.Thread(target=wait)
        with lock:
            waiting.start()
            until = time.monotonic() + 30.0
            while lock._first_in_line.acquire(False) and time.monotonic() < until:
                lock._first_in_line.release()
                time.sleep(0.0001)
        with lock:
            turns.append("came back")
        waiting.join()
        assert turns == ["waited", "came back"]


def test_all_that_wait_have_their_turn():
    lock, counts, together = FairLock(), [0] * 6, threading.Barrier(6)
    inside, most = 0, 0

    def work(k):
        nonlocal inside, most
        together.wait()
        for _ in range(200):
            with lock:
                inside += 1
                most = max(most, inside)
                counts[k] += 1
                inside -= 1

    threads = [threading.Thread(target=work, args=(k,)) for k in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == [200] * 6 and most == 1


def test_what_raises_inside_leaves_it_unlocked():
    lock = FairLock()
    with pytest.raises(ZeroDivisionError), lock:
        raise ZeroDivisionError
    assert _taken_by_another(lock)


def test_an_interrupt_while_waiting_leaves_it_unlocked():
    lock, held, let_go = FairLock(), threading.Event(), threading.Event()

    def hold():
        with lock:
            held.set()
            let_go.wait(10.0)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    with pytest.raises(KeyboardInterrupt):
        threading.Timer(0.1, _thread.interrupt_main, (signal.SIGINT,)).start()
        threading.Timer(0.5, let_go.set).start()  # where a wait does not end with the signal, it ends with this
        with lock:
            time.sleep(10.0)
    let_go.set()
    thread.join()
    assert _taken_by_another(lock)


def test_a_signal_while_waiting_may_wait_too():
    lock, held, let_go, taken = FairLock(), threading.Event(), threading.Event(), []

    def hold():
        with lock:
            held.set()
            let_go.wait(10.0)

    def handle(*_):
        threading.Timer(0.1, let_go.set).start()
        with lock:
            taken.append("handler")

    before = signal.signal(signal.SIGALRM, handle)
    thread = threading.Thread(target=hold, daemon=True)
    thread.start()
    held.wait()
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with lock:
            taken.append("interrupted")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
    thread.join()
    assert taken == ["handler", "interrupted"] and _taken_by_another(lock)


def test_a_call_from_within_a_call_is_refused_and_harms_nothing():
    lock = FairLock()
    with lock, pytest.raises(nba.NbaError, match="in the middle of a call"):
        with lock:
            pass
    assert _taken_by_another(lock)


def _taken_by_another(lock):
    done = []

    def take():
        with lock:
            done.append(True)

    thread = threading.Thread(target=take, daemon=True)
    thread.start()
    thread.join(5.0)
    return done == [True]
