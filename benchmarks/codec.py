"""
What the typed codecs cost, beside bare msgspec in the same run.

Run C{python benchmarks/codec.py}; figures are nanoseconds, the least of 25 runs
that take turns.  A sender checks what it sends, so that its bare counterpart is
a pair: encode, and decode as the peer does.
"""

from __future__ import annotations

import sys
import timeit
from collections.abc import Callable
from typing import Any

import msgspec

from twisted_rpc.idl import load_idl_text

IDL = """
struct Order {
    int id; string customer; string note; float weight; bool paid; int32 priority;
    list<string> tags; list<int> counts;
}
service Shop { int add(int a, int b) Order place(Order order) }
"""

RUNS = 25

Call = tuple[Callable[[Any], Any], Any]


class Bare(msgspec.Struct, kw_only=True):
    """The same members, without any check."""

    id: int
    customer: str
    note: str
    weight: float
    paid: bool
    priority: int
    tags: list[str]
    counts: list[int]


MEMBERS: dict[str, Any] = {
    "id": 12345,
    "customer": "Ann Example",
    "note": "leave it at the door",
    "weight": 2.5,
    "paid": True,
    "priority": 3,
    "tags": ["new", "fragile", "gift"],
    "counts": [1, 2, 3, 4, 5],
}


def measure(*calls: Call) -> list[float]:
    """
    @return: nanoseconds of each; they take turns, so that a noisy neighbour
        slows all of them.
    """
    timers = [
        timeit.Timer("call(argument)", globals={"call": call, "argument": argument})
        for call, argument in calls
    ]
    least = [float("inf")] * len(timers)
    for _ in range(RUNS):
        for index, timer in enumerate(timers):
            least[index] = min(least[index], timer.timeit(4000) / 4000 * 1e9)
    return least


def show(name: str, ours: Call, *bare: Call) -> None:
    """
    Print a line: our cost, that of the bare calls together, and the ratio.
    """
    cost, *parts = measure(ours, *bare)
    print(f"{name:<28}{cost:8.0f}{sum(parts):12.0f}{cost / sum(parts):9.2f}")


def main() -> None:
    """
    Measure C{add} and a struct of eight members, two of them lists.
    """
    shop = load_idl_text(IDL)
    write = msgspec.json.Encoder().encode
    print(f"Python {sys.version.split()[0]}, msgspec {msgspec.__version__}")
    print(f"{'':<28}{'ours':>8}{'msgspec':>12}{'ratio':>9}")

    add = shop.Shop.by_name["add"]
    read = msgspec.json.Decoder(tuple[int, int]).decode
    read_int = msgspec.json.Decoder(int).decode
    args, raw = (5, 3), b"[5,3]"
    show("add: encode_params", (add.encode_params, args), (write, args))
    show("add: decode_params", (add.decode_params, raw), (read, raw))
    show("add: encode_result", (add.encode_result, 8), (write, 8))
    show("add: decode_result", (add.decode_result, b"8"), (read_int, b"8"))

    place = shop.Shop.by_name["place"]
    order, bare = shop.Order(**MEMBERS), Bare(**MEMBERS)
    read_list = msgspec.json.Decoder(tuple[Bare]).decode
    read_one = msgspec.json.Decoder(Bare).decode
    one, raw = (bare,), write((bare,))
    pair: tuple[Call, ...] = ((write, one), (read_list, raw))
    show("struct: encode_params, pair", (place.encode_params, (order,)), *pair)
    show("struct: decode_params", (place.decode_params, raw), (read_list, raw))
    raw = write(bare)
    pair = ((write, bare), (read_one, raw))
    show("struct: encode_result, pair", (place.encode_result, order), *pair)
    show("struct: decode_result", (place.decode_result, raw), (read_one, raw))


if __name__ == "__main__":
    main()
