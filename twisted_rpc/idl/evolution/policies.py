# -*- test-case-name: tests.idl.test_evolution -*-
"""
What annotations promise of a method's calls: how often they run, how long, for
whom, how many.
"""

from __future__ import annotations

from typing import Any, Final

from twisted_rpc.idl.evolution.changes import Journal, Verdict
from twisted_rpc.idl.model import Annotation, Method, Place, Service, annotation_of

SEMANTIC: Final = Verdict.SEMANTIC

#: Changes of class that no client has to know: it retries less than it could.
_HARMLESS: Final = {("idempotent", "readonly"), ("once", "transactional")}

#: A method and the service it is called under.
Called = tuple[Service, Method]


def compare_policies(journal: Journal, old: Called, new: Called, what: str) -> None:
    """
    Note how the calls of a method are treated differently.

    @param what: the method's name, as in C{"'Bank.transfer'"}.
    """
    _Policies(journal, old, new, what).compare()


class _Policies:
    def __init__(self, journal: Journal, old: Called, new: Called, what: str) -> None:
        self._journal = journal
        self._old, self._new = old, new
        self._what = what

    def compare(self) -> None:
        old, new = self._old[1], self._new[1]
        if old.delivery != new.delivery and (
            (old.delivery, new.delivery) not in _HARMLESS
        ):
            self._note(
                "class", f"@{old.delivery}", f"@{new.delivery}", "clients retry by it"
            )
        if _less(new.timeout, old.timeout):
            before, after = (_seconds(it.timeout) for it in (old, new))
            self._note("@timeout", before, after, name="timeout")
        for name in ("auth", "rate_limit", "max_concurrency", "retry", "cache"):
            self._compare(name)

    def _compare(self, name: str) -> None:
        old, new = (annotation_of(*it, name) for it in (self._old, self._new))
        before, after = (_args(it) for it in (old, new))
        if before != after and not _looser(name, before, after):
            self._note(f"@{name}", _written(old), _written(new), name=name)

    def _note(
        self, what: str, old: str, new: str, why: str = "", *, name: str = ""
    ) -> None:
        places = self._place(self._old, name), self._place(self._new, name)
        message = f"the {what} of {self._what} {self._journal.words.became(old, new)}"
        self._journal.note(SEMANTIC, places, f"{message}; {why}" if why else message)

    def _place(self, called: Called, name: str) -> Place:
        found = annotation_of(*called, name) if name else None
        return called[1].place if found is None else found.place


def _args(found: Annotation | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {name: it for name, it in found.args.items() if it is not None}


def _less(new: float | None, old: float | None) -> bool:
    return new is not None and (old is None or new < old)


def _looser(name: str, old: dict[str, Any] | None, new: dict[str, Any] | None) -> bool:
    """
    Whether a limit lets pass all that it did.  To open what was closed is a
    change of safety, so C{@auth} has no such way.
    """
    if name not in {"rate_limit", "max_concurrency"} or old is None:
        return False
    if new is None:
        return True
    per = new.get("per", 0) <= old.get("per", 0)
    more: bool = new["calls"] >= old["calls"]
    return more and per


def _seconds(timeout: float | None) -> str:
    return "none" if timeout is None else f"{timeout:g} s"


def _written(found: Annotation | None) -> str:
    args = _args(found)
    if args is None:
        return "none"
    return ", ".join(f"{name}={value!r}" for name, value in args.items()) or "set"
