# -*- test-case-name: tests.wire.test_alike -*-
"""
Frames that differ from the one before them in their number and arguments only.

A client that has many calls in flight writes them as we do: in one order of
members, the same method again and again, and behind the arguments what is the
same for a whole turn.  What surrounds the arguments is then compared, not read:
0.3 us instead of 0.75.  It says the same as reading it, because what stands
between two texts that are known is one array: who decodes the arguments sees to
that.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

#: How such a frame begins, and its answer; then comes the id, which needs no escaping.
BEGINNING: Final = b'{"request_id":"'

#: From the id to the arguments.
_MIDDLE: Final = re.compile(
    rb'","method":"([A-Za-z0-9_.$-]{1,128})","params":(?=\[)', re.DOTALL
)

#: From the arguments to the end: no number that another reader could read
#: otherwise, no name that needs escaping, no member that is not here.
_TAIL: Final = re.compile(
    rb',"timestamp":(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,20})?'
    rb',"service":"([A-Za-z0-9_.$-]{1,128})"'
    rb',"ext":\{"timeout":([1-9][0-9]{0,14}),"ack":([1-9][0-9]{0,14})\}\}'
)
_TAIL_BEGINS: Final = b',"timestamp":'

#: The longest tail that L{_TAIL} matches is shorter.
_TAIL_SIZE: Final = 300


class Surroundings(NamedTuple):
    """
    What stands around the arguments of a call, and what it says.

    @ivar middle: the text from the id to the arguments.
    @ivar tail: the text behind them.
    @ivar timeout: milliseconds.
    """

    middle: bytes
    tail: bytes
    service: str
    method: str
    timeout: int
    ack: int


def surroundings(data: bytes, start: int, stop: int) -> Surroundings | None:
    """
    @param start: where the id ends that stands in C{data}.
    @param stop: where the frame ends.

    @return: C{None}: the frame has to be read.
    """
    middle = _MIDDLE.match(data, start, stop)
    if middle is None:
        return None
    begin = data.rfind(_TAIL_BEGINS, max(middle.end(), stop - _TAIL_SIZE), stop)
    if begin < 0:
        return None
    tail = _TAIL.fullmatch(data, begin, stop)
    if tail is None:
        return None
    service, timeout, ack = tail.groups()
    return Surroundings(
        middle[0],
        tail[0],
        service.decode(),
        middle[1].decode(),
        int(timeout),
        int(ack),
    )


def acknowledging(data: bytes, stop: int, tail: bytes) -> tuple[bytes, int] | None:
    """
    @param stop: where a frame ends that stands in C{data}.
    @param tail: of the frame before it.

    @return: its tail, if that differs in the ack only, and the ack.
    """
    stem = tail[: tail.rindex(b":") + 1]
    begin = data.rfind(stem, max(0, stop - len(stem) - 17), stop)
    if begin < 0:
        return None
    found = data[begin:stop]
    ack = found[len(stem) : -2]
    # int() would read "+1" and "1_0" too.
    if found[-2:] != b"}}" or not ack.isdigit() or ack[:1] == b"0" or len(ack) > 15:
        return None
    return found, int(ack)


#: How ids end, as they are compared: to write a number takes 0.2 us.
_ONE: Final = [(f"{n}", b"%d" % n) for n in range(10)]
_TWO: Final = [(f"{n:02}", b"%02d" % n) for n in range(100)]


def successive(prefix: str, seq: int) -> tuple[str, list[tuple[str, bytes]]]:
    """
    The ids of a session from C{seq} on, as far as they differ in their end only.

    @return: what they begin with; how each ends.
    """
    if seq < 10:
        return prefix, _ONE[seq:]
    high = f"{prefix}{seq // 100}" if seq >= 100 else prefix
    return high, _TWO[seq % 100 :]
