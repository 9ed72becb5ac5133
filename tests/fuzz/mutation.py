"""
Frames that are nearly those of the reference, by chance and by a seed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any, Final

from tests.fuzz import cases

ROOT: Final = Path(__file__).parent.parent

#: The session that the reference's messages belong to.
SESSION: Final = b"5f0c9a7be1d24c08b6a1f3e2d4c59780"

#: What has broken readers before.
TOKENS: Final = (
    b"null", b"true", b"-0", b"0.1", b"2.0", b"1e400", b"-1e400", b"1e999999999", b"9" * 4301,
    b"9007199254740993", b"-9223372036854775809", b"NaN", b"Infinity", b'"', b"\\", b"\\ud800",
    b"\\u0000", b"\x00", b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"{", b"}", b"[", b"]", b",", b":",
    b"[" * 70, b'{"a":' * 70, b"[" * 2000, b'"request_id":', b'"$hello"', b'"$1"', b'"$goaway"',
    b'"unknown"', b'"service":"$rpc"', b'"method":"hello"', b'"method":"cancel"', b'"params":[]',
    b'"params":{}', b'"ext":null', b'"ext":{}', b'"ext":{"crit":["a.b"]}', b'"ext":{"ack":1}',
    b'"ext":{"ack":9007199254740993}', b'"ext":{"timeout":1}', b'"ext":{"timeout":-1}',
    b'"ext":{"oneway":true}', b'"ext":{"stream":true,"credit":0}', b'"ext":{"seq":1,"more":true}',
    b'"ext":{"meta":{"A":1}}', b'"error":""', b'"result":null', b'"code":"CANCELLED"',
    b'"executed":"perhaps"', b'"retry_after":-2', b'"timestamp":1e308', b'"timestamp":-1',
    SESSION, SESSION + b":1", SESSION + b":0", SESSION + b":01", SESSION + b":99999999999999999999",
)  # fmt: skip

#: What a member may be instead.
VALUES: Final[tuple[Any, ...]] = (
    None, True, False, 0, 1, -1, 2, 5, 255, 256, 2**31, 2**53, 2**53 + 1, 2**64, -(2**63) - 1, 1e308, 0.5,
    2.0, "", "a", "5", "\u0000", "\ud7ff", "\U0001f600", "x" * 129, "$rpc", "$hello", "$1", "unknown", [],
    {}, [[]], {"": None}, [1, "a", None], {"number": 1, "customer": "c"}, {"number": -1, "customer": "c"},
    "echo", "typed", "order", "later", "note", "add", "hello", "cancel", "ack", "ping", "resolve", "credit",
    "reflect", "health", "Fuzz", "Calculator", {"oneway": True}, {"timeout": 1}, {"ack": 2}, {"attempt": 2},
    {"crit": []}, {"meta": {"a": "b"}}, {"code": "UNAVAILABLE", "executed": "no", "retry_after": 0},
    {"code": "INTERNAL", "executed": "yes"}, {"replayed": True}, {"stream": True}, {"seq": 1, "more": False},
)  # fmt: skip

_VALUES: Final = tuple(json.dumps(each) for each in VALUES)

#: Where a call may be cut so that what is left looks whole.
_MARKS: Final = re.compile(rb',"timestamp"|"params"|}}|{"request_id"')

#: Calls that are written as our client writes them: method, arguments, service.
ALIKE: Final = (
    (b"add", b"[5,3]", b"Calculator"), (b"echo", b'["a"]', b"Fuzz"), (b"echo", b"[[1,{}]]", b"Fuzz"),
    (b"typed", b"[1]", b"Fuzz"), (b"order", b'[{"number":1,"customer":"c"}]', b"Fuzz"),
    (b"order", b'[{"number":-1,"customer":"c"}]', b"Fuzz"), (b"later", b"[1]", b"Fuzz"),
)  # fmt: skip

Change = Callable[[bytearray], None]


def vectors(sender: str) -> list[bytes]:
    """
    The reference's messages that C{sender}, client or server, sends.
    """
    found = []
    for path in sorted((ROOT / "wire" / "vectors").glob("*.json")):
        vector = json.loads(path.read_text(encoding="utf-8"))
        if vector["from"] == sender and "msg" in vector:
            found.append(json.dumps(vector["msg"], separators=(",", ":")).encode())
    return found


def kept() -> list[bytes]:
    """
    The frames that fuzzing has found worth keeping: each reaches code that the
    ones before it do not, or has broken something.
    """
    return [
        path.read_bytes()
        for path in sorted((Path(__file__).parent / "corpus").glob("*.frame"))
    ]


def seeds(sender: str) -> list[bytes]:
    """
    What mutations begin with.
    """
    small = [frame for frame in cases.all_framed() if len(frame) < 2000]
    # The messages of the protocol are few, and what matters most.
    return [*vectors(sender) * 4, *kept(), *small]


class Mutation:
    """
    Makes up frames.
    """

    def __init__(self, seeds: Sequence[bytes], random: Random) -> None:
        self._seeds = seeds
        self._random = random
        self._messages = [found for seed in seeds if (found := _object(seed))]
        self._numbers = 0
        self._changes: Sequence[Change] = (
            self._flip,
            self._insert,
            self._insert,
            self._replace,
            self._replace,
            self._delete,
            self._double,
            self._splice,
            self._cut,
            self._number,
        )

    def frame(self) -> bytes:
        """
        @return: the next one; one in eight is as it was.
        """
        random = self._random
        if random.getrandbits(1):
            return self._message()
        text = bytearray(random.choice(self._seeds))
        for _ in range(min(random.getrandbits(3), 4)):
            random.choice(self._changes)(text)
        return bytes(text[:70_000])

    def run(self, first: int) -> list[bytes]:
        """
        @param first: the number of its first call.

        @return: frames that differ in little: calls that come together.
        """
        random = self._random
        method, params, service = random.choice(ALIKE)
        frames = []
        for seq in range(first, first + random.randrange(8, 80)):
            if not random.getrandbits(5):
                method, params, service = random.choice(ALIKE)
            text = bytearray(
                b'{"request_id":"%b:%d","method":"%b","params":%b,"timestamp":1.5,'
                b'"service":"%b","ext":{"timeout":9000,"ack":%d}}'
                % (SESSION, seq, method, params, service, first)
            )
            if not random.getrandbits(5):
                random.choice(self._changes)(text)
            frames.append(bytes(text))
        return frames

    def _message(self) -> bytes:
        """
        A message in which values are others, mostly under an id of its own.
        """
        random = self._random
        message = json.loads(random.choice(self._messages))
        for _ in range(random.getrandbits(2)):
            holder: Any = message
            while True:
                keys = list(holder) if isinstance(holder, dict) else range(len(holder))
                if not keys:
                    break
                key = random.choice(keys)
                inner = holder[key]
                if isinstance(inner, (dict, list)) and inner and random.getrandbits(1):
                    holder = inner
                    continue
                holder[key] = json.loads(random.choice(_VALUES))
                break
        if random.getrandbits(2):
            self._numbers += 1
            extended = random.getrandbits(1)
            own = (
                f"{SESSION.decode()}:{self._numbers}"
                if extended
                else f"{self._numbers}"
            )
            message["request_id"] = own
        return json.dumps(message, separators=(",", ":")).encode()

    def _at(self, text: bytearray) -> int:
        return int(self._random.random() * (len(text) + 1))

    def _flip(self, text: bytearray) -> None:
        if text:
            text[self._at(text) - 1] ^= 1 << self._random.getrandbits(3)

    def _insert(self, text: bytearray) -> None:
        at = self._at(text)
        text[at:at] = self._random.choice(TOKENS)

    def _replace(self, text: bytearray) -> None:
        """Put a token where one was: between two of the marks of JSON."""
        at = self._at(text)
        start = max(text.rfind(mark, 0, at) for mark in b",:[{") + 1
        ends = [end for mark in b",]}" if (end := text.find(mark, at)) >= 0]
        text[start : min(ends, default=len(text))] = self._random.choice(TOKENS)

    def _delete(self, text: bytearray) -> None:
        at = self._at(text)
        del text[at : at + 1 + self._random.getrandbits(4)]

    def _double(self, text: bytearray) -> None:
        at, size = self._at(text), self._random.getrandbits(6)
        text[at:at] = text[at : at + size] * (1 + self._random.getrandbits(3))

    def _splice(self, text: bytearray) -> None:
        other = self._random.choice(self._seeds)
        text[self._at(text) :] = other[self._at(bytearray(other)) :]

    def _cut(self, text: bytearray) -> None:
        del text[self._at(text) :]

    def _number(self, text: bytearray) -> None:
        """Give another number to what ends in one, such as an id."""
        at = text.find(b":", self._at(text))
        if at >= 0:
            end = at + 1
            while end < len(text) and 48 <= text[end] <= 57:
                end += 1
            text[at + 1 : end] = str(self._random.getrandbits(8)).encode()


def _object(seed: bytes) -> bytes | None:
    try:
        return seed if isinstance(json.loads(seed), dict) else None
    except (ValueError, RecursionError):
        return None


def delivered(frame: bytes, random: Random) -> list[bytes]:
    """
    The reads in which a frame arrives: mostly one; now and then in pieces, or
    with a length that is not its own.
    """
    odd = random.getrandbits(6)
    length = len(frame)
    if odd == 0:
        length = random.choice((0, 1, length + 1, max(0, length - 1), 2**31, 2**32 - 1))
    data = length.to_bytes(4, "big") + frame
    if odd == 1:
        cut = random.randrange(1, len(data))
        return [data[:cut], data[cut:]]
    return [data]


def segmented(frames: Sequence[bytes], random: Random) -> list[bytes]:
    """
    The reads in which frames arrive that are sent together: cut anywhere, and where
    something begins; now and then with a length that is not its own.
    """
    data = b""
    for frame in frames:
        length = len(frame)
        if not random.getrandbits(9):
            length = max(0, length + random.choice((-1, 1, -length, 100, 2**31)))
        data += length.to_bytes(4, "big") + frame
    marks = [found.start() for found in _MARKS.finditer(data)] or [0]
    cuts = [random.choice(marks), random.randrange(len(data))][: random.getrandbits(2)]
    ends = sorted({0, len(data), *cuts})
    return [data[start:stop] for start, stop in pairwise(ends)]


def escaped(data: Any) -> str:
    """
    Bytes as they are shown in a message.
    """
    return repr(bytes(data))[:2000]
