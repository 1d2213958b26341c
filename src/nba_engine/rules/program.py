"""The program over slots: arithmetic, comparisons between facts and value expressions, each instruction run once per decision.

A slot has an int64 (doubles by their bits, bools 0 or 1, times in microseconds) and a state: 0 a value, anything else none (null, missing,
unknown, error: whether a rule is definitely true never depends on which of these it is). `&&` and `||` absorb a side without a value where
the other side decides, as the standard says. Cost: about 3 ns per instruction.
"""

from __future__ import annotations

import math

import numpy as np

from nba_engine.numerics.kernel import kernel, scalar

RELATIONS = ("<", "<=", "==", ">=", ">")
_NAMES = (
    "add_int", "subtract_int", "multiply_int", "divide_int", "modulo_int", "negate_int",
    "add_double", "subtract_double", "multiply_double", "divide_double", "negate_double", "to_double", "to_int",
    "add_time", "subtract_time", "add_duration", "subtract_duration",
    *(f"{family}_{relation}" for family in ("int", "double", "mixed") for relation in RELATIONS),
    "and", "or", "not", "select", "is_null", "has", "length", "member",
)  # fmt: skip
OPERATIONS = {name: code for code, name in enumerate(_NAMES)}

_VALUE, _NULL, _NONE = 0, 1, 2
_NEGATE_INT, _ADD_DOUBLE, _NEGATE_DOUBLE, _TO_INT = (OPERATIONS[name] for name in ("negate_int", "add_double", "negate_double", "to_int"))
_ADD_TIME, _INT_RELATION, _DOUBLE_RELATION = (OPERATIONS[name] for name in ("add_time", "int_<", "double_<"))
_MIXED_RELATION, _AND, _OR, _NOT = (OPERATIONS[name] for name in ("mixed_<", "and", "or", "not"))
_SELECT, _IS_NULL, _HAS = (OPERATIONS[name] for name in ("select", "is_null", "has"))
_INT_MIN, _INT_MAX = -(2**63), 2**63 - 1
_YEAR_1_US, _YEAR_10000_US = -62_135_596_800_000_000, 253_402_300_800_000_000
_DURATION_MAX_US = (2**63 - 1) // 1000


@kernel
def _fill_members(tables, begin, end, row, row_states, item_codes, item_offsets, scratch, values, shift):
    """Which texts are in the lists of one row: `tables[begin:end]` are the instructions "member" (operation, result slot, column, code, list), which
    need the row alone and run before all others."""
    for i in range(begin, end, 5):
        found = np.int64(0)
        for k in range(item_offsets[row, tables[i + 4]], item_offsets[row, tables[i + 4] + 1]):
            found |= np.int64(item_codes[k] == tables[i + 3])
        scratch[values + tables[i + 1]] = found
        scratch[values + tables[i + 1] + shift] = _VALUE if row_states[row, tables[i + 2]] == _VALUE else _NONE


@kernel
def _fill_computed(tables, begin, end, n, n_slots, scratch, values, shift):
    """Run the program `tables[begin:end]`, each instruction over all `n` rows. Slot s of row r has its value in `scratch[values + r * n_slots + s]`
    and its state `shift` behind it."""
    for i in range(begin, end, 5):
        op, to, a, b, c = tables[i], values + tables[i + 1], values + tables[i + 2], values + tables[i + 3], values + tables[i + 4]
        for _ in range(n):
            left, right = _at(scratch, a), _at(scratch, b)
            if op >= _AND:
                state, value = _combined(op, a, b, c, scratch, shift)
            elif _at(scratch, a + shift) != _VALUE or (_at(scratch, b + shift) != _VALUE and not _is_unary(op)):
                state, value = _NONE, left
            elif op >= _INT_RELATION:
                state, value = _VALUE, _holds((op - _INT_RELATION) % 5, _order(op, left, right))
            elif op >= _ADD_TIME:
                state, value = _time_sum(op - _ADD_TIME, left, right)
            elif op >= _ADD_DOUBLE:
                state, value = _double_result(op - _ADD_DOUBLE, left, _as_double(left), _as_double(right))
            else:
                state, value = _int_result(op, left, right)
            scratch[np.uint64(to)], scratch[np.uint64(to + shift)] = value, state
            to, a, b, c = to + n_slots, a + n_slots, b + n_slots, c + n_slots


@scalar
def _at(numbers, place):
    """What stands at a place that is not negative."""
    return numbers[np.uint64(place)]


@scalar
def _order(op, left, right):
    """-1, 0 or 1; 2 where either is NaN."""
    if op < _DOUBLE_RELATION:
        return np.int64(left > right) - np.int64(left < right)
    if op < _MIXED_RELATION:
        return _order_of_doubles(_as_double(left), _as_double(right))
    return _order_of_int_and_double(left, _as_double(right))


@scalar
def _as_double(bits):
    return np.int64(bits).view(np.float64)


@scalar
def _order_of_doubles(a, b):
    """-1, 0 or 1; 2 where either is NaN."""
    if math.isnan(a) or math.isnan(b):
        return np.int64(2)
    return np.int64(a > b) - np.int64(a < b)


@scalar
def _is_unary(op):
    return op == _NEGATE_INT or _NEGATE_DOUBLE <= op <= _TO_INT


