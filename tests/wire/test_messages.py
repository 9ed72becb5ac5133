"""
Tests for L{twisted_rpc.wire.messages}.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_rpc.errors import Code, RPCError
from twisted_rpc.wire.limits import Limits
from twisted_rpc.wire.messages import (
    MAX_INTEGER,
    CallMessage,
    CallTemplate,
    ReplyMessage,
    RequestMessage,
    read_error,
    read_plain_error,
    write_ack,
    write_error,
    write_reply,
    write_stamp,
    write_text,
)
from twisted_rpc.wire.server import ServerConnection

IDS = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=128)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
COUNTS = st.integers(1, MAX_INTEGER)
EXT = st.fixed_dictionaries(
    {},
    optional={
        "timeout": COUNTS,
        "attempt": COUNTS,
        "ack": COUNTS,
        "meta": st.dictionaries(NAMES, NAMES, max_size=3),
        "oneway": st.just(True),
        "stream": st.just(True),
        "credit": COUNTS,
        "seq": COUNTS,
        "more": st.booleans(),
        "crit": st.lists(NAMES, max_size=3),
    },
)


def reply(**ext: Any) -> ReplyMessage:
    """
    An error reply as it is read.
    """
    text = json.dumps({"request_id": "a", "error": "e", "ext": ext})
    return msgspec.json.decode(text, type=ReplyMessage)


class WriteTests(SynchronousTestCase):
    """
    What is written is what is read.
    """

    @settings(deadline=None, max_examples=50)
    @given(
        IDS,
        NAMES,
        NAMES,
        st.lists(st.integers() | NAMES),
        st.floats(0, 1e10),
        st.none() | EXT,
    )
    def test_requests(
        self,
        request_id: str,
        service: str,
        method: str,
        params: list[Any],
        seconds: float,
        ext: dict[str, Any] | None,
    ) -> None:
        """
        Writing a request and reading it is the identity.
        """
        frame = CallTemplate(service, method).write(
            request_id, msgspec.json.encode(params), write_stamp(seconds), ext
        )
        read = msgspec.json.decode(frame, type=RequestMessage)
        self.assertEqual(
            (read.request_id, read.service, read.method), (request_id, service, method)
        )
        self.assertEqual(json.loads(bytes(read.params)), params)
        self.assertLess(abs(read.timestamp - seconds), 1e-6)
        if ext is None:
            self.assertIsNone(read.ext)
            self.assertEqual(len(json.loads(frame)), 5)
        else:
            self.assertEqual(json.loads(frame)["ext"], ext)
            for name, value in ext.items():
                self.assertEqual(getattr(read.ext, name), value)

    @settings(deadline=None, max_examples=50)
    @given(NAMES, NAMES, COUNTS, COUNTS)
    def test_ordinary_requests(
        self, service: str, method: str, timeout: int, ack: int
    ) -> None:
        """
        So it is with the parts of ordinary calls, whatever the names, and from
        call to call.
        """
        template = CallTemplate(service, method, timeout)
        for stamp, each in ((b"1.5", ack), (b"1.5", 7), (b"2.5", 7)):
            size, parts = template.first(b"s:1", b"[]", stamp, write_ack(each))
            frame = b"".join(parts)
            self.assertEqual(len(frame), size)
            read = msgspec.json.decode(frame, type=CallMessage)
            self.assertEqual((read.service, read.method), (service, method))
            self.assertEqual(read.timestamp, float(stamp))
            self.assertEqual((read.ext.timeout, read.ext.ack), (timeout, each))

    @settings(deadline=None, max_examples=50)
    @given(IDS, st.lists(st.integers() | NAMES), st.booleans())
    def test_results(self, request_id: str, result: Any, replayed: bool) -> None:
        """
        Writing a result and reading it is the identity.
        """
        text = msgspec.json.encode(result)
        frame = write_reply(request_id, text, b"1", replayed=replayed)
        read = msgspec.json.decode(frame, type=ReplyMessage)
        self.assertEqual((read.request_id, read.error), (request_id, None))
        self.assertEqual(bytes(read.result), text)
        self.assertEqual(read.ext is not None and read.ext.replayed, replayed)

    @settings(deadline=None, max_examples=50)
    @given(
        IDS,
        st.sampled_from(Code),
        NAMES,
        st.sampled_from(["no", "yes", "unknown"]),
        st.none() | st.just(-1.0) | st.integers(0, 10**9).map(lambda ms: ms / 1000),
        st.none() | NAMES,
        st.none() | st.dictionaries(NAMES, st.integers() | NAMES, max_size=3),
    )
    def test_errors(
        self,
        request_id: str,
        code: Code,
        message: str,
        executed: Any,
        retry_after: float | None,
        error_id: str | None,
        data: dict[str, Any] | None,
    ) -> None:
        """
        Writing an error and reading it is the identity.
        """
        error = RPCError(
            code,
            message,
            executed=executed,
            retry_after=retry_after,
            error_id=error_id,
            type=None if data is None else "Declared",
            data=data,
        )
        frame = write_error(request_id, error, b"1", extended=True)
        read = read_error(msgspec.json.decode(frame, type=ReplyMessage))
        # An empty sentence would not be an error: its code stands in for it.
        error.message = message or code.value
        error.remote = True
        error.args = (error.code, error.message)
        self.assertEqual(vars(read), vars(error))

    def test_plain_replies_have_four_members(self) -> None:
        """
        A reply of the plain profile has no member that a plain client does not
        know, and writes C{"error": null} (F8, F9).
        """
        error = RPCError(Code.NOT_FOUND, "no", type="T", data={"a": 1}, error_id="e")
        for frame in (
            write_reply("a", b"1", b"1"),
            write_error("a", error, b"1", extended=False),
        ):
            self.assertEqual(
                list(json.loads(frame)), ["request_id", "result", "error", "timestamp"]
            )

    def test_error_is_a_string(self) -> None:
        """
        C{error} is a string whatever an implementation put there (F11).
        """
        for message, said in ((5, "5"), ("", "NOT_FOUND"), ("\ud800", "\\ud800")):
            error = RPCError(Code.NOT_FOUND, message)  # type: ignore[arg-type]
            frame = write_error("a", error, b"1", extended=False)
            self.assertEqual(json.loads(frame)["error"], said)

    def test_no_such_time(self) -> None:
        """
        A time to wait that never comes is written as "do not retry".
        """
        for seconds, written in (
            (float("inf"), -1),
            (float("nan"), -1),
            (-7.0, -1),
            (1e300, MAX_INTEGER),
            (0.25, 250),
        ):
            error = RPCError(Code.UNAVAILABLE, "x", retry_after=seconds)
            frame = write_error("a", error, b"1", extended=True)
            self.assertEqual(json.loads(frame)["ext"]["retry_after"], written)

    def test_stamp(self) -> None:
        """
        Instants are written as short as they can be read.
        """
        self.assertEqual(write_stamp(1800000000.25), b"1800000000.25")
        self.assertEqual(write_stamp(1800000000.1234567), b"1800000000.1234567")

    @settings(deadline=None, max_examples=50)
    @given(st.text())
    def test_text(self, text: str) -> None:
        """
        Text is written as JSON that says the same.
        """
        self.assertEqual(json.loads(write_text(text)), text)


class ReadTests(SynchronousTestCase):
    """
    Errors as they are read.
    """

    def test_unknown_code(self) -> None:
        """
        A code of a newer server's is UNKNOWN, and so is none at all.
        """
        self.assertIs(read_error(reply(code="BRAND_NEW")).code, Code.UNKNOWN)
        self.assertIs(read_error(ReplyMessage("a", error="e")).code, Code.UNKNOWN)

    def test_unknown_executed(self) -> None:
        """
        Only C{"no"} and C{"yes"} say that much.
        """
        for said, read in (("no", "no"), ("yes", "yes"), ("maybe", "unknown")):
            error = read_error(reply(code="ABORTED", executed=said))
            self.assertEqual(error.executed, read)

    def test_retry_after(self) -> None:
        """
        Milliseconds become seconds; everything below 0 says "do not retry".
        """
        for written, read in ((250, 0.25), (0, 0.0), (-1, -1.0), (-99, -1.0)):
            error = read_error(reply(code="ABORTED", retry_after=written))
            self.assertEqual(error.retry_after, read)

    def test_endless_retry_after(self) -> None:
        """
        A number beyond the protocol's integers is not legal.
        """
        self.assertRaises(
            msgspec.ValidationError, reply, code="ABORTED", retry_after=10**300
        )

    def test_data(self) -> None:
        """
        Members of a declared exception that are no object are none.
        """
        for data, read in (({"a": 1}, {"a": 1}), ([1], None), (5, None)):
            self.assertEqual(read_error(reply(type="T", data=data)).data, read)

    def test_unreadable_data(self) -> None:
        """
        Neither are those that cannot be read: what is skipped at first is not
        looked at.
        """
        for data in (b'{"a":"\xff"}', b'{"a":1e999}'):
            message = msgspec.json.decode(
                b'{"request_id":"a","error":"e","ext":{"type":"T","data":%b}}' % data,
                type=ReplyMessage,
            )
            self.assertIsNone(read_error(message).data)

    def test_plain(self) -> None:
        """
        Three sentences of a plain server tell the code; whether the call ran,
        none of them tells.
        """
        for text, code in (
            ("Service not found: X", Code.UNIMPLEMENTED),
            ("Method not found: S.m", Code.UNIMPLEMENTED),
            ("Parameter validation failed: a: expected int", Code.INVALID_ARGUMENT),
            ("Invalid request: method is missing", Code.UNKNOWN),
            ("Division by zero", Code.UNKNOWN),
            ("", Code.UNKNOWN),
        ):
            error = read_plain_error(text)
            self.assertEqual(
                (error.code, error.message, error.executed, error.remote),
                (code, text, "unknown", True),
            )

    def test_members_in_any_order(self) -> None:
        """
        Members may come in any order, unknown ones are ignored (W6).
        """
        frame = (
            b'{"new":[{}],"timestamp":1,"service":"S","params":[ 1 ],'
            b'"method":"m","request_id":"a"}'
        )
        received = ServerConnection(Limits()).receive(frame)
        assert isinstance(received, RequestMessage)
        self.assertEqual((received.method, bytes(received.params)), ("m", b"[ 1 ]"))

    def test_last_wins(self) -> None:
        """
        Of a name that occurs twice the last counts (W6).
        """
        frame = b'{"request_id":"a","request_id":"b","method":"m","params":[],"timestamp":1}'
        received = ServerConnection(Limits()).receive(frame)
        assert isinstance(received, RequestMessage)
        self.assertEqual(received.request_id, "b")

    def test_default_service(self) -> None:
        """
        A request without a service asks the one called C{"default"} (F5).
        """
        frame = b'{"request_id":"a","method":"m","params":[],"timestamp":1}'
        received = ServerConnection(Limits()).receive(frame)
        assert isinstance(received, RequestMessage)
        self.assertEqual(received.service, "default")
