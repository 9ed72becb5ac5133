# -*- test-case-name: tests.idl.test_evolution -*-
"""
The routes of a method over HTTP, C{@http}, of two versions.
"""

from __future__ import annotations

import re
from typing import Final

from twisted_rpc.idl.evolution.changes import Journal, Verdict, places_of
from twisted_rpc.idl.model import Method

_BRACES: Final = re.compile(r"\{([^{}]*)\}")


def compare_routes(journal: Journal, old: Method, new: Method, what: str) -> None:
    """
    Note which requests of HTTP clients find the method no more, or no longer all
    of its parameters.  A new route breaks nothing.

    @param what: the method's name, as in C{"'Bank.transfer'"}.
    """
    if not journal.words.routes or "http" not in old.annotations:
        return
    words, route = journal.words, f"the route of {what}"
    places = places_of(old.annotations["http"], new.annotations.get("http"))
    if "http" not in new.annotations:
        message = f"{route}, {_written(old)}, {words.gone}"
        journal.note(Verdict.WIRE, places, message)
    elif _asked(old) != _asked(new):
        message = f"{route} {words.became(_written(old), _written(new))}"
        journal.note(Verdict.WIRE, places, message)
    else:
        _compare_names(journal, old, new, what)


def _compare_names(journal: Journal, old: Method, new: Method, what: str) -> None:
    in_path = _BRACES.findall(_written(old))
    for one, other in zip(old.params, new.params, strict=False):
        if one.name != other.name and one.name not in in_path:
            names = journal.words.became(f"'{one.name}'", f"'{other.name}'")
            message = f"parameter '{one.name}' of {what} {names}"
            why = f"{_written(new)} has it by name"
            journal.note(Verdict.WIRE, places_of(one, other), f"{message}; {why}")


def _written(method: Method) -> str:
    ((verb, path),) = method.annotations["http"].args.items()
    return f"{verb.upper()} {path}"


def _asked(method: Method) -> str:
    """
    @return: the verb and the path as requests have them, in which variables have
        no names: a parameter's position instead.
    """
    positions = {param.name: index for index, param in enumerate(method.params)}
    return _BRACES.sub(lambda found: f"{{{positions[found[1]]}}}", _written(method))
