# -*- test-case-name: tests.idl.test_lint -*-
"""
The rules, and what they find in files.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from twisted_rpc.errors import Fault
from twisted_rpc.idl import model
from twisted_rpc.idl.lint import (
    classic,
    deprecated,
    docs,
    methods,
    names,
    patterns,
    text,
    types,
    unused,
)
from twisted_rpc.idl.lint.subject import Remark, Rule, Subject
from twisted_rpc.idl.lint.switches import Switches

RULES: Final[dict[str, Rule]] = {
    "name-style": names.name_style,
    "missing-doc": docs.missing_doc,
    "doc-nowhere": docs.doc_nowhere,
    "empty-service": unused.empty_service,
    "unused-import": unused.unused_import,
    "unused-type": unused.unused_type,
    "deprecated-use": deprecated.deprecated_use,
    "optional-any": types.optional_any,
    "python-keyword": names.python_keyword,
    "float-money": types.float_money,
    "int-beyond-f64": types.int_beyond_f64,
    "pattern-backtracking": patterns.pattern_backtracking,
    "readonly-oneway": methods.readonly_oneway,
    "bidi-control": text.bidi_control,
    "once-implicit": methods.once_implicit,
    "classic-compatible": classic.classic_compatible,
}

#: Rules that hold only where somebody asks for them.
OFF: Final = frozenset({"once-implicit", "classic-compatible"})
#: Rules that hold where nobody says otherwise.
DEFAULT: Final = frozenset(RULES) - OFF

#: What is found in comments that switch rules.
_SWITCH: Final = "lint-comment"


@dataclass(frozen=True, slots=True)
class Warned:
    """
    What a rule has found.

    @ivar rule: its name.
    @ivar fault: what, and where.
    """

    rule: str
    fault: Fault

    def __str__(self) -> str:
        place, _, rest = str(self.fault).partition("\n")
        start = f"{self.fault.path}:{self.fault.line}:{self.fault.column}: "
        said = f"{start}warning: {place.removeprefix(start)} [{self.rule}]"
        return f"{said}\n{rest}" if rest else said


def lint(
    file: model.File,
    rules: Collection[str] = DEFAULT,
    others: Sequence[model.File] = (),
) -> list[Warned]:
    """
    @param rules: the names of those that hold where no comment says otherwise.
    @param others: files that are looked at together with this one, itself
        included; what they need is not unused.
    @return: what is found in the file, in the order of its text.
    """
    subject = Subject(file, others)
    switches = Switches(subject, RULES)
    found: list[tuple[Remark, str]] = [(each, _SWITCH) for each in switches.wrong()]
    for name in RULES:
        if name in rules or name in switches.on:
            found += [
                (remark, name)
                for remark in RULES[name](subject)
                if switches.lets(name, remark, default=name in rules)
            ]
    found.sort(key=lambda each: each[0].start)
    return [Warned(rule, _fault(subject, remark)) for remark, rule in found]


def _fault(subject: Subject, remark: Remark) -> Fault:
    return subject.source.fault(remark.start, remark.end, remark.message, remark.hint)
