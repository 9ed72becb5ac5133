# -*- test-case-name: tests.test_endpoints -*-
"""
From the text of an endpoint, C{tcp:127.0.0.1:5000}, to the endpoint.

Twisted's own functions say of a wrong text what went wrong in them: a name that
is not defined, an argument too few.  What is said here is what to write.

Theirs are imported with the first text: it takes 18 ms, and nobody needs them
before.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, Final

from twisted.internet.interfaces import IStreamClientEndpoint, IStreamServerEndpoint

_CLIENT: Final = "tcp:127.0.0.1:5000 or unix:/run/rpc.sock"
_SERVER: Final = "tcp:5000:interface=127.0.0.1 or unix:/run/rpc.sock"

#: C{HOST:PORT}, as people write it who do not know endpoints, or know a client's.
_HOST_PORT: Final = re.compile(
    r"(?:\w+://|tcp:(?://)?)?(localhost|[\w-]+(?:\.[\w-]+)+):([0-9]{1,5})"
)


class EndpointError(ValueError):
    """
    There is no such endpoint; the text says why, and what could be written.
    """


def client_endpoint(reactor: Any, text: str) -> IStreamClientEndpoint:
    """
    Where C{text} connects to.

    @raise EndpointError: it says nothing of the kind.
    """
    found = _HOST_PORT.fullmatch(text)
    if found:
        address = f"tcp:{found[1]}:{found[2]}"
        if text != address:
            raise EndpointError(f"{text!r} is no endpoint; write {address}")
    from twisted.internet.endpoints import clientFromString  # noqa: PLC0415 - above

    made: IStreamClientEndpoint = _made(clientFromString, reactor, text, _CLIENT)
    return made


def server_endpoint(reactor: Any, text: str) -> IStreamServerEndpoint:
    """
    Where C{text} listens.

    @raise EndpointError: it says nothing of the kind.
    """
    found = _HOST_PORT.fullmatch(text)
    if found:
        raise EndpointError(
            f"{text!r}: where one listens, the port comes first; write"
            f" tcp:{found[2]}:interface={found[1]}"
        )
    from twisted.internet.endpoints import serverFromString  # noqa: PLC0415 - above

    made: IStreamServerEndpoint = _made(serverFromString, reactor, text, _SERVER)
    return made


def _made(
    make: Callable[[Any, str], Any], reactor: Any, text: str, example: str
) -> Any:
    kind = text.partition(":")[0]
    if kind == "ssl":
        raise EndpointError(
            f"{text!r}: ssl: endpoints are not accepted, because their clients check"
            " neither the host's name nor, by themselves, its certificate; use tls:"
        )
    if kind == "tls" and not (find_spec("OpenSSL") and find_spec("service_identity")):
        raise EndpointError(
            f"{text!r}: TLS is not installed; pip install 'twisted_rpc[tls]'"
        )
    try:
        endpoint = make(reactor, text)
    except Exception as error:
        # Whatever a parser, Twisted's or a plugin's, makes of a bad text.
        raise EndpointError(
            f"{text!r}: {_fault(text, error)}; write, for example, {example}"
        ) from error
    port = getattr(endpoint, "_port", 0)
    if isinstance(port, int) and not 0 <= port <= 65535:
        raise EndpointError(f"{text!r}: ports go from 0 to 65535")
    return endpoint


def _fault(text: str, error: Exception) -> str:
    kind, colon, rest = text.partition(":")
    if isinstance(error, TypeError):
        return f"{kind}: endpoints have other arguments"
    if isinstance(error, ValueError) and "nknown endpoint type" in str(error):
        what = f"{kind!r} is no kind of endpoint"
        return what if colon else f"{what}, and there is no colon"
    if isinstance(error, ValueError) and "invalid literal for int" in str(error):
        return f"no number where the port should be in {rest!r}"
    return f"{error}" if str(error) else type(error).__name__