@scalar
def _holds(relation, order):
    """Whether `order` (-1, 0, 1, or 2 where NaN is compared) satisfies relation 0..4 of RELATIONS."""
    if order == 2:
        return np.int64(0)
    if relation == 2:
        return np.int64(order == 0)
    if relation < 2:
        return np.int64(order < 0 or (relation == 1 and order == 0))
    return np.int64(order > 0 or (relation == 3 and order == 0))


@scalar
def _order_of_int_and_double(i, d):
    """Exact order of an int64 and a double, also beyond 2**53, but that the double 2**63 stands for the largest int; 2 where the double is NaN."""
    if math.isnan(d):
        return 2
    if d >= 9.223372036854775808e18:
        return 0 if d == 9.223372036854775808e18 and i == _INT_MAX else -1
    if d < -9.223372036854775808e18:
        return 1
    whole = np.int64(math.floor(d))
    if i != whole:
        return 1 if i > whole else -1
    return -1 if d > math.floor(d) else 0


@scalar
def _int_result(op, a, b):
    """(state, value) of int64 arithmetic; no value where it overflows or divides by zero. Division truncates as CEL's does.

    Overflow is foreseen, never looked for afterwards: the compiler takes it for granted that signed arithmetic does not overflow.
    """
    if op == 0:
        return (_NONE, a) if _sum_overflows(a, b) else (_VALUE, a + b)
    if op == 1:
        over = a < _INT_MIN + b if b > 0 else a > _INT_MAX + b
        return (_NONE, a) if over else (_VALUE, a - b)
    if op == 2:
        return (_NONE, a) if _product_overflows(a, b) else (_VALUE, a * b)
    if op == 5:
        return (_NONE, a) if a == _INT_MIN else (_VALUE, -a)
    if b == 0 or (a == _INT_MIN and b == -1):
        return (_NONE, a)
    q = _quotient(a, b)
    return (_VALUE, q) if op == 3 else (_VALUE, a - q * b)


@scalar
def _sum_overflows(a, b):
    return a > _INT_MAX - b if b > 0 else a < _INT_MIN - b


@scalar
def _product_overflows(a, b):
    if a == 0 or b == 0:
        return False
    if a == _INT_MIN or b == _INT_MIN:
        return a != 1 and b != 1
    magnitude = (_INT_MAX // abs(a)) if (a < 0) == (b < 0) else _largest_below(abs(a))
    return abs(b) > magnitude


@scalar
def _largest_below(a):
    """The largest int64 m with a * m <= 2**63, for a > 0: a product of different signs may reach -2**63."""
    m = _INT_MAX // a
    return m + 1 if a > 1 and _INT_MAX % a == a - 1 else m


@scalar
def _quotient(a, b):
    """a / b towards zero, for b != 0 and no overflow (numba's // rounds down)."""
    q = a // b
    if q < 0 and q * b != a:
        q += 1
    return q


@scalar
def _double_result(op, whole, a, b):
    """(state, value) of double arithmetic and conversions: add, subtract, multiply, divide, negate, to_double (of `whole`), to_int."""
    if op == 6:
        return (_VALUE, np.int64(a)) if -9.223372036854775808e18 < a < 9.223372036854775808e18 else (_NONE, whole)
    if op == 5:
        result = np.float64(whole)
    elif op == 4:
        result = -a
    elif op == 3:
        result = a / b
    elif op == 2:
        result = a * b
    else:
        result = a + b if op == 0 else a - b
    return (_VALUE, np.float64(result).view(np.int64))


@scalar
def _time_sum(op, a, b):
    """(state, value): timestamp +- duration in the years 1 to 9999 (op 0, 1); a sum or difference that is a duration (op 2, 3)."""
    if op == 1 or op == 3:
        if b == _INT_MIN:
            return (_NONE, a)
        b = -b
    if _sum_overflows(a, b):
        return (_NONE, a)
    r = a + b
    if op < 2:
        return (_VALUE, r) if _YEAR_1_US <= r < _YEAR_10000_US else (_NONE, r)
    return (_VALUE, r) if -_DURATION_MAX_US <= r <= _DURATION_MAX_US else (_NONE, r)


@scalar
def _combined(op, a, b, c, scratch, shift):
    """(state, value) of the operations that look at states themselves: logic, conditionals, null tests and lengths."""
    left, state = _at(scratch, a), _at(scratch, a + shift)
    if op == _AND or op == _OR:
        decides, right, other = np.int64(op == _OR), _at(scratch, b), _at(scratch, b + shift)
        if (state == _VALUE and left == decides) or (other == _VALUE and right == decides):
            return (_VALUE, decides)
        return (_VALUE if state == _VALUE and other == _VALUE else _NONE, 1 - decides)
    if op == _HAS:
        return (_VALUE, np.int64(state == _VALUE))
    if op == _IS_NULL:
        return (_VALUE if state <= _NULL else _NONE, np.int64(state == _NULL))
    if state != _VALUE:
        return (_NONE, left)
    if op == _SELECT:
        chosen = b if left != 0 else c
        return (_VALUE if _at(scratch, chosen + shift) == _VALUE else _NONE, _at(scratch, chosen))
    return (_VALUE, 1 - left if op == _NOT else left)
