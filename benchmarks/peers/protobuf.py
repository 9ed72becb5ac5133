"""
The messages of the gRPC peers: what C{protoc} would generate, made when this is
imported, so that nothing generated has to be kept.
"""

from __future__ import annotations

from typing import Any, Final

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

_INT, _TEXT, _FLOAT, _BOOL = (
    FieldDescriptorProto.TYPE_INT64,
    FieldDescriptorProto.TYPE_STRING,
    FieldDescriptorProto.TYPE_DOUBLE,
    FieldDescriptorProto.TYPE_BOOL,
)

_MESSAGES: Final[dict[str, dict[str, Any]]] = {
    "Terms": {"a": _INT, "b": _INT},
    "Sum": {"sum": _INT},
    "Text": {"text": _TEXT},
    "Order": {
        "number": _INT,
        "customer": _TEXT,
        "note": _TEXT,
        "total": _FLOAT,
        "paid": _BOOL,
        "placed": _INT,
        "articles": (_TEXT,),
        "quantities": (_INT,),
    },
}


def _classes() -> dict[str, Any]:
    file = FileDescriptorProto(name="b.proto", package="b", syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, (field, kind) in enumerate(fields.items(), 1):
            repeated = isinstance(kind, tuple)
            message.field.add(
                name=field,
                number=number,
                type=kind[0] if repeated else kind,
                label=FieldDescriptorProto.LABEL_REPEATED
                if repeated
                else FieldDescriptorProto.LABEL_OPTIONAL,
            )
    pool = DescriptorPool()
    pool.Add(file)
    return {
        name: GetMessageClass(pool.FindMessageTypeByName(f"b.{name}"))
        for name in _MESSAGES
    }


_found = _classes()
Terms: Any = _found["Terms"]
Sum: Any = _found["Sum"]
Text: Any = _found["Text"]
Order: Any = _found["Order"]

#: Method: what it takes, what it returns.
METHODS: Final[dict[str, tuple[Any, Any]]] = {
    "add": (Terms, Sum),
    "echo": (Text, Text),
    "store": (Order, Order),
}
