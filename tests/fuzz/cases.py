"""
95 texts that are JSON, and more than 188 that a reader must refuse.

They are made here, by what there is to get right and wrong in RFC 8259; the
idea of such a list is U{JSONTestSuite's <https://github.com/nst/JSONTestSuite>}.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

_NUMBERS: Final = """
0 -0 1 -1 9 10 123 -123 9007199254740991 9007199254740993 123456789012345678901234567890
0.0 -0.0 0.5 -0.5 1.25 123.456 0.1e1 1e0 1e1 1E1 1e+1 1E+1 1e-1 1E-1 1.5e3 1.5E-3 1e22 1e-300 1.7e300
""".split()

_STRINGS: Final = (
    b'""',
    b'"a"',
    b'" "',
    b'"a b"',
    b'"\\""',
    b'"\\\\"',
    b'"\\/"',
    b'"/"',
    b'"\\b\\f\\n\\r\\t"',
    b'"\\u0041"',
    b'"\\u00e9"',
    b'"\\u20AC"',
    b'"\\uD834\\uDD1E"',
    b'"\\ud834\\udd1e"',
    b'"\\u0000"',
    b'"\\u001f"',
    b'"\\u007f"',
    b'"\x7f"',
    b'"\\uFFFF"',
    b'"\\uFFFE"',
    b'"\\u2028\\u2029"',
    b'"\xe2\x80\xa8"',
    b'"\xc3\xa9"',
    b'"\xe2\x82\xac"',
    b'"\xf0\x9d\x84\x9e"',
    b'"\xef\xbf\xbf"',
    b'"\xf4\x8f\xbf\xbf"',
    b'"[{:,"',
    b'"\'"',
    b'"' + b"long " * 1000 + b'"',
)

_ARRAYS: Final = (
    b"[]",
    b"[ ]",
    b"[null]",
    b"[1]",
    b"[1,2]",
    b"[ 1 , 2 ]",
    b"[[]]",
    b"[[],[]]",
    b'["a",1,true,null]',
    b"[\n1\r\n,\t2 ]",
    b"[{}]",
    b"[" + b"1," * 999 + b"1]",
    b"[" * 60 + b"]" * 60,
)

_OBJECTS: Final = (
    b"{}",
    b"{ }",
    b'{"a":1}',
    b'{"a":1,"b":2}',
    b'{ "a" : 1 }',
    b'{"":0}',
    b'{"a":{}}',
    b'{"a":[]}',
    b'{"\\u0061":1}',
    b'{"a b":1}',
    b'{"\xc3\xa9":1}',
    b'{"a":{"b":{"c":null}}}',
    b'{"a":1,"a":2}',
    b'{"a":1,\n"b":[true,false]}',
    b'{"a":' * 60 + b"1" + b"}" * 60,
)

_OTHERS: Final = (
    b"null",
    b"true",
    b"false",
    b" null ",
    b"\ttrue\n",
    b"\r\nfalse",
    b" 1 ",
)


def valid() -> list[bytes]:
    """
    Texts that must be read.
    """
    numbers = [each.encode() for each in _NUMBERS]
    return [*numbers, *_STRINGS, *_ARRAYS, *_OBJECTS, *_OTHERS]


_WRONG_NUMBERS: Final = """
+1 01 -01 00 -00 1. -1. .5 -.5 . - -- +-1 1e 1e+ 1e- 1E 1.e1 1.5e 1e1.5 1e1e1 0x10 0b1 0o7 1_000 1,000.0.0
1a 1# 0e 0.e0 -a -NaN NaN nan Infinity -Infinity +Infinity inf -inf 1d 1f 1L 1n \uff11 \u0661 \u00bd 1- 1+1 2.1.2 0..1
""".split()

_WRONG_LITERALS: Final = """
nul nulll NULL Null tru truee TRUE True fals falsee FALSE False None undefined nil yes no on off void void(0)
""".split()

_WRONG_STRINGS: Final = (
    b'"',
    b'"a',
    b'a"',
    b"'a'",
    b"`a`",
    b'"\\"',
    b'"\\a"',
    b'"\\x41"',
    b'"\\0"',
    b'"\\\'"',
    b'"\\ "',
    b'"\\U0041"',
    b'"\\u"',
    b'"\\u0"',
    b'"\\u00"',
    b'"\\u004"',
    b'"\\u004g"',
    b'"\\u{41}"',
    b'"\\u 041"',
    b'"\\u+041"',
    b'"\\ud800"',
    b'"\\udc00"',
    b'"\\ud800\\ud800"',
    b'"\\ud800a"',
    b'"\\ud834\\u0041"',
    b'"\\udd1e\\ud834"',
    b'"a\nb"',
    b'"a\rb"',
    b'"a\tb"',
    b'"\x00"',
    b'"\x01"',
    b'"\x1f"',
    b'"a" "b"',
    b'"a""b"',
    b'"a"b',
    b'""a',
    b'"\\',
    b'"\\u',
)

_WRONG_UTF8: Final = (
    b'"\xff"',
    b'"\xfe"',
    b'"\x80"',
    b'"\xbf"',
    b'"\xc3"',
    b'"\xc3\x28"',
    b'"\xe2\x82"',
    b'"\xe2\x28\xa1"',
    b'"\xf0\x9d\x84"',
    b'"\xc0\x80"',
    b'"\xc1\xbf"',
    b'"\xe0\x80\x80"',
    b'"\xf0\x80\x80\x80"',
    b'"\xed\xa0\x80"',
    b'"\xed\xbf\xbf"',
    b'"\xed\xa0\xb4\xed\xb4\x9e"',
    b'"\xf4\x90\x80\x80"',
    b'"\xf8\x88\x80\x80\x80"',
    b"\xef\xbb\xbf1",
    b"\xfe\xff\x00\x31",
    b"\xff\xfe\x31\x00",
    b"\xa01",
    b"\xe2\x80\x891",
    b'{"\xff":1}',
)

_WRONG_STRUCTURE: Final = (
    b"",
    b" ",
    b"\x00",
    b"\x0b1",
    b"\x0c1",
    b"[",
    b"[1",
    b"[1,",
    b"[,",
    b"[,1]",
    b"[1,]",
    b"[1,,2]",
    b"[1 2]",
    b"[1:2]",
    b"[1;2]",
    b"[1}",
    b"(1)",
    b"<1>",
    b"[[1]",
    b"[1]2",
    b'["a"',
    b'["a",',
    b"[\x0b1]",
    b"[\x001]",
    b"[...]",
    b"[*]",
    b"{",
    b"{]",
    b'{"a"',
    b'{"a":',
    b'{"a":1',
    b'{"a":1,',
    b'{"a":1,}',
    b'{,"a":1}',
    b'{"a":1,,"b":2}',
    b'{"a" 1}',
    b'{"a",1}',
    b'{"a"}',
    b"{:1}",
    b'{"a"::1}',
    b'{"a":1 "b":2}',
    b'{"a":1;"b":2}',
    b"{a:1}",
    b"{'a':1}",
    b"{1:1}",
    b"{null:1}",
    b"{[]:1}",
    b'{"a":}',
    b'{"a":1}}x',
    b'{"a":1]',
    b'{"a":[}',
    b"1 2",
    b"null null",
    b"/* a */ 1",
    b"// a\n1",
    b"1 // a",
    b"# a\n1",
    b"--1",
    b"@1",
    b"$a",
    b"%41",
    b"\\u0031",
)

_BOMBS: Final = (
    b"[" * 100,
    b"[" * 100 + b"]" * 100,
    b"[" * 100_000,
    b"[" * 100_000 + b"]" * 100_000,
    b'{"a":' * 100 + b"1" + b"}" * 100,
    b'{"a":' * 50_000,
    b'[{"":' * 50_000,
    b"9" * 4301,
    b"-" + b"9" * 5000,
    b"9" * 400_000,
    b"1e400",
    b"-1e400",
    b"1e999999999",
    b"[" + b"[]," * 60_000 + b"[]]",
    b"{" + b'"a":1,' * 60_000 + b'"a":1}',
)


def invalid() -> list[bytes]:
    """
    Texts that must be refused: most are no JSON, some are more than this
    protocol carries (W7, W8, X6).
    """
    numbers = [each.encode() for each in _WRONG_NUMBERS]
    literals = [each.encode() for each in _WRONG_LITERALS]
    texts = [
        *numbers,
        *literals,
        *_WRONG_STRINGS,
        *_WRONG_UTF8,
        *_WRONG_STRUCTURE,
        *_BOMBS,
    ]
    return [text for text in dict.fromkeys(texts) if text.strip()]


def bombs(share: int = 1) -> Iterator[tuple[str, bytes, bool]]:
    """
    The dearest texts of 4 MiB, or of a C{share} of it: what each is, itself, and
    whether it must be refused.
    """
    yield "brackets without end", b"[" * (4_000_000 // share), True
    yield "brackets", b"[" * (2_000_000 // share) + b"]" * (2_000_000 // share), True
    yield "objects in objects", b'{"a":' * (800_000 // share), True
    yield "empty lists", b"[" + b"[]," * (1_300_000 // share) + b"[]]", True
    yield "empty objects", b"[" + b"{}," * (1_300_000 // share) + b"{}]", True
    yield "digits, each a number", b"[" + b"1," * (2_000_000 // share) + b"1]", True
    yield "empty strings", b"[" + b'"",' * (1_300_000 // share) + b'""]', True
    yield "one name", b"{" + b'"a":1,' * (600_000 // share) + b'"a":1}', True
    names = b",".join(b'"%d":1' % n for n in range(300_000 // share))
    yield "many names", b"{" + names + b"}", True
    yield "one number", b"9" * (4_000_000 // share), True
    yield "one exponent", b"1e" + b"9" * (4_000_000 // share), True
    yield "zeros", b"0." + b"0" * (4_000_000 // share) + b"1", False
    yield "long numbers", b"[" + (b"1" * 299 + b",") * (13_000 // share) + b"1]", False
    dear = b"1.7976931348623157e308,"
    yield "dear floats", b"[" + dear * (49_000 // share) + b"1]", False
    yield "escaped quotes without end", b'"' + b'\\"' * (2_000_000 // share), True
    yield "the same, shorter", b'"' + b'\\"' * (30_000 // share), True
    yield "quotes that do not pair", b'"a' * (1_900_000 // share), True
    yield "strings without commas", b'""' * (2_000_000 // share), True
    yield "the same, shorter", b'""' * (30_000 // share), True
    yield "marks in a string", b'"' + b"[{:," * (900_000 // share) + b'"', False
    yield "escapes", b'"' + b"\\u0041" * (650_000 // share) + b'"', False
    yield "strings of marks", b"[" + b'"[{:,\\"",' * (49_000 // share) + b"1]", False


def framed(text: bytes, request_id: str, method: bytes = b"echo") -> bytes:
    """
    C{text} as the parameter of a call of the plain profile, at the epoch of
    tests.
    """
    return (
        b'{"request_id":"%b","service":"Fuzz","method":"%b","params":[%b],'
        b'"timestamp":1800000001.5}' % (request_id.encode(), method, text)
    )


def all_framed() -> Iterator[bytes]:
    """
    All of them as calls, each under an id of its own.
    """
    for number, text in enumerate([*valid(), *invalid()]):
        yield framed(text, f"case-{number}")
