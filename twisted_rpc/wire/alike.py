# -*- test-case-name: tests.wire.test_alike -*-
"""
Frames that are alike but for their number, method and arguments.

A client that has many calls in flight writes them as we do: in one order of
members, methods that are known, and behind the arguments what is the same for a
whole turn.  What surrounds the arguments is then compared with the frame before (0.2
us), or looked up (1.0), not read.  It says the same as reading it, because what
stands between two texts that are known is one array: who decodes the arguments sees
to that.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from twisted_rpc.wire.messages import write_text

#: How such a frame begins, and its answer; then comes the id, which needs no escaping.
BEGINNING: Final = b'{"request_id":"'

#: How the text from the id to the arguments ends, which begins with the method.
PARAMS: Final = b',"params":'

#: It is no longer, with a name of up to 128 characters.
MIDDLE_SIZE: Final = 160

#: Of numbers that every reader reads alike.
_DIGITS: Final = 15

#: From the arguments to the ack: no number that another reader could read
#: otherwise, no name that needs escaping, no member that is not here.
_STEM: Final = re.compile(
    rb',"timestamp":(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,20})?'
    rb',"service":"([A-Za-z0-9_.$-]{1,128})"'
    rb',"ext":\{"timeout":([1-9][0-9]{0,14}),"ack"'
)
_TAIL_BEGINS: Final = b',"timestamp":'

#: The longest tail that L{read_tail} takes is shorter.
_TAIL_SIZE: Final = 300


def middle_of(method: str) -> bytes:
    """
    @return: the text from the id to the arguments, in calls of a method.
    """
    return b'","method":%b%b' % (write_text(method), PARAMS)


def read_tail(data: bytes, start: int, stop: int) -> tuple[bytes, str, int, int] | None:
    """
    @param start: before the arguments of a call.
    @param stop: where its frame ends.

    @return: the text from the arguments to the end; the service, milliseconds until
        the caller gives up, and the ack.  C{None}: the frame has to be read.
    """
    begin = data.rfind(_TAIL_BEGINS, start, stop)
    if begin < 0 or stop - begin > _TAIL_SIZE:
        return None
    tail = data[begin:stop]
    stem, _, end = tail.rpartition(b":")
    found = _read_stem(stem)
    ack = end[:-2]
    # int() would read "+1" and "1_0" too.
    if (
        found is None
        or end[-2:] != b"}}"
        or not ack.isdigit()
        or ack[:1] == b"0"
        or len(ack) > _DIGITS
    ):
        return None
    return tail, *found, int(ack)


# A turn has few of them, of methods with timeouts of their own, and more acks.  To
# find one takes 0.06 us, to read it 1.2.
@lru_cache(256)
def _read_stem(stem: bytes) -> tuple[str, int] | None:
    found = _STEM.fullmatch(stem)
    return None if found is None else (found[1].decode(), int(found[2]))


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
