# -*- test-case-name: tests.idl.test_evolution -*-
"""
Defaults and constants, as they stand in findings.
"""

from __future__ import annotations

import json
from typing import Any

from twisted_rpc.idl.model import Type

#: Code points of a value that are shown.
_SHOWN = 60


def written_value(value: Any) -> str:
    """
    @return: a value of the IDL as JSON, shortened.
    """
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def same_value(old: Any, new: Any, type_: Type) -> bool:
    """
    Whether two values mean the same; a set has no order.
    """
    return repr(_ordered(old, type_)) == repr(_ordered(new, type_))


def _ordered(value: Any, type_: Type) -> Any:
    if isinstance(value, dict) and type_.name == "map":
        items = ((key, _ordered(it, type_.args[1])) for key, it in value.items())
        return dict(sorted(items))
    if isinstance(value, list) and type_.name in {"list", "set"}:
        found = [_ordered(item, type_.args[0]) for item in value]
        return sorted(found) if type_.name == "set" else found
    return value
