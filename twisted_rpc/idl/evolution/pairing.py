# -*- test-case-name: tests.idl.test_evolution -*-
"""
Which of the things of one version became which of the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

_Item = TypeVar("_Item")


def pair(
    old: Sequence[_Item],
    new: Sequence[_Item],
    key: Callable[[_Item], str],
    renamed: Callable[[_Item, _Item], bool],
) -> Iterator[tuple[_Item | None, _Item | None]]:
    """
    Find what became of each: those of equal keys belong together; then those
    that C{renamed} says do, where both stand at the same place.
    """
    kept = {key(it) for it in old} & {key(it) for it in new}
    lost = {index: it for index, it in enumerate(old) if key(it) not in kept}
    found = {index: it for index, it in enumerate(new) if key(it) not in kept}
    by_key = {key(it): it for it in new}
    yield from ((it, by_key[key(it)]) for it in old if key(it) in kept)
    for index, it in lost.items():
        other = found.get(index)
        if other is not None and renamed(it, other):
            del found[index]
            yield it, other
        else:
            yield it, None
    yield from ((None, it) for it in found.values())
