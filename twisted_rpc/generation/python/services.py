# -*- test-case-name: tests.generation.test_python -*-
"""
Services in a generated module: interface, proxies, implementations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from twisted_rpc.generation.python.declarations import IDL, argument, deprecated
from twisted_rpc.generation.python.lines import Lines, block, docstring, indented
from twisted_rpc.generation.python.names import Names
from twisted_rpc.generation.python.types import type_name
from twisted_rpc.idl import model
from twisted_rpc.idl.names import parameter_name, python_name
from twisted_rpc.idl.python.interfaces import class_bases

#: A line longer than this has its parameters on one each.
_WIDTH: Final = 84


def service(names: Names, definition: model.Service) -> list[Lines]:
    """
    @return: its three classes, and its own name.
    """
    name = definition.name
    made = names.imported(IDL, "Service")
    typed = f"{made}[{name}Client, {name}Server]"
    return [
        _interface(names, definition),
        _client(names, definition),
        _server(names, definition),
        [f"{python_name(name)}: {typed}", *docstring(definition.doc)],
    ]


def _interface(names: Names, definition: model.Service) -> Lines:
    file = definition.file
    bases = [names.near(each, file, "", "I") for each in class_bases(definition)]
    bases = bases or [names.imported("zope.interface", "Interface")]
    head = f"class I{definition.name}({', '.join(bases)}):"
    methods = [
        _method(each, _implemented(names, each, ()), docstring(each.doc))
        for each in _methods(definition)
    ]
    return block(head, [docstring(definition.doc), *methods])


def _client(names: Names, definition: model.Service) -> Lines:
    doc = docstring(f"A proxy of {definition.name}.")
    methods = [
        deprecated(names, each.annotations)
        + _method(each, _called(names, each), docstring(each.doc))
        for each in _methods(definition)
    ]
    return block(_protocol(names, definition, "Client"), [doc, *methods])


def _server(names: Names, definition: model.Service) -> Lines:
    doc = docstring(
        f"An implementation of {definition.name}; optional as a base class."
    )
    methods = [
        _method(each, _implemented(names, each, ("self",)), docstring(each.doc))
        for each in _methods(definition)
    ]
    return block(_protocol(names, definition, "Server"), [doc, *methods])


def _protocol(names: Names, definition: model.Service, suffix: str) -> str:
    file = definition.file
    bases = [names.near(each, file, suffix) for each in class_bases(definition)]
    bases.append(names.imported("typing", "Protocol"))
    return f"class {definition.name}{suffix}({', '.join(bases)}):"


def _methods(definition: model.Service) -> Iterable[model.Method]:
    """
    @return: those that the class has not from its bases.
    """
    if definition.bases and not class_bases(definition):
        return definition.methods.values()
    return definition.own_methods


#: Parameters, and the type of the result.
_Signature = tuple[Sequence[str], str]


def _implemented(
    names: Names, method: model.Method, first: Sequence[str]
) -> _Signature:
    """
    The server passes every parameter, so none has a default.
    """
    iterator = "AsyncIterator"
    params = _params(method, lambda each: _taken(names, each, iterator))
    return [*first, *params], _answer(names, method, IDL, "Result", iterator)


def _called(names: Names, method: model.Method) -> _Signature:
    def written(each: model.Field) -> str:
        return _taken(names, each, "AsyncIterable") + argument(names, each)

    params = _params(method, written)
    deferred = "twisted.internet.defer"
    if method.streams_result:
        item = type_name(names, method.result.args[0])
        return ["self", *params], f"{names.imported(IDL, 'RPCStream')}[{item}]"
    return ["self", *params], _answer(names, method, deferred, "Deferred", "")


def _params(
    method: model.Method, written: Callable[[model.Field], str]
) -> Sequence[str]:
    return [f"{parameter_name(each.name)}: {written(each)}" for each in method.params]


def _taken(names: Names, field: model.Field, stream: str) -> str:
    if field.type.name != "stream":
        return type_name(names, field.type)
    item = type_name(names, field.type.args[0])
    return f"{names.imported('collections.abc', stream)}[{item}]"


def _answer(
    names: Names, method: model.Method, module: str, name: str, stream: str
) -> str:
    if method.streams_result:
        item = type_name(names, method.result.args[0])
        return f"{names.imported('collections.abc', stream)}[{item}]"
    return f"{names.imported(module, name)}[{type_name(names, method.result)}]"


def _method(method: model.Method, signature: _Signature, doc: Lines) -> Lines:
    params, answer = signature
    start, end = f"def {python_name(method.name)}(", f") -> {answer}:"
    if len(start) + len(", ".join(params)) + len(end) > _WIDTH:
        head = [start, *indented(f"{each}," for each in params), end]
    else:
        head = [f"{start}{', '.join(params)}{end}"]
    if doc:
        return [*head, *indented([*doc, "..."])]
    return [*head[:-1], f"{head[-1]} ..."]
