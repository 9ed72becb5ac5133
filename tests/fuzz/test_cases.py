"""
Texts that are JSON are read, all others end in a typed error, soon.
"""

from __future__ import annotations

import json
import tracemalloc
from time import process_time
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.fuzz.cases import bombs, framed, invalid, valid
from tests.raw import Conversation, RawPeer
from twisted_rpc import Limits

IDL = "service Fuzz { any echo(any value); void take(any value) }"

MIB = 1024 * 1024


class Fuzz:
    """
    Answers with what it is given.
    """

    def echo(self, value: Any) -> Any:
        return value

    def take(self, value: Any) -> None:
        """Nothing."""


class CasesCase(SynchronousTestCase):
    """
    A real server that takes anything.
    """

    limits = Limits()

    def setUp(self) -> None:
        self.peers = Conversation(IDL, Fuzz(), limits=self.limits)
        self.peer = self.connect()

    def connect(self) -> RawPeer:
        """
        @return: a connection of the plain profile.
        """
        return self.peers.connect()

    def answer(self, text: bytes, request_id: str, method: bytes = b"echo") -> Any:
        """
        @return: the reply to a call with C{text} as its parameter; a connection
            that was closed after it is replaced.
        """
        self.peer.sendString(framed(text, request_id, method))
        self.peers.pump()
        reply = self.peer.frames.pop()
        self.assertEqual(self.peer.frames, [])
        if self.peer.lost or reply["request_id"] == "unknown":
            self.peer = self.connect()
        return reply


class CasesTests(CasesCase):
    """
    All cases, one after the other.
    """

    def test_valid(self) -> None:
        """
        95 of 95 are read: what comes back is what they say.
        """
        self.assertEqual(len(set(valid())), 95)
        for number, text in enumerate(valid()):
            reply = self.answer(text, f"valid-{number}")
            self.assertEqual(
                (reply["error"], reply["result"]), (None, json.loads(text)), text[:80]
            )

    def test_invalid(self) -> None:
        """
        More than 188 are refused, under their id or as C{unknown}, in a sentence
        that says why; nobody else notices.
        """
        self.assertGreaterEqual(len(set(invalid())), 188)
        other = self.connect()
        for number, text in enumerate(invalid()):
            reply = self.answer(text, f"invalid-{number}")
            self.assertIsNone(reply["result"], text[:80])
            self.assertIn(reply["request_id"], ("unknown", f"invalid-{number}"))
            self.assertRegex(
                reply["error"],
                "^(Invalid request|Parameter validation failed): ",
                text[:80],
            )
            self.assertLess(len(reply["error"]), 400)
            other.sendString(framed(b"1", f"other-{number}"))
            self.peers.pump()
            self.assertEqual(other.frames.pop()["result"], 1)

    def test_again(self) -> None:
        """
        The list is right: the standard library refuses all but what it is known
        to let through, and what is more than this protocol carries.
        """
        through = []
        for text in invalid():
            try:
                json.loads(b"[" + text + b"]")
            except (ValueError, RecursionError):
                continue
            through.append(text)
        self.assertEqual(len(through), 19, [each[:20] for each in through])


class BombTests(CasesCase):
    """
    The dearest messages of 1 MiB, through a whole server.

    Times are of the processor, with bounds far above what is taken; the proof
    C{bombs} takes 4 MiB.
    """

    def blow(self, name: str, text: bytes, *, refused: bool) -> None:
        """
        Send C{text}: it is answered in bounded time and memory.
        """
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        reply = self.answer(text, name, b"take")
        _, peak = tracemalloc.get_traced_memory()
        self.assertEqual(
            reply["error"] is not None, refused, f"{name}: {reply['error']}"
        )
        # Of these, the transport in memory and the peer hold several copies.
        self.assertLess(peak - before, 25 * len(text) + MIB, name)
        tracemalloc.stop()
        began = process_time()
        self.answer(text, f"{name}, again", b"take")
        self.assertLess(process_time() - began, 0.3, name)

    def test_bombs(self) -> None:
        """
        Nesting, width, names, digits, exponents, quotes: refused in time, or read
        where they are none.
        """
        for name, text, refused in bombs(4):
            self.blow(name, text, refused=refused)
