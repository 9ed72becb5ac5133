"""
Tests for frames that are compared instead of read.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_rpc.wire.alike import (
    BEGINNING,
    MIDDLE_SIZE,
    PARAMS,
    middle_of,
    read_tail,
    successive,
)
from twisted_rpc.wire.messages import CallMessage, CallTemplate, write_ack, write_stamp

ID = b"5e55:17"

#: Texts that may stand where one of ours stands, or stand for something else.
SNIPPETS = st.sampled_from(
    [
        b"",
        b" ",
        b",",
        b"}",
        b"]",
        b'"',
        b"0",
        b"7",
        b"-1",
        b"1e3",
        b'"more":1,',
        b'"ack":5,',
        b'"params":[2],',
        b',"timestamp":1,"service":"Other","ext":{"timeout":5,"ack":5}}',
        b"\\u0061",
        b"\xff",
    ]
)


def frame(
    params: bytes = b"[5,3]",
    service: str = "Calculator",
    method: str = "add",
    timeout: int = 10_000,
    ack: int = 12,
) -> bytes:
    """
    A frame as our own client writes it.
    """
    template = CallTemplate(service, method, timeout)
    stamp = write_stamp(1795676213.25)
    _, parts = template.first(ID, params, stamp, write_ack(ack))
    return b"".join(parts)


def found(data: bytes) -> Any:
    """
    What surrounds the arguments of a frame: the text before them, the text behind
    them, and what that says.
    """
    start = len(BEGINNING) + len(ID)
    tail = read_tail(data, start, len(data))
    stop = data.find(PARAMS, start, start + MIDDLE_SIZE) + len(PARAMS)
    return None if tail is None else (data[start:stop], *tail)


class AlikeTests(SynchronousTestCase):
    """
    L{middle_of} and L{read_tail}.
    """

    def test_found(self) -> None:
        """
        What stands around the arguments says which method it is, and how long the
        caller waits.
        """
        middle, tail, *said = found(frame())
        self.assertEqual(middle + b"[5,3]" + tail, frame()[len(BEGINNING) + len(ID) :])
        self.assertEqual(middle, middle_of("add"))
        self.assertEqual(said, ["Calculator", 10_000, 12])

    def test_any_method(self) -> None:
        """
        A method may be called what its server likes, up to 128 characters.
        """
        for name in ("a", "\xe4dd", 'a"b', "n" * 128):
            middle, *_ = found(frame(method=name))
            self.assertEqual(middle, middle_of(name))
        middle, *_ = found(frame(method="n" * 200))
        self.assertNotEqual(middle, middle_of("n" * 200))

    def test_elsewhere(self) -> None:
        """
        A frame is looked at where it stands among others.
        """
        one = frame()
        data = b"before" + one + one
        start = len("before") + len(BEGINNING) + len(ID)
        self.assertEqual(read_tail(data, start, 6 + len(one)), found(one)[1:])
        self.assertIsNone(read_tail(data, start, len(data) - 1))

    def test_left_to_the_reader(self) -> None:
        """
        Whatever is written in another way is read.
        """
        usual = frame().decode()
        for old, new in (
            ('"method":"add"', '"method": "add"'),
            ('"method":"add"', '"method":"\\u0061dd"'),
            ('"method":"add"', '"method":"\xe4"'),
            ('"params"', '"PARAMS"'),
            (',"ack":12', ""),
            ('"ack":12', '"ack":12,"attempt":2'),
            ('"ack":12', '"ack":0'),
            ('"ack":12', '"ack":012'),
            ('"ack":12', '"ack":1.0'),
            ('"ack":12', '"ack":9007199254740993'),
            ('"timeout":10000', '"timeout":-1'),
            ('"timestamp":1795676213.25', '"timestamp":01'),
            ('"timestamp":1795676213.25', '"timestamp":"now"'),
            ('"service":"Calculator",', ""),
            ("}}", "}} "),
            ("}}", '},"more":1}'),
        ):
            self.assertIn(old, usual)
            around = found(usual.replace(old, new).encode())
            self.assertFalse(around and around[0] == middle_of("add"), new)

    @given(st.integers(1, 10**6))
    def test_ids(self, seq: int) -> None:
        """
        Ids that follow one another are written as their parts say.
        """
        high, endings = successive("5e55:", seq)
        for number, (text, digits) in enumerate(endings, seq):
            self.assertEqual(high + text, f"5e55:{number}")
            self.assertEqual(digits, text.encode())
        self.assertTrue(endings)

    @given(
        st.integers(0, 200),
        st.integers(0, 3),
        SNIPPETS,
        st.sampled_from(
            [b"[5,3]", b"[]", b'["]}",[{"a":[1]}]]', b"[[[", b'[1],"x":[2]']
        ),
    )
    def test_says_what_reading_says(
        self, at: int, removed: int, inserted: bytes, params: bytes
    ) -> None:
        """
        A frame whose arguments are an array, and whose surroundings are found, is
        read as what was found, however it was made.
        """
        data = frame(params)
        at = min(at, len(data))
        at = max(at, len(BEGINNING) + len(ID))
        data = data[:at] + inserted + data[at + removed :]
        around = found(data)
        if around is None:
            return
        middle, tail, *said = around
        if middle != middle_of("add"):
            return
        text = data[len(BEGINNING) + len(ID) + len(middle) : -len(tail)]
        try:
            msgspec.json.decode(text, type=list[Any])
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return
        read = msgspec.json.decode(data, type=CallMessage)
        self.assertEqual(bytes(read.params), text)
        self.assertEqual(
            [read.method, read.service, read.ext.timeout, read.ext.ack],
            ["add", *said],
        )
        self.assertEqual(read.request_id.encode(), ID)
        self.assertEqual(json.loads(data)["params"], json.loads(text))
