# -*- test-case-name: tests.idl.test_lint -*-
"""
How things are called: C{name-style} and C{python-keyword}.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

from twisted_rpc.idl.lint.subject import Remark, Subject, about
from twisted_rpc.idl.names import (
    enum_value_name,
    exception_attribute,
    parameter_name,
    python_name,
)
from twisted_rpc.idl.semantics.meaning import import_alias
from twisted_rpc.idl.syntax import tree

_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")


def words_of(name: str) -> list[str]:
    """
    @return: the words of a name in any style, small: C{max}, C{batch}.
    """
    return [word.lower() for word in _WORD.findall(name)]


def _camel(name: str) -> str:
    return "".join(word.capitalize() for word in words_of(name))


def _snake(name: str) -> str:
    return "_".join(words_of(name))


def _upper(name: str) -> str:
    return _snake(name).upper()


#: A style: what it looks like, in words, and what puts a name into it.
_Style = tuple[re.Pattern[str], str, Callable[[str], str]]

_TYPE: Final[_Style] = (re.compile("[A-Z][A-Za-z0-9]*"), "LikeThis", _camel)
_OTHER: Final[_Style] = (re.compile("[a-z][a-z0-9_]*"), "like_this", _snake)
_FIXED: Final[_Style] = (re.compile("[A-Z][A-Z0-9_]*"), "LIKE_THIS", _upper)


def name_style(subject: Subject) -> Iterator[Remark]:
    """
    A name of another style: C{TypesAndServices}, C{CONSTANTS_AND_VALUES},
    C{all_others}.
    """
    for node, _ in subject.definitions():
        style = _FIXED if isinstance(node, tree.Const) else _TYPE
        yield from _styled(node.name, style)
    for value, _ in subject.values():
        yield from _styled(value.name, _FIXED)
    for method, _ in subject.methods():
        yield from _styled(method.name, _OTHER)
    for field, _ in subject.fields():
        yield from _styled(field.name, _OTHER)


def _styled(name: tree.Name, style: _Style) -> Iterator[Remark]:
    pattern, like, convert = style
    if not pattern.fullmatch(name.text):
        hint = f"{convert(name.text)}, for instance"
        yield about(name, f"'{name.text}' is not written {like}", hint)


def python_keyword(subject: Subject) -> Iterator[Remark]:
    """
    A name that Python has already, so that it gets a C{_} there.
    """
    for node, _ in subject.definitions():
        yield from _renamed(node.name, python_name(node.name.text))
    for each in subject.document.definitions:
        if isinstance(each, tree.Import):
            alias = import_alias(each)
            yield from _renamed(each.name, python_name(alias), alias)
    for value, _ in subject.values():
        yield from _renamed(value.name, enum_value_name(value.name.text))
    for method, _ in subject.methods():
        yield from _renamed(method.name, python_name(method.name.text))
    for param, _ in subject.parameters():
        yield from _renamed(param.name, parameter_name(param.name.text))
    for member, field, struct in subject.members():
        python = (
            exception_attribute(field)
            if struct.is_exception
            else python_name(field.name)
        )
        yield from _renamed(member.name, python)


def _renamed(name: tree.Name, python: str, text: str = "") -> Iterator[Remark]:
    if python != (text or name.text):
        yield about(name, f"'{text or name.text}' is called '{python}' in Python")
