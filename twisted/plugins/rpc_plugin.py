"""
C{twistd rpc}, by name only.

Every C{twistd} command of the environment imports this file, so it imports
nothing of ours and no reactor: one that did would make
C{twistd --reactor=asyncio} fail on its first run.
"""

from twisted.application.service import ServiceMaker

rpc = ServiceMaker(
    name="Twisted RPC",
    module="twisted_rpc._tap",
    description="Serve the implementations of an IDL file.",
    tapname="rpc",
)

__all__ = ["rpc"]
