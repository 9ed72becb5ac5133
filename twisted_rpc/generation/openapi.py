# -*- test-case-name: tests.generation.test_openapi -*-
"""
OpenAPI 3.1: the services of an IDL over HTTP.

Each method is C{POST /rpc/Service/method} with the list of its parameters, and
besides what its C{@http} says: the parameters that are in the route there, the
others in the query of C{get} and C{delete}, or in an object.  An answer is always
the whole reply.  Streams and oneway methods are not to be had over HTTP.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import quote

from twisted_rpc.errors import Code, Fault, IDLError
from twisted_rpc.generation.json_schema import (
    Object,
    Schemas,
    described,
    result,
    text,
    title,
)
from twisted_rpc.idl import model

_JSON: Final = "application/json"

#: The status of each code (the wire, section 8).
STATUS: Final[Mapping[Code, int]] = {
    Code.CANCELLED: 499,
    Code.UNKNOWN: 500,
    Code.INVALID_ARGUMENT: 400,
    Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.ABORTED: 409,
    Code.OUT_OF_RANGE: 400,
    Code.DATA_LOSS: 500,
    Code.FAILED_PRECONDITION: 400,
    Code.PERMISSION_DENIED: 403,
    Code.UNAUTHENTICATED: 401,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.UNIMPLEMENTED: 501,
    Code.INTERNAL: 500,
    Code.UNAVAILABLE: 503,
    Code.OUTCOME_UNKNOWN: 409,
    Code.STALE_REQUEST: 410,
    Code.SESSION_UNKNOWN: 409,
    Code.ID_REUSED: 422,
    Code.RESULT_NOT_CACHED: 410,
    Code.IN_PROGRESS: 409,
}

_HEADERS: Final[dict[str, Object]] = {
    "IdempotencyKey": {
        "name": "Idempotency-Key",
        "description": "The same in every attempt, so that the call takes effect "
        "once. Without it each request is a call of its own.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 130},
    },
    "Timestamp": {
        "name": "Rpc-Timestamp",
        "description": "When the call was first made, in Unix seconds; the same in "
        "every attempt.",
        "schema": {"type": "number"},
    },
    "Timeout": {
        "name": "Rpc-Timeout-Ms",
        "description": "How long the caller waits, in milliseconds.",
        "schema": {"type": "integer", "minimum": 1},
    },
}

_EXTRA: Final[Object] = {
    "type": "object",
    "properties": {
        "code": {"enum": [code.value for code in Code]},
        "executed": {
            "enum": ["no", "yes", "unknown"],
            "description": "Whether the call ran.",
        },
        "type": {"type": "string", "description": "The declared exception."},
        "data": {"type": "object", "description": "Its members."},
        "error_id": {"type": "string", "description": "Finds the server's log entry."},
        "retry_after": {
            "type": "integer",
            "description": "Milliseconds to wait before another attempt; -1: never.",
        },
    },
    "required": ["code", "executed"],
}


def openapi(file: model.File) -> str:
    """
    @return: a document that describes the services of a file.
    @raise IDLError: two methods have one route.
    """
    return text(_Document(file).whole())


class _Document:
    """
    The document of a file.

    @ivar paths: by route, the operations by verb.
    """

    def __init__(self, file: model.File) -> None:
        self.file = file
        self.schemas = Schemas(file, "#/components/schemas/")
        self.paths: dict[str, Object] = {}
        self._routes: dict[tuple[str, str], model.Method] = {}
        self._secured = False
        for service in file.services.values():
            for method in service.methods.values():
                if _is_call(method):
                    self._add(service, method)
        self.paths["/health"] = {"get": _health()}

    def whole(self) -> Object:
        services = self.file.services.values()
        versions = [
            each.annotations["version"].args["version"]
            for each in services
            if "version" in each.annotations
        ]
        info: Object = {"title": title(self.file), "version": (*versions, "0")[0]}
        if self.file.doc:
            info["description"] = self.file.doc
        components: Object = {
            "schemas": {"_Failure": _failure(_EXTRA), **self.schemas.definitions},
            "parameters": {
                name: {**each, "in": "header"} for name, each in _HEADERS.items()
            },
            "responses": {"Failure": _answer("The call failed.", _ref("_Failure"))},
        }
        if self._secured:
            bearer = {"type": "http", "scheme": "bearer"}
            components["securitySchemes"] = {"bearer": bearer}
        return {
            "openapi": "3.1.0",
            "info": info,
            "tags": [_tag(each) for each in services],
            "paths": self.paths,
            "components": components,
        }

    def _add(self, service: model.Service, method: model.Method) -> None:
        name = f"{service.wire_name}.{method.wire_name}"
        operation = self._operation(service, method)
        path = f"/rpc/{_quoted(service.wire_name)}/{_quoted(method.wire_name)}"
        body = self._body(self.schemas.parameters(method.params), method.params)
        self.paths[path] = {"post": {"operationId": name, **operation, **body}}
        if "http" not in method.annotations:
            return
        ((verb, route),) = method.annotations["http"].args.items()
        self._claim(verb, route, method)
        where = self._routed(verb, route, method)
        where["parameters"] = [*where["parameters"], *operation["parameters"]]
        self.paths.setdefault(route, {})[verb] = {
            "operationId": f"{name}.{verb}",
            **operation,
            **where,
        }

    def _claim(self, verb: str, route: str, method: model.Method) -> None:
        """
        Two methods cannot have one route, whatever they call what is in it.
        """
        shape = re.sub(r"\{[^{}]*\}", "{}", route)
        other = self._routes.setdefault((verb, shape), method)
        if other is not method:
            at = method.annotations["http"].place
            message = f"the route '{verb} {route}' is that of '{other.name}' already"
            hint = f"at {other.annotations['http'].place}"
            raise IDLError(
                [Fault(at.path, at.line, at.column, at.length, message, hint)]
            )

    def _operation(self, service: model.Service, method: model.Method) -> Object:
        operation: Object = {"tags": [service.wire_name], **described(method)}
        if method.doc:
            operation["summary"] = method.doc.split("\n", 1)[0]
        operation["x-delivery"] = method.delivery
        operation["parameters"] = [
            {"$ref": f"#/components/parameters/{name}"} for name in _HEADERS
        ]
        operation["responses"] = self._responses(method)
        return operation | self._security(service, method)

    def _security(self, service: model.Service, method: model.Method) -> Object:
        auth = method.annotations.get("auth") or service.annotations.get("auth")
        if auth is None:
            return {}
        if auth.args.get("public"):
            return {"security": []}
        self._secured = True
        return {"security": [{"bearer": []}], "x-role": auth.args.get("role")}

    def _responses(self, method: model.Method) -> Object:
        reply = _reply(result(self.schemas, method), {"type": "null"})
        responses: Object = {"200": _answer("The result.", reply)}
        for status, exceptions in _by_status(method.throws).items():
            references = [self._thrown(each) for each in exceptions]
            schema = references[0] if len(references) == 1 else {"anyOf": references}
            names = " or ".join(each.wire_name for each in exceptions)
            # The framework's own errors may have the same status.
            either = {"anyOf": [schema, _ref("_Failure")]}
            responses[str(status)] = _answer(f"{names}.", either)
        responses["default"] = {"$ref": "#/components/responses/Failure"}
        return responses

    def _thrown(self, exception: model.Struct) -> Object:
        extra = {
            **_EXTRA,
            "properties": {
                **_EXTRA["properties"],
                "type": {"const": exception.wire_name},
                "data": self.schemas.reference(exception),
            },
            "required": [*_EXTRA["required"], "type", "data"],
        }
        return _failure(extra)

    def _body(self, schema: Object, fields: Iterable[model.Field]) -> Object:
        required = any(each.required for each in fields)
        content = {_JSON: {"schema": schema}}
        return {"requestBody": {"required": required, "content": content}}

    def _routed(self, verb: str, route: str, method: model.Method) -> Object:
        """
        @return: where the parameters of a route are.
        """
        named = re.findall(r"\{([^{}]*)\}", route)
        parameters = [
            self._parameter(each, "path")
            for each in method.params
            if each.name in named
        ]
        others = [each for each in method.params if each.name not in named]
        if verb in {"get", "delete"}:
            parameters += [self._parameter(each, "query") for each in others]
            return {"parameters": parameters}
        body = self._body(self.schemas.members(others), others) if others else {}
        return {"parameters": parameters, **body}

    def _parameter(self, field: model.Field, where: str) -> Object:
        schema = self.schemas.field(field)
        told = {name: schema.pop(name) for name in ("description",) if name in schema}
        required = where == "path" or field.required
        parameter = {"name": field.name, "in": where, "required": required, **told}
        if field.type.definition is None and not field.type.args:
            return {**parameter, "schema": schema}
        return {**parameter, "content": {_JSON: {"schema": schema}}}


def _is_call(method: model.Method) -> bool:
    return not (method.oneway or method.streams_result or method.streams_parameter)


def _tag(service: model.Service) -> Object:
    missing = [
        each.wire_name for each in service.methods.values() if not _is_call(each)
    ]
    not_here = f"Not over HTTP: {', '.join(missing)}." if missing else ""
    tag: Object = {"name": service.wire_name}
    description = "\n\n".join(filter(None, [service.doc, not_here]))
    return {**tag, "description": description} if description else tag


def _by_status(exceptions: Iterable[model.Struct]) -> dict[int, list[model.Struct]]:
    found: dict[int, list[model.Struct]] = {}
    for each in exceptions:
        status = STATUS[Code(each.code or "FAILED_PRECONDITION")]
        found.setdefault(status, []).append(each)
    return found


def _reply(result: Object, error: Object) -> Object:
    return {
        "type": "object",
        "properties": {
            "request_id": {"type": "string"},
            "result": result,
            "error": error,
            "timestamp": {"type": "number"},
        },
        "required": ["request_id", "result", "error", "timestamp"],
    }


def _failure(extra: Object) -> Object:
    reply = _reply({"type": "null"}, {"type": "string"})
    reply["properties"]["ext"] = extra
    reply["required"].append("ext")
    return reply


def _answer(description: str, schema: Object) -> Object:
    return {"description": description, "content": {_JSON: {"schema": schema}}}


def _ref(name: str) -> Object:
    return {"$ref": f"#/components/schemas/{name}"}


def _health() -> Object:
    return {
        "operationId": "health",
        "summary": "Whether the server serves.",
        "responses": {
            "200": {"description": "It does."},
            "503": {"description": "It does not."},
        },
    }


def _quoted(name: str) -> str:
    return quote(name, safe="")
