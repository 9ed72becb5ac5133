# -*- test-case-name: tests.idl.test_build -*-
"""
Defaults and constants: from the JSON values of the model to Python.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from twisted_rpc.idl.codecs.encoders import write


def default_factory(default: Any, annotation: Any) -> Callable[[], Any]:
    """
    Decode a default with the declared type, so that every limit applies to it.

    @param default: a JSON value.
    @return: what makes the default: a new one each time, if it could be changed.
    """
    raw = write(default)
    decode = msgspec.json.Decoder(annotation).decode
    value = decode(raw)
    if isinstance(value, list | set | dict):
        return partial(decode, raw)
    return lambda: value
