# -*- test-case-name: tests.test_implementations -*-
"""
From C{--impl [Service=]module.Class} to an object, and to the service it serves.

What goes wrong here is a mistake in what a person wrote, on the command line or
in a module: it is told in a line or two, with the place, and without the frames
of ours that led there.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import inspect
import traceback
import types
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from twisted.internet.defer import Deferred

from twisted_rpc.idl import ServiceSchema
from twisted_rpc.server.verification.findings import (
    RegistrationError,
    described,
    relative,
)
from twisted_rpc.server.verification.verify import verify

_OURS: Final = str(Path(__file__).parent)


class UnusableError(Exception):
    """
    An C{--impl} cannot be used; the text says why.
    """


@dataclass(frozen=True, slots=True)
class Given:
    """
    One C{--impl}.

    @ivar text: as it was written.
    @ivar service: the service it names, or C{""}.
    @ivar implementation: the object.
    """

    text: str
    service: str
    implementation: Any


def load(text: str) -> Given:
    """
    Import what C{text} names and make an implementation of it: a class is
    instantiated, a function is called, anything else is used as it is.

    @raise UnusableError: there is none, or the user's code raised.
    """
    service, equals, name = text.rpartition("=")
    if equals and not service.strip():
        raise UnusableError(f"--impl {text}: there is no service before the '='")
    found = _find(name.strip(), text)
    return Given(text, service.strip(), _make(found, text))


def match(
    given: Sequence[Given], services: Sequence[ServiceSchema]
) -> list[tuple[ServiceSchema, Given]]:
    """
    Which service each implementation serves: the one it names; else those whose
    interfaces it declares; else the only one that it fits.

    @raise UnusableError: there is none, or more than one.
    """
    for one in given:
        _check_module(one, services)
    chosen = [(_named(one, services), one) for one in given if one.service]
    taken = {service.wire_name for service, _ in chosen}
    for one in given:
        if not one.service:
            free = [service for service in services if service.wire_name not in taken]
            chosen += [(service, one) for service in _fitting(one, services, free)]
    _once_each(chosen)
    return chosen


def _find(name: str, text: str) -> Any:
    parts = name.replace(":", ".").split(".")
    if not all(part.isidentifier() for part in parts):
        raise UnusableError(
            f"--impl {text}: write [Service=]module.Class, such as services.calculator.Calc"
        )
    found = _import(parts[0], text)
    path = parts[0]
    for part in parts[1:]:
        if isinstance(found, types.ModuleType) and not hasattr(found, part):
            found = _submodule(found, path, part, text)
        else:
            found = _attribute(found, path, part, text)
        path += f".{part}"
    return found


def _submodule(module: types.ModuleType, path: str, part: str, text: str) -> Any:
    if hasattr(module, "__path__"):
        try:
            return _import(f"{path}.{part}", text)
        except ModuleNotFoundError:
            pass
    return _attribute(module, path, part, text)


def _attribute(found: Any, path: str, part: str, text: str) -> Any:
    try:
        return getattr(found, part)
    except AttributeError:
        names = [name for name in dir(found) if not name.startswith("_")]
        raise UnusableError(
            f"--impl {text}: {path} has no {part!r}{_did_you_mean(part, names)}"
        ) from None
    except Exception as error:
        raise UnusableError(_told(error, f"--impl {text}")) from error


def _import(name: str, text: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            # A module was found, and what it imports was not.
            raise UnusableError(_told(error, f"--impl {text}")) from error
        if "." in name:
            raise
        raise UnusableError(
            f"--impl {text}: there is no module {name!r} in the --app-dir, nor is one"
            " installed"
        ) from None
    except (Exception, SystemExit) as error:
        raise UnusableError(_told(error, f"--impl {text}")) from error


def _make(found: Any, text: str) -> Any:
    if not isinstance(found, (type, functools.partial)) and not inspect.isroutine(
        found
    ):
        return found
    _check_arguments(found, text)
    try:
        made = found()
    except (Exception, SystemExit) as error:
        raise UnusableError(_told(error, f"--impl {text}")) from error
    if made is None:
        raise UnusableError(
            f"--impl {text}: the factory returns nothing; it must return the"
            " implementation"
        )
    if isinstance(made, Deferred) or inspect.isawaitable(made):
        if inspect.iscoroutine(made):
            made.close()
        raise UnusableError(
            f"--impl {text}: it returns a {type(made).__name__}; an implementation must"
            " be there at once"
        )
    return made


def _check_arguments(found: Any, text: str) -> None:
    try:
        inspect.signature(found).bind()
    except ValueError:
        # Python does not know the arguments; calling it will tell.
        return
    except TypeError as error:
        what = "class" if isinstance(found, type) else "factory"
        raise UnusableError(
            f"--impl {text}: the {what} cannot be called without arguments ({error});"
            " name a function that makes it"
        ) from None


def _check_module(one: Given, services: Sequence[ServiceSchema]) -> None:
    """
    A module may be an implementation itself.  One that has none of the methods,
    and a class that has, was named for that.
    """
    module = one.implementation
    wanted = {name for service in services for name in service.by_name}
    if not isinstance(module, types.ModuleType) or wanted & vars(module).keys():
        return
    fits = {
        name: len(wanted & {each for base in it.__mro__ for each in vars(base)})
        for name, it in vars(module).items()
        if isinstance(it, type) and not name.startswith("_")
    }
    meant = max(fits, key=fits.__getitem__, default="")
    if meant and fits[meant]:
        raise UnusableError(
            f"--impl {one.text}: that is a module without the methods; did you mean its"
            f" class: --impl {one.text}.{meant}?"
        )


def _named(one: Given, services: Sequence[ServiceSchema]) -> ServiceSchema:
    for service in services:
        if one.service in (service.wire_name, service.name):
            return service
    names = [service.wire_name for service in services]
    raise UnusableError(
        f"--impl {one.text}: the IDL has no service {one.service!r}"
        f"{_did_you_mean(one.service, names) or '; it has ' + _listed(names)}"
    )


def _provides(implementation: Any, interface: Any) -> bool:
    return bool(interface.providedBy(implementation))


def _fitting(
    one: Given, services: Sequence[ServiceSchema], free: Sequence[ServiceSchema]
) -> list[ServiceSchema]:
    if len(services) == 1:
        return [*services]
    declared = [it for it in services if _provides(one.implementation, it.interface)]
    if declared:
        return declared
    # A service without methods is fitted by everything.
    fits = [
        it for it in free if it.by_name and not verify(it, one.implementation).faults
    ]
    if len(fits) == 1:
        return fits
    if len(free) == 1:
        return [*free]
    if fits:
        names = [service.wire_name for service in fits]
        raise UnusableError(
            f"--impl {one.text}: it fits {_listed(names)}; say which it serves:"
            f" --impl {names[0]}={one.text}"
        )
    raise UnusableError(_fits_none(one, free or services))


def _fits_none(one: Given, services: Sequence[ServiceSchema]) -> str:
    """
    The faults beside the service that was probably meant.
    """
    tried = [
        (verify(service, one.implementation).faults, service) for service in services
    ]
    faults, nearest = min(tried, key=lambda it: len(it[0]) / max(1, len(it[1].by_name)))
    names = _listed([service.wire_name for service in services])
    report = RegistrationError(described(one.implementation), nearest.name, faults)
    return (
        f"--impl {one.text}: it fits none of {names}; say which it serves:"
        f" --impl {nearest.wire_name}={one.text}\n{report}"
    )


def _once_each(chosen: Sequence[tuple[ServiceSchema, Given]]) -> None:
    first: dict[str, Given] = {}
    for service, one in chosen:
        other = first.setdefault(service.wire_name, one)
        if other is not one:
            raise UnusableError(
                f"--impl {other.text} and --impl {one.text} both serve"
                f" {service.wire_name}; give it one"
            )


def _told(error: BaseException, what: str) -> str:
    """
    What the user's code raised, and where in it.
    """
    lines = traceback.format_exception_only(error)
    message = lines[-1].strip()
    return f"{what}: {_place(error)}{message}"


def _place(error: BaseException) -> str:
    if isinstance(error, SyntaxError) and error.filename:
        return f"{relative(error.filename)}:{error.lineno}: "
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(("<frozen ", _OURS))
        and "importlib" not in Path(frame.filename).parts
    ]
    # A fault that shows in a library was made in the code that calls it.
    own = [it for it in frames if "site-packages" not in Path(it.filename).parts]
    for frame in reversed(own or frames):
        if relative(frame.filename) != frame.filename:
            return f"{relative(frame.filename)}:{frame.lineno}: "
    if not own:
        return ""
    return f"{own[-1].filename}:{own[-1].lineno}: "


def _did_you_mean(name: str, names: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    close += [it for it in names if it.lower() == name.lower()]
    return f"; did you mean {close[0]!r}?" if close else ""


def _listed(names: Sequence[str]) -> str:
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"
