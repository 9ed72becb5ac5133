# -*- test-case-name: tests.generation.test_markdown -*-
"""
Reference pages of an IDL, in Markdown.

Doc comments may be Markdown themselves, without headings; they hold no HTML.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from twisted_rpc.generation.json_schema import title
from twisted_rpc.idl import model
from twisted_rpc.idl.digest import digest
from twisted_rpc.idl.semantics.annotation_table import SHAPES

#: What each class of method promises (delivery, section 1).
_PROMISES: Final = {
    "readonly": "changes nothing; repeated freely",
    "idempotent": "may run more than once",
    "once": "runs at most once",
    "transactional": "runs exactly once",
}
#: Annotations of parameters and members that a caller needs to know.
_CONSTRAINTS: Final = ("length", "range", "pattern", "sensitive", "deprecated", "since")
#: Those of methods and services.
_RULES: Final = (
    *("auth", "rate_limit", "max_concurrency", "cache", "http", "deprecated", "since"),
)

_FENCE: Final = re.compile(r" {0,3}(```+|~~~+)")
_HEADING: Final = re.compile(r"^(\s*)(#+|=+|-+)(?=\s|$)")

Lines = Iterator[str]


def markdown(file: model.File) -> str:
    """
    @return: a page on all that a file declares, and what it needs of others.
    """
    lines = list(_Page(file).lines())
    return "\n".join(lines).rstrip("\n") + "\n"


class _Page:
    """
    The page of a file.
    """

    def __init__(self, file: model.File) -> None:
        self.file = file
        self._names: dict[int, str] = {}
        self._name(file, "")
        self._definitions = list(self._shown())

    def _name(self, file: model.File, prefix: str) -> None:
        for name, definition in file.definitions.items():
            self._names.setdefault(id(definition), prefix + name)
        for alias, imported in file.imports.items():
            self._name(imported, f"{prefix}{alias}.")

    def _shown(self) -> Iterator[Any]:
        """
        @return: the file's definitions, then those of others that it needs.
        """
        found: dict[int, Any] = {}
        unread: list[Any] = list(self.file.definitions.values())[::-1]
        while unread:
            definition = unread.pop()
            if id(definition) not in found:
                found[id(definition)] = definition
                unread = [*list(_needed(definition))[::-1], *unread]
        own = {id(each) for each in self.file.definitions.values()}
        yield from (each for key, each in found.items() if key in own)
        yield from (each for key, each in found.items() if key not in own)

    def lines(self) -> Lines:
        """
        @return: the whole page.
        """
        yield f"# {_escaped(title(self.file))}"
        yield from _paragraphs(self.file.doc)
        services = [
            each for each in self._definitions if isinstance(each, model.Service)
        ]
        for service in services:
            if service.file is self.file:
                yield from self._service(service)
        yield from self._section("Types", model.Struct, self._struct, exceptions=False)
        yield from self._section("Exceptions", model.Struct, self._struct)
        yield from self._section("Unions", model.Union_, self._union)
        yield from self._section("Enums", model.Enum, self._enum)
        yield from self._constants()

    def _section(
        self, heading: str, kind: type, write: Any, *, exceptions: bool = True
    ) -> Lines:
        those = [
            each
            for each in self._definitions
            if isinstance(each, kind)
            and getattr(each, "is_exception", exceptions) == exceptions
        ]
        if those:
            yield from ("", f"## {heading}")
        for each in those:
            yield from write(each)

    # -- services

    def _service(self, service: model.Service) -> Lines:
        yield from ("", f"## {_code(service.wire_name)}")
        yield from _paragraphs(service.doc)
        extends = ", ".join(each.name for each in service.bases)
        facts = [f"Extends {_escaped(extends)}."] if extends else []
        if "version" in service.annotations:
            version = service.annotations["version"].args["version"]
            facts.append(f"Version {_escaped(version)}.")
        facts += _told(service.annotations, _RULES)
        facts.append(f"Digest {_code(digest(service))}.")
        yield from ("", " ".join(facts))
        methods = list(service.methods.values())
        rows = [
            (
                f"[{_code(each.wire_name)}](#{_slug(_full(service, each))})",
                _first(each.doc),
            )
            for each in methods
        ]
        yield from _table(("method", ""), rows)
        for method in methods:
            yield from self._method(service, method)

    def _method(self, service: model.Service, method: model.Method) -> Lines:
        yield from ("", f"### {_code(_full(service, method))}")
        yield from ("", "```idl", self._signature(method), "```")
        yield from _paragraphs(method.doc)
        facts = [f"{_code(f'@{method.delivery}')}: {_PROMISES[method.delivery]}."]
        if method.timeout is not None:
            facts.append(f"Timeout {method.timeout:g} s.")
        if method.oneway:
            facts.append("Oneway: the caller learns only that it was sent.")
        yield from ("", " ".join([*facts, *_told(method.annotations, _RULES)]))
        yield from self._fields("parameter", method.params)
        if method.result.name != "void":
            yield from ("", f"Returns {self._type(method.result)}.")
        if method.throws:
            names = [self._link(each) for each in method.throws]
            yield from ("", f"Throws {', '.join(names)}.")

    def _signature(self, method: model.Method) -> str:
        params = ", ".join(
            f"{each.type} {each.name}"
            + ("" if each.required else f" = {_in_block(_default(each))}")
            for each in method.params
        )
        oneway = "oneway " if method.oneway else ""
        throws = ", ".join(each.name for each in method.throws)
        end = f" throws ({throws})" if throws else ""
        return f"{oneway}{method.result} {method.wire_name}({params}){end};"

    # -- types

    def _struct(self, struct: model.Struct) -> Lines:
        yield from self._heading(struct)
        if struct.is_exception:
            code = struct.code or "FAILED_PRECONDITION"
            yield from ("", f"Code {_code(code)}.")
        if struct.base is not None:
            yield from ("", f"Extends {self._link(struct.base)}.")
        yield from self._fields("member", struct.all_fields)

    def _union(self, union: model.Union_) -> Lines:
        yield from self._heading(union)
        links = ", ".join(self._link(each) for each in union.structs)
        yield from ("", f"One of {links}, told apart by the member `type`.")

    def _enum(self, enum: model.Enum) -> Lines:
        yield from self._heading(enum)
        if enum.open:
            yield from ("", "Open: other values are accepted too.")
        rows = [
            (
                _code(each.wire_value),
                _cell(each.doc, _told(each.annotations, _CONSTRAINTS)),
            )
            for each in enum.values
        ]
        yield from _table(("value", ""), rows)

    def _heading(self, definition: Any) -> Lines:
        yield from ("", f"### {_code(self._names[id(definition)])}")
        yield from _paragraphs(definition.doc)
        told = _told(definition.annotations, ("deprecated", "since"))
        if told:
            yield from ("", " ".join(told))

    def _constants(self) -> Lines:
        rows = [
            (
                _code(each.name),
                self._type(each.type),
                _code(_json(each.value)),
                _cell(each.doc),
            )
            for each in self._definitions
            if isinstance(each, model.Const)
        ]
        if rows:
            yield from ("", "## Constants")
            yield from _table(("constant", "type", "value", ""), rows)

    def _fields(self, noun: str, fields: Sequence[model.Field]) -> Lines:
        rows = [
            (
                _code(each.wire_name),
                self._type(each.type),
                "required" if each.required else _code(_default(each)),
                _cell(each.doc, _told(each.annotations, _CONSTRAINTS)),
            )
            for each in fields
        ]
        if rows:
            yield from _table((noun, "type", "default", ""), rows)

    def _type(self, type_: model.Type) -> str:
        if type_.definition is not None:
            text = self._link(type_.definition)
        elif type_.args:
            inner = ", ".join(map(self._type, type_.args))
            text = f"{type_.name}&lt;{inner}&gt;"
        else:
            text = type_.name
        return text + "?" * type_.optional

    def _link(self, definition: Any) -> str:
        name = self._names[id(definition)]
        return f"[{_code(name)}](#{_slug(name)})"


def _needed(definition: Any) -> Iterator[Any]:
    if isinstance(definition, model.Service):
        for method in definition.methods.values():
            yield from _in(method.result)
            for param in method.params:
                yield from _in(param.type)
            yield from method.throws
    elif isinstance(definition, model.Union_):
        yield from definition.structs
    elif isinstance(definition, model.Struct):
        if definition.base is not None:
            yield definition.base
        for member in definition.fields:
            yield from _in(member.type)


def _in(type_: model.Type) -> Iterator[Any]:
    if type_.definition is not None:
        yield type_.definition
    for argument in type_.args:
        yield from _in(argument)


def _full(service: model.Service, method: model.Method) -> str:
    return f"{service.wire_name}.{method.wire_name}"


def _told(annotations: model.Annotations, names: Iterable[str]) -> list[str]:
    """
    @return: annotations as sentences.
    """
    return [_sentence(annotations[name]) for name in names if name in annotations]


def _sentence(annotation: model.Annotation) -> str:
    args = {name: it for name, it in annotation.args.items() if it is not None}
    if annotation.name == "deprecated":
        since = f" since {_escaped(args['since'])}" if "since" in args else ""
        why = f": {_escaped(args['reason'])}" if "reason" in args else ""
        return f"**Deprecated**{since}{why}."
    shape = SHAPES.get(annotation.name)
    kinds = {} if shape is None else shape.params
    told = ", ".join(
        f"{name}={value:g}s"
        if kinds.get(name) == "duration"
        else f"{name}={_json(value)}"
        for name, value in args.items()
    )
    return f"{_code(f'@{annotation.name}' + (f'({told})' if told else ''))}."


def _default(field: model.Field) -> str:
    return _json(field.default)


def _in_block(text: str) -> str:
    """
    @return: a JSON text that does not end the block of code it is in.
    """
    return text.replace("`", "\\u0060")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


# -- Markdown


def _paragraphs(doc: str) -> Lines:
    if not doc.strip():
        return
    yield ""
    fence = ""
    for line in doc.strip().split("\n"):
        mark = _FENCE.match(line)
        if mark is not None and mark[1].startswith(fence):
            fence = "" if fence else mark[1]
            yield line
        elif fence:
            yield line
        else:
            # A heading would be one of the page's.
            yield _HEADING.sub(r"\1\\\2", _without_html(line))
    if fence:
        yield fence


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Lines:
    yield ""
    yield f"| {' | '.join(heads)} |"
    yield "|" + "---|" * len(heads)
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _first(doc: str) -> str:
    return _cell(doc.strip().partition("\n")[0])


def _cell(doc: str, told: Iterable[str] = ()) -> str:
    """
    @return: a doc comment and sentences in a cell of a table.
    """
    text = " ".join(_without_html(doc).split())
    # A bar in code of ours is escaped already.
    return " ".join([*filter(None, [text.replace("|", "\\|")]), *told])


def _without_html(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")


def _escaped(text: str) -> str:
    return re.sub(r"([\\`*_{}\[\]<>|#&])", r"\\\1", " ".join(text.split()))


def _code(text: str) -> str:
    """
    @return: a text as code, wherever it stands.
    """
    text = " ".join(text.split()) or " "
    runs = [len(run) for run in re.findall("`+", text)]
    fence = "`" * (max(runs, default=0) + 1)
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{pad}{text}{pad}{fence}".replace("|", "\\|")


def _slug(heading: str) -> str:
    """
    @return: the anchor of a heading, as repositories' pages make it.
    """
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
