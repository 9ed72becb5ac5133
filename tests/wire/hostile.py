"""
Frames that Hypothesis makes up: from no JSON at all to nearly legal messages.
"""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

#: Any JSON, and numbers that no message of ours has.
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**400, -(10**30), 2**53, 1e308, float("nan"), float("inf")])
    | st.floats()
    | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


def messages(legal: dict[str, Any], ext: dict[str, Any]) -> st.SearchStrategy[bytes]:
    """
    C{legal} with some members of it and of C{ext} left out or made up, and
    perhaps some bytes changed.
    """
    changed = {name: VALUES | st.just(value) for name, value in legal.items()}
    extended = {name: VALUES | st.just(value) for name, value in ext.items()}
    members = st.fixed_dictionaries(
        {},
        optional={
            **changed,
            "ext": st.fixed_dictionaries({}, optional=extended) | VALUES,
            "acme.more": VALUES,
        },
    )
    return st.builds(
        _mangled, members, st.integers(0, 400) | st.none(), st.binary(max_size=3)
    )


def _mangled(members: dict[str, Any], at: int | None, junk: bytes) -> bytes:
    text = json.dumps(members, ensure_ascii=len(junk) % 2 == 0)
    frame = text.encode("utf-8", "surrogatepass")
    return frame if at is None else frame[:at] + junk + frame[at + len(junk) :]
