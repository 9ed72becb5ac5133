"""
What the typed codecs cost, beside bare msgspec in the same run.

Run C{python benchmarks/codec.py}; figures are nanoseconds, the least of several
runs.  A sender checks what it sends, so that its bare counterpart is a pair:
encode, and decode as the peer does.
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

RUNS = 9


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


def measure(call: Callable[[Any], Any], argument: Any) -> float:
    """
    @return: nanoseconds of a call.
    """
    timer = timeit.Timer("call(argument)", globals={"call": call, "argument": argument})
    number, _ = timer.autorange()
    number = max(1, number // 10)
    return min(timer.repeat(RUNS, number)) / number * 1e9


def show(name: str, cost: float, bare: float) -> None:
    """
    Print a line, with the bare cost and the ratio.
    """
    print(f"{name:<28}{cost:8.0f}{bare:12.0f}{cost / bare:9.2f}")


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
    show("add: bind", measure(lambda a: add.bind(a, {}), args), measure(tuple, args))
    show("add: encode_params", measure(add.encode_params, args), measure(write, args))
    show("add: decode_params", measure(add.decode_params, raw), measure(read, raw))
    show("add: encode_result", measure(add.encode_result, 8), measure(write, 8))
    show(
        "add: decode_result", measure(add.decode_result, b"8"), measure(read_int, b"8")
    )

    place = shop.Shop.by_name["place"]
    order, bare = shop.Order(**MEMBERS), Bare(**MEMBERS)
    read_list = msgspec.json.Decoder(tuple[Bare]).decode
    raw = write((bare,))
    encode, decode = measure(write, (bare,)), measure(read_list, raw)
    sent, got = (
        measure(place.encode_params, (order,)),
        measure(place.decode_params, raw),
    )
    show("struct: encode_params, pair", sent, encode + decode)
    show("struct: decode_params", got, decode)
    read_one = msgspec.json.Decoder(Bare).decode
    raw = write(bare)
    encode, decode = measure(write, bare), measure(read_one, raw)
    sent, got = measure(place.encode_result, order), measure(place.decode_result, raw)
    show("struct: encode_result, pair", sent, encode + decode)
    show("struct: decode_result", got, decode)


if __name__ == "__main__":
    main()
