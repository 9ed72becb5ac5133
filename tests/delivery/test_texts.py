"""
Whatever texts a peer sends, every store answers as the memory of the process does.
"""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import succeed
from twisted.trial.unittest import SynchronousTestCase

from tests.delivery.driven import BEDS, Driven
from tests.raw import Conversation, RawPeer

IDL = """
service Notes {
    string keep(string text);
}
"""

#: All that JSON may hold, and what makes trouble for those who keep texts.
TEXTS = st.one_of(
    st.text(st.characters(codec=None), max_size=150),
    st.text("\0\n\x7f\x9f\ud800\udfff\ufffe\U0010ffff@:-'\\", max_size=150),
)


class Notes:
    """It keeps nothing."""

    def keep(self, text: str) -> str:
        """The same."""
        return text


class Named:
    """
    Whoever calls is who he says.
    """

    required = False

    def authenticate(self, peer: Any, auth: Any) -> Any:
        """The token."""
        return "ada" if auth is None else succeed(auth["token"])


class Asker:
    """
    A server, and what a peer asks it with a text.
    """

    def __init__(self, **options: Any) -> None:
        self.talk = Conversation(IDL, Notes(), authenticator=Named(), **options)

    def hello(self, **params: Any) -> tuple[RawPeer, str, Any]:
        """Negotiate; the session, and the answer without what differs anyway."""
        peer = self.talk.connect()
        answer = self.talk.hello(peer, **params)
        answer["timestamp"] = None
        result = answer["result"] or {"session": ""}
        session = result["session"]
        result.update(session="", time=0, guarantee={})
        return peer, session, answer

    def asked(self, peer: RawPeer, session: str, *messages: Any) -> list[str]:
        """Ask, one after the other, as long as there is somebody to ask."""
        answers: list[str] = []
        for message in messages:
            for answer in self.talk.say(peer, message):
                answer["timestamp"] = None
                answers.append(json.dumps(answer).replace(session or "$none", "S"))
        return answers

    def answers(self, text: str) -> list[Any]:
        """What a peer is told that sends C{text} wherever a text may be."""
        talk = self.talk
        told: list[Any] = []
        peer, session, answer = self.hello(session=text)
        told.append(answer)
        told += self.asked(
            peer,
            session,
            talk.request(f"{session}:1", "keep", [text], ext={}),
            talk.request(f"{session}:1", "keep", [text], ext={}),
            talk.request(f"{session}:2", text, [text], ext={}),
            talk.request(f"{session}:3", "keep", ["1"], service=text, ext={}),
            talk.request(f"{session}:4", "keep", ["1"], ext={"meta": {"a": text}}),
            talk.request(text, "keep", ["1"], ext={}),
        )
        peer, session, _ = self.hello()
        for name in (text, f"{session}:{text}"):
            for method in ("resolve", "cancel", "ack"):
                told += self.asked(
                    peer,
                    session,
                    {
                        "request_id": "$1",
                        "service": "$rpc",
                        "method": method,
                        "params": [name],
                        "timestamp": 1,
                    },
                )
        plain = talk.connect()
        told += self.asked(
            plain, "", talk.request(text, "keep", ["1"]), talk.request("a", text, [])
        )
        auth = {"scheme": "bearer", "token": text}
        peer, session, answer = self.hello(auth=auth)
        told.append(answer)
        told += self.asked(
            peer, session, talk.request(f"{session}:1", "keep", ["1"], ext={})
        )
        return told

    def left(self) -> None:
        """Everybody leaves."""
        for protocol in list(self.talk.server.factory.shared.connections):
            protocol.transport.loseConnection()
        self.talk.pump()


class TextsTests(SynchronousTestCase):
    """
    Null bytes, other scripts, halves of characters: none of a store's business.
    """

    def compare(self, name: str, examples: int) -> None:
        """Ask servers with and without a store the same."""
        bed = BEDS[name]()
        self.addCleanup(bed.remove)
        store = Driven(bed.store("a"))
        asked, memory = Asker(dedup=store), Asker()
        self.addCleanup(store.stop)

        @settings(
            max_examples=examples,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        @example("\0")
        @example("a\0b")
        @example("")
        @example("0")
        @example("01")
        @example("-" * 64)
        @example("@ada")
        @example("\ud800")
        @example("\N{CYRILLIC SMALL LETTER A}" * 128)
        @example("x" * 200_000)
        @given(TEXTS)
        def alike(text: str) -> None:
            answers = asked.answers(text)
            self.assertEqual(answers, memory.answers(text))
            if all(not "\ud800" <= each <= "\udfff" for each in text):
                # Else it is no JSON (W7).
                self.assertEqual(answers[0], asked.hello()[2])
            asked.left()
            memory.left()

        alike()
        self.flushLoggedErrors(ValueError)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_sqlite(self) -> None:
        """
        SQLite.
        """
        self.compare("sqlite", 15)

    def test_postgresql(self) -> None:
        """
        PostgreSQL, which has no null bytes.
        """
        self.compare("postgresql", 15)

    def test_redis(self) -> None:
        """
        Redis.
        """
        self.compare("redis", 15)
