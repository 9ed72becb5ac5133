"""
A client of a service whose methods have annotations.
"""

from __future__ import annotations

from typing import Any

from tests.client.scripted import Scripted, ScriptedCase
from twisted_rpc import Client
from twisted_rpc.idl import load_idl_text

idl = load_idl_text(
    """
    service Base { @readonly int inherited() }
    @retry(max_attempts=2) @deprecated("use Shop2")
    service Old { @readonly int look(int item) }
    service Shop extends Old {
        @readonly int look2(int item)
        @readonly @cache(ttl=10s) int price(int item, string currency = "EUR")
        @readonly @cache(ttl=10s, vary=["item"]) string title(int item, string client)
        @readonly @cache(ttl=10s) string page(string text)
        @readonly @hedge("p95") int find(int item)
        @idempotent @hedge("p50") int put(int item)
        int buy(int item)
        @readonly @deprecated int bare()
        @deprecated("use find", since="1.2") @readonly int search(int item)
    }
    """
)


class AskedCase(ScriptedCase):
    """
    Tests of interceptors.
    """

    def start(self, endpoint: Any = None, **options: Any) -> Client:
        """
        Make the client, with a proxy of the annotated service.
        """
        client = super().start(endpoint, **options)
        self.shop = client.proxy(idl.IShop)
        return client

    def answering(self, **options: Any) -> Scripted:
        """
        Make a client of a server that answers with a number that grows.
        """
        self.answers = 0

        def answer(connection: Scripted, call: Any) -> None:
            self.answers += 1
            connection.reply(call, self.answers)

        self.server.on_call = answer
        return self.started(**options)

    def asked(self) -> int:
        """
        How many calls came to the server.
        """
        return len(self.server.frames)
