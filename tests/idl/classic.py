"""
The reader of the classic syntax, written again from its behaviour.

Two regular expressions, with which it found services and the methods in them;
what they did not match, it passed over.
"""

from __future__ import annotations

import re

_SERVICE = re.compile(r"service\s+(\w+)\s*\{([^}]*)\}")
_METHOD = re.compile(r"(\w+)\s+(\w+)\s*\(([^)]*)\)")

#: Name of the service to its methods; of each the result, and the parameters'
#: types and names.
Services = dict[str, dict[str, tuple[str, list[tuple[str, str]]]]]


def read(text: str) -> Services:
    """
    @return: what a classic program saw in the text.
    """
    lines = [re.sub(r"(//|#).*", "", line) for line in text.split("\n")]
    return {
        name: {
            method: (
                result,
                [_param(param) for param in params.split(",") if param.strip()],
            )
            for result, method, params in _METHOD.findall(body)
        }
        for name, body in _SERVICE.findall("\n".join(lines))
    }


def _param(text: str) -> tuple[str, str]:
    type, name = text.split()
    return type, name
