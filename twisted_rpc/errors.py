# -*- test-case-name: tests.test_errors -*-
"""
How things fail, by who must act.

L{RPCError}: the call failed, and the caller's program decides what to do.
L{ProtocolError}: somebody broke the protocol; the connection ends and user code
never sees it.  L{IDLError}: a person must edit a file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Literal

#: Whether a call ran, as far as the one who says so knows: C{"no"}, it did not
#: and will not by this attempt; C{"yes"}, it ran to its end; C{"unknown"}, it
#: may have run or still be running.
Executed = Literal["no", "yes", "unknown"]


class Code(Enum):
    """
    Why a call failed: gRPC's codes without OK, and six of our own.

    There is no code for success, so that an error can never carry it.

    @see: U{gRPC status codes <https://grpc.io/docs/guides/status-codes>}
    """

    CANCELLED = "CANCELLED"
    UNKNOWN = "UNKNOWN"
    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    NOT_FOUND = "NOT_FOUND"
    ALREADY_EXISTS = "ALREADY_EXISTS"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    RESOURCE_EXHAUSTED = "RESOURCE_EXHAUSTED"
    FAILED_PRECONDITION = "FAILED_PRECONDITION"
    ABORTED = "ABORTED"
    OUT_OF_RANGE = "OUT_OF_RANGE"
    UNIMPLEMENTED = "UNIMPLEMENTED"
    INTERNAL = "INTERNAL"
    UNAVAILABLE = "UNAVAILABLE"
    DATA_LOSS = "DATA_LOSS"
    UNAUTHENTICATED = "UNAUTHENTICATED"

    # What gRPC has no word for: the record of a call, and what it still says.
    OUTCOME_UNKNOWN = "OUTCOME_UNKNOWN"
    STALE_REQUEST = "STALE_REQUEST"
    SESSION_UNKNOWN = "SESSION_UNKNOWN"
    ID_REUSED = "ID_REUSED"
    RESULT_NOT_CACHED = "RESULT_NOT_CACHED"
    IN_PROGRESS = "IN_PROGRESS"


class RPCError(Exception):
    """
    A call failed.

    It is the only thing a caller's Deferred fails with, besides cancellation.
    An implementation raises it to fail a call with a code of its choice; the
    message is sent to the caller.  C{RPCError(Code.NOT_FOUND, "...")} makes an
    instance of the code's own subclass, here L{NotFound}; so does
    C{NotFound("...")}.

    @ivar code: why it failed.
    @ivar message: a sentence for a person; it crosses the wire.
    @ivar executed: whether the call ran.
    @ivar retry_after: seconds to wait at least before another attempt; C{-1.0}:
        do not retry; C{None}: the peer said nothing.
    @ivar error_id: finds the entry in the server's log, or C{None}.
    @ivar remote: C{True} if the peer said so, C{False} if this side inferred it.
    @ivar replayed: C{True} if it is the stored answer of an earlier attempt.
    @ivar type: the IDL name of a declared exception this side has no class for.
    @ivar data: the members of such an exception, as JSON values.
    @ivar request_id: at a client the id of the call, if it had one, for
        L{Client.resolve<twisted_rpc.Client.resolve>}.  Who knows it could ask for
        the answer: do not log it whole.
    """

    code: Code = Code.UNKNOWN
    message: str = ""
    request_id: str | None = None

    def __new__(  # noqa: PYI034 - a subclass of the code's
        cls, code: Code | str | None = None, *args: Any, **kwargs: Any
    ) -> RPCError:
        """
        Choose the subclass of C{code}, where the class itself leaves it open.
        """
        if cls is RPCError and isinstance(code, Code):
            return super().__new__(_BY_CODE[code])
        return super().__new__(cls)

    def __init__(
        self,
        code: Code | str | None = None,
        message: str = "",
        *,
        executed: Executed = "yes",
        retry_after: float | None = None,
        error_id: str | None = None,
        remote: bool = False,
        replayed: bool = False,
        type: str | None = None,
        data: dict[str, Any] | None = None,
    ) -> None:
        if isinstance(code, Code):
            self.code = code
        elif code is not None:
            if message or self.__class__ is RPCError:
                name = self.__class__.__name__
                raise TypeError(f"{name} takes a Code and a message, not {code!r}")
            # The class names the code.
            message = code
        self.message = message
        self.executed: Executed = executed
        self.retry_after = retry_after
        self.error_id = error_id
        self.remote = remote
        self.replayed = replayed
        self.type = type
        self.data = data
        super().__init__(self.code, message)

    def __reduce__(self) -> tuple[Any, ...]:
        """
        Pickle with every attribute, so that an error may cross to a process.
        """
        return _restore, (type(self), self.__dict__.copy())

    def __str__(self) -> str:
        if self.message.startswith(self.code.name):
            return self.message
        return f"{self.code.name}: {self.message}" if self.message else self.code.name

    def __repr__(self) -> str:
        extra = "".join(
            f", {name}={value!r}"
            for name, value in (
                ("retry_after", self.retry_after),
                ("error_id", self.error_id),
                ("type", self.type),
            )
            if value is not None
        )
        # A refusal's sentence names the code, for who sees nothing else.
        text = self.message.removeprefix(f"{self.code.name}: ")
        return (
            f"<{type(self).__name__} {self.code.name} {text!r}, "
            f"executed={self.executed}{extra}>"
        )


def _restore(cls: type[RPCError], state: dict[str, Any]) -> RPCError:
    error = Exception.__new__(cls)
    error.__dict__.update(state)
    error.args = (error.code, error.message)
    return error


class Cancelled(RPCError):
    """The caller gave the call up."""

    code = Code.CANCELLED


class Unknown(RPCError):
    """It failed, and no better code is known; every error of a plain server."""

    code = Code.UNKNOWN


class InvalidArgument(RPCError):
    """The message, the id or an argument is wrong; nothing ran."""

    code = Code.INVALID_ARGUMENT


class DeadlineExceeded(RPCError):
    """Time was up."""

    code = Code.DEADLINE_EXCEEDED


class NotFound(RPCError):
    """What was asked for is not there."""

    code = Code.NOT_FOUND


class AlreadyExists(RPCError):
    """What was to be made is there already."""

    code = Code.ALREADY_EXISTS


class PermissionDenied(RPCError):
    """This caller may not call this method."""

    code = Code.PERMISSION_DENIED


class ResourceExhausted(RPCError):
    """A limit was reached: overload, a queue, a window, or a frame too big."""

    code = Code.RESOURCE_EXHAUSTED


class FailedPrecondition(RPCError):
    """The state of the system does not allow it; the same call fails again."""

    code = Code.FAILED_PRECONDITION


class Aborted(RPCError):
    """It lost a conflict with another operation."""

    code = Code.ABORTED


class OutOfRange(RPCError):
    """It went past the valid range."""

    code = Code.OUT_OF_RANGE


class Unimplemented(RPCError):
    """The server has no such service, method or feature, or it is off."""

    code = Code.UNIMPLEMENTED


class Internal(RPCError):
    """The implementation raised something undeclared or returned a wrong type."""

    code = Code.INTERNAL


class Unavailable(RPCError):
    """The server cannot be reached or is going away."""

    code = Code.UNAVAILABLE


class DataLoss(RPCError):
    """Data is lost or corrupt."""

    code = Code.DATA_LOSS


class Unauthenticated(RPCError):
    """The server does not know who is calling."""

    code = Code.UNAUTHENTICATED


class OutcomeUnknown(RPCError):
    """The call may have run once, and will never run again under its id."""

    code = Code.OUTCOME_UNKNOWN


class StaleRequest(RPCError):
    """The record of the call is gone; it may have run, and never will again."""

    code = Code.STALE_REQUEST


class SessionUnknown(RPCError):
    """The server has no such session for this caller."""

    code = Code.SESSION_UNKNOWN


class IdReused(RPCError):
    """The id belongs to a call with other parameters: a programming error."""

    code = Code.ID_REUSED


class ResultNotCached(RPCError):
    """The call ran, and its answer is no longer kept."""

    code = Code.RESULT_NOT_CACHED


class InProgress(RPCError):
    """The call is running, and the server will not hold more who wait for it."""

    code = Code.IN_PROGRESS


#: The class of each code, e.g. C{ERRORS[Code.NOT_FOUND] is NotFound}.
ERRORS: Final[dict[Code, type[RPCError]]] = {
    cls.code: cls for cls in RPCError.__subclasses__()
}
_BY_CODE = ERRORS


def refusal(
    code: Code,
    text: str,
    *,
    executed: Executed = "no",
    retry_after: float | None = None,
) -> RPCError:
    """
    An error of the framework's own, whose sentence on the wire names its code,
    since a plain-profile peer sees nothing else.
    """
    return RPCError(
        code, f"{code.value}: {text}", executed=executed, retry_after=retry_after
    )


class InvalidValue(ValueError):
    """
    A value does not fit its IDL type.

    @ivar path: where the value stands, e.g. C{"order.items[2].price"}; C{""} for
        the whole.
    @ivar reason: what was expected and what was found.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}" if self.path else self.reason


