"""The text of a literal to its value: integers with their ranges, strings and bytes with their escapes."""

from __future__ import annotations

import re

from nba_engine.rules.values import INT_MAX, UINT_MAX, UInt


class LiteralFault(Exception):
    """The literal cannot be read; `offset` is where in its text."""

    def __init__(self, problem: str, offset: int = 0) -> None:
        super().__init__(problem)
        self.offset = offset


def int_value(text: str) -> int:
    """Up to 2**63, which only a minus sign makes an int64."""
    value = int(text, 16 if text[:2] in ("0x", "0X") else 10) if len(text) <= 400 else INT_MAX + 2
    if value > INT_MAX + 1:
        raise LiteralFault(f"{text[:40]} is not an int64; its largest is {INT_MAX}")
    return value


def double_value(text: str) -> float:
    value = float(text)
    if value == float("inf"):
        raise LiteralFault(f"{text[:40]} is beyond the largest double")
    return value


def uint_value(text: str) -> UInt:
    digits = text[:-1]
    value = int(digits, 16 if digits[:2] in ("0x", "0X") else 10) if len(digits) <= 400 else UINT_MAX + 1
    if value > UINT_MAX:
        raise LiteralFault(f"{text[:40]} is not a uint64; its largest is {UINT_MAX}")
    return UInt(value)


_SIMPLE = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v",
    "\\": "\\", "?": "?", '"': '"', "'": "'", "`": "`",
}  # fmt: skip
_ESCAPE = re.compile(
    r"\\(?:([abfnrtv\\?\"'`])|[xX]([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2})|(.?))", re.DOTALL
)  # fmt: skip


def _unquoted(text: str) -> tuple[str, int, bool]:
    """What stands between the quotes, where it starts in `text`, and whether it is raw."""
    start = 0
    raw = False
    while text[start] not in "'\"":
        raw |= text[start] in "rR"
        start += 1
    width = 3 if text[start : start + 3] in ("'''", '"""') else 1
    return text[start + width : len(text) - width], start + width, raw


def quoted_text(text: str) -> str:
    """The str of a string literal."""
    body, offset, raw = _unquoted(text)
    if raw or "\\" not in body:
        return body

    def character(match: re.Match[str]) -> str:
        simple, hexadecimal, short, long, octal, bad = match.groups()
        if simple is not None:
            return _SIMPLE[simple]
        if bad is not None:
            raise LiteralFault(f"'\\{bad}' is not an escape; write \\\\ for a backslash, or r'...'", offset + match.start())
        code = int(octal, 8) if octal is not None else int(hexadecimal or short or long, 16)
        if 0xD800 <= code <= 0xDFFF or code > 0x10FFFF:
            raise LiteralFault(f"{match.group()} is not a character", offset + match.start())
        return chr(code)

    return _ESCAPE.sub(character, body)


def quoted_bytes(text: str) -> bytes:
    """The bytes of a bytes literal: characters as UTF-8, \\x and octal escapes as single bytes."""
    body, offset, raw = _unquoted(text)
    if raw or "\\" not in body:
        return body.encode()
    out = bytearray()
    end = 0
    for match in _ESCAPE.finditer(body):
        out += body[end : match.start()].encode()
        end = match.end()
        simple, hexadecimal, short, long, octal, bad = match.groups()
        if simple is not None:
            out += _SIMPLE[simple].encode()
        elif bad is not None or short is not None or long is not None:
            raise LiteralFault(f"{match.group()} is not an escape of bytes", offset + match.start())
        else:
            out.append(int(octal, 8) if octal is not None else int(hexadecimal, 16))
    return bytes(out + body[end:].encode())
