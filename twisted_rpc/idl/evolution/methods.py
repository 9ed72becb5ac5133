# -*- test-case-name: tests.idl.test_evolution -*-
"""
Methods of two versions: parameters, result, exceptions.
"""

from __future__ import annotations

from typing import Final

from twisted_rpc.idl.evolution.changes import Journal, Use, Verdict
from twisted_rpc.idl.evolution.enums import alike, rename
from twisted_rpc.idl.evolution.pairing import pair
from twisted_rpc.idl.evolution.policies import Called, compare_policies
from twisted_rpc.idl.evolution.routes import compare_routes
from twisted_rpc.idl.evolution.types import Spot, compare_types
from twisted_rpc.idl.evolution.values import same_value, written_value
from twisted_rpc.idl.model import Field, Method, Struct, Type

WIRE, SOURCE, SEMANTIC = Verdict.WIRE, Verdict.SOURCE, Verdict.SEMANTIC

_VOID: Final = "void"


def compare_methods(journal: Journal, old: Called, new: Called) -> None:
    """
    Note how a method has changed.
    """
    _Methods(journal, old, new).compare()


class _Methods:
    """
    Two versions of one method.
    """

    def __init__(self, journal: Journal, old: Called, new: Called) -> None:
        self._journal = journal
        self._called = old, new
        self._old, self._new = old[1], new[1]
        name = f"{new[0].name}.{self._new.name}"
        self._what = f"'{name}'"
        self._request, self._reply = Use("request", name), Use("reply", name)

    def compare(self) -> None:
        """
        Note what differs.
        """
        old, new = self._old, self._new
        if old.oneway != new.oneway:
            kinds = ("one-way" if it.oneway else "answered" for it in (old, new))
            self._note(WIRE, f"{self._what} {self._journal.words.became(*kinds)}")
        self._params()
        self._result(old.result, new.result)
        self._throws()
        compare_policies(self._journal, *self._called, self._what)
        compare_routes(self._journal, old, new, self._what)

    def _note(self, verdict: Verdict, message: str) -> None:
        self._journal.note(verdict, (self._old.place, self._new.place), message)

    # -- parameters -----------------------------------------------------------------------

    def _params(self) -> None:
        old, sent = _split(self._old)
        new, received = _split(self._new)
        names = [[it.name for it in params] for params in (old, new)]
        for index, (one, other) in enumerate(zip(old, new, strict=False)):
            moved = one.name in names[1][index + 1 :] or other.name in names[0]
            if one.name != other.name and moved:
                self._misplaced(one, other, names)
                break
            self._param(one, other)
        else:
            self._left_over(old[len(new) :], new[len(old) :])
        if (sent is None) != (received is None):
            kinds = ("unary" if it is None else "a stream" for it in (sent, received))
            self._note(
                WIRE,
                f"the request of {self._what} {self._journal.words.became(*kinds)}",
            )
        elif sent is not None and received is not None:
            self._param(sent, received)

    def _misplaced(self, old: Field, new: Field, names: list[list[str]]) -> None:
        words = self._journal.words
        orders = (", ".join(it) or "none" for it in names)
        message = f"the order of the parameters of {self._what} {words.became(*orders)}"
        why = "they are sent by position"
        self._journal.note(
            WIRE, (old.place, new.place), f"{message}; {why}", self._request
        )

    def _param(self, old: Field, new: Field) -> None:
        journal, words = self._journal, self._journal.words
        what = f"parameter '{new.name}' of {self._what}"
        if old.name != new.name:
            names = (f"'{it.name}'" for it in (old, new))
            message = f"parameter '{old.name}' of {self._what} {words.became(*names)}"
            journal.note(SOURCE, (old.place, new.place), message, self._request)
        spot = Spot(what, old.place, new.place, self._request)
        types = [
            it.type.args[0] if it.type.name == "stream" else it.type
            for it in (old, new)
        ]
        compare_types(
            journal, spot, (types[0], old.annotations), (types[1], new.annotations)
        )
        if not old.required and new.required:
            message = f"{what} {words.required}; {words.clients} may leave it out"
            journal.note(WIRE, (old.place, new.place), message, self._request)
        elif not (old.required or new.required) and not same_value(
            old.default, new.default, new.type
        ):
            defaults = (written_value(it.default) for it in (old, new))
            message = f"the default of {what} {words.became(*defaults)}"
            journal.note(SEMANTIC, (old.place, new.place), message, self._request)

    def _left_over(self, old: list[Field], new: list[Field]) -> None:
        journal, words = self._journal, self._journal.words
        for param in old:
            message = f"parameter '{param.name}' of {self._what} {words.gone}"
            why = f"calls that pass it are refused by {words.servers}"
            journal.note(WIRE, (param.place, None), f"{message}; {why}", self._request)
        for param in new:
            if param.required:
                message = f"parameter '{param.name}' of {self._what} {words.required}"
                why = f"{words.clients} do not send it"
                journal.note(
                    WIRE, (None, param.place), f"{message}; {why}", self._request
                )

    # -- answers --------------------------------------------------------------------------

    def _result(self, old: Type, new: Type) -> None:
        words = self._journal.words
        what = f"the result of {self._what}"
        if (old.name == "stream") != (new.name == "stream"):
            self._note(WIRE, f"{what} {words.became(old, new)}")
            return
        if old.name == "stream":
            old, new = old.args[0], new.args[0]
        if _VOID not in (old.name, new.name):
            places = (old.place or self._old.place, new.place or self._new.place)
            compare_types(
                self._journal, Spot(what, *places, self._reply), (old, {}), (new, {})
            )
        elif old.name != new.name:
            message = f"the type of {what} {words.became(old, new)}"
            # Who expects nothing ignores whatever comes.
            self._note(SOURCE if old.name == _VOID else WIRE, message)

    def _throws(self) -> None:
        journal, words = self._journal, self._journal.words
        old, new = self._old.throws, self._new.throws
        for one, other in pair(old, new, _wire_name, alike):
            if one is not None and other is not None:
                journal.reach(one, other, self._reply)
                rename(journal, self._reply, one, other, "in throws")
            elif one is not None:
                message = f"{self._what} throws '{one.name}': that {words.gone}"
                self._note(SEMANTIC, message)
            elif other is not None:
                message = f"{self._what} throws '{other.name}': that {words.added}"
                self._note(SEMANTIC, message)


def _wire_name(struct: Struct) -> str:
    return struct.wire_name


def _split(method: Method) -> tuple[list[Field], Field | None]:
    """
    @return: the parameters of the list, and the streamed one.
    """
    if method.streams_parameter:
        return method.params[:-1], method.params[-1]
    return method.params, None