class ProtocolError(Exception):
    """
    The protocol was broken.  Connections raise one of the two subclasses, which
    tell whose fault it was; the connection is closed, and this never crosses
    into user code.

    @see: U{h11 <https://h11.readthedocs.io/en/latest/api.html#error-handling>},
        which tells the two apart in the same way.
    """

    def __init__(self, message: str) -> None:
        if type(self) is ProtocolError:
            raise TypeError("raise LocalProtocolError or RemoteProtocolError instead")
        super().__init__(message)


class LocalProtocolError(ProtocolError):
    """This side tried to send what is not legal now: a mistake in this program."""


class RemoteProtocolError(ProtocolError):
    """The peer sent what is not legal now."""


@dataclass(frozen=True)
class Fault:
    """
    One thing to mend in an IDL file.

    @ivar path: the file, as it was named.
    @ivar line: counted from 1.
    @ivar column: counted in code points from 1.
    @ivar length: how many code points the carets span, at least 1.
    @ivar message: what was expected and what was found.
    @ivar hint: one line that says what to do, or C{""}.
    @ivar text: the line of the file, or C{""} where there is none.
    """

    path: str
    line: int
    column: int
    length: int
    message: str
    hint: str = ""
    text: str = ""

    def __str__(self) -> str:
        lines = [f"{self.path}:{self.line}:{self.column}: {self.message}"]
        if self.text:
            shown = self.text.expandtabs(1)
            room = max(1, len(shown) - self.column + 1)
            carets = "^" * max(1, min(self.length, room))
            lines.append(f"{self.line:>5} | {shown}")
            lines.append(" " * (7 + self.column) + carets)
        if self.hint:
            lines.append(f"  {self.hint}")
        return "\n".join(lines)


class IDLError(Exception):
    """
    An IDL file cannot be used until a person edits it.

    @ivar faults: what to mend, at least one, in the order of the text.
    """

    #: At most so many faults are shown; the rest are counted.
    SHOWN = 20

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__(*faults)
        self.faults = tuple(faults)

    @property
    def path(self) -> str:
        """The file of the first fault."""
        return self.faults[0].path

    @property
    def line(self) -> int:
        """The line of the first fault, from 1."""
        return self.faults[0].line

    @property
    def column(self) -> int:
        """The column of the first fault, from 1."""
        return self.faults[0].column

    def __str__(self) -> str:
        shown = [str(fault) for fault in self.faults[: self.SHOWN]]
        more = len(self.faults) - self.SHOWN
        if more > 0:
            shown.append(f"... and {more} more")
        return "\n".join(shown)
