"""
Tests for the objects that call a server.
"""

from __future__ import annotations

import inspect
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface.verify import verifyObject

from tests.client.scripted import ScriptedCase, answered, idl
from twisted_rpc import RetryPolicy, with_options
from twisted_rpc.idl import load_idl_text


class ProxyTests(ScriptedCase):
    """
    What a proxy is.
    """

    def test_provides_the_interface(self) -> None:
        """
        A proxy provides the interface, with the signatures of the IDL.
        """
        self.start()
        self.assertTrue(verifyObject(idl.IShop, self.shop))
        self.assertEqual(str(inspect.signature(self.shop.look)), "(item, depth=2)")
        self.assertEqual(type(self.shop).look.__qualname__, "Shop.look")
        self.assertIn("Look something up.", self.shop.look.__doc__)

    def test_only_the_methods_are_public(self) -> None:
        """
        No other name is taken.
        """
        self.start()
        public = {name for name in dir(self.shop) if not name.startswith("_")}
        self.assertEqual(public, set(idl.IShop))

    def test_class(self) -> None:
        """
        A proxy is an instance of its service's client class, and of those of
        the services that it extends.
        """
        self.start()
        extended = load_idl_text("service A { int f() } service B extends A { }")
        proxy = self.client.proxy(extended.IB)
        self.assertIsInstance(proxy, extended.BClient)
        self.assertIsInstance(proxy, extended.AClient)
        self.assertNotIsInstance(self.client.proxy(extended.A), extended.BClient)

    def test_shown(self) -> None:
        """
        It says what it calls, and where.
        """
        self.start("tcp:127.0.0.1:5000")
        self.assertEqual(
            repr(self.shop), "<proxy of Shop at <Client tcp:127.0.0.1:5000>>"
        )
        self.start()
        self.assertEqual(repr(self.client), "<Client of an endpoint>")

    def test_arguments_by_name(self) -> None:
        """
        Arguments go by position or by name; what is left out is not sent.
        """
        self.server.on_call = answered
        self.start()
        for deferred in (
            self.shop.look(1),
            self.shop.look(item=1),
            self.shop.look(1, 3),
            self.shop.look(depth=3, item=1),
        ):
            self.ended(self.watch(deferred), 7)
        self.assertEqual(
            [call["params"] for call in self.server.calls], [[1], [1], [1, 3], [1, 3]]
        )

    def test_arguments_that_do_not_fit(self) -> None:
        """
        Wrong names and counts are errors of the program, and raised at once;
        wrong values fail the Deferred.  Neither connects.
        """
        self.start()
        with self.assertRaises(TypeError):
            self.shop.look()
        with self.assertRaises(TypeError):
            self.shop.look(1, 2, 3)
        with self.assertRaises(TypeError):
            self.shop.look(1, other=2)
        error = self.told(self.watch(self.shop.look("one")), "INVALID_ARGUMENT", "no")
        self.assertIn("item", error.message)
        self.assertFalse(error.remote)
        self.assertEqual(self.endpoint.connected, 0)

    def test_names_on_the_wire(self) -> None:
        """
        C{@name} is what is sent.
        """
        self.server.on_call = answered
        self.start()
        self.ended(self.watch(self.shop.renamed(1)), 7)
        self.assertEqual(self.server.calls[0]["method"], "new-name")

    def test_two_versions_of_an_idl(self) -> None:
        """
        Interfaces of the same name from two files have proxies of their own.
        """
        self.start()
        other = load_idl_text("service Shop { int other(int a) }")
        self.assertEqual(
            {name for name in dir(self.client.proxy(other.IShop)) if name[0] != "_"},
            {"other"},
        )
        self.assertTrue(hasattr(self.client.proxy(idl.IShop), "look"))


class OptionsTests(ScriptedCase):
    """
    How calls are made.
    """

    def timeout_of(self, deferred: Deferred[int]) -> int:
        """
        @return: what a call says of its time, in ms.
        """
        self.watch(deferred)
        timeout: int = self.server.calls[-1]["ext"]["timeout"]
        return timeout

    def test_whose_timeout(self) -> None:
        """
        The proxy's, else the IDL's, else the client's, else 30 s.
        """
        self.started()
        self.assertEqual(self.timeout_of(self.shop.buy(1)), 30000)
        self.assertEqual(self.timeout_of(self.shop.quick()), 2000)
        self.started(timeout=9)
        self.assertEqual(self.timeout_of(self.shop.buy(1)), 9000)
        self.assertEqual(self.timeout_of(self.shop.quick()), 2000)
        shop = self.client.proxy(idl.IShop, timeout=3)
        self.assertEqual(self.timeout_of(shop.quick()), 3000)
        self.assertEqual(self.timeout_of(with_options(shop, timeout=0.5).quick()), 500)

    def test_whose_retry(self) -> None:
        """
        The proxy's, else what the IDL says over the client's.
        """
        self.start(retry=RetryPolicy(initial=0.3, maximum=4.0))
        policies = {
            name: self.shop._rpc_targets[name].policy
            for name in ("buy", "twice", "slowly", "note")
        }
        self.assertEqual(policies["buy"], RetryPolicy(initial=0.3, maximum=4.0))
        twice = policies["twice"]
        self.assertEqual(
            (twice.max_attempts, twice.initial, twice.maximum), (2, 0.02, 0.02)
        )
        self.assertEqual({code.value for code in twice.on}, {"UNAVAILABLE"})
        slowly = policies["slowly"]
        self.assertEqual((slowly.initial, slowly.maximum), (5.0, 5.0))
        self.assertEqual(policies["note"].max_attempts, 1)
        own = RetryPolicy(max_attempts=3)
        shop = with_options(self.shop, retry=own)
        self.assertIs(shop._rpc_targets["twice"].policy, own)

    def test_metadata(self) -> None:
        """
        The client's, the proxy's and the call's go together; the nearer wins.
        """
        self.started(metadata={"a": "1", "b": "1", "c": "1"})
        shop = self.client.proxy(idl.IShop, metadata={"b": "2", "c": "2"})
        self.watch(with_options(shop, metadata={"c": "3"}).buy(1))
        self.assertEqual(
            self.server.calls[-1]["ext"]["meta"], {"a": "1", "b": "2", "c": "3"}
        )

    def test_metadata_in_every_attempt(self) -> None:
        """
        Attempts after the first carry it too.
        """
        connection = self.started(
            metadata={"a": "1"}, retry=RetryPolicy(chance=lambda: 0.0)
        )
        self.watch(self.shop.buy(1))
        connection.refuse(connection.calls[0], "RESOURCE_EXHAUSTED")
        self.advance(0.1)
        self.assertEqual(
            [call["ext"]["meta"] for call in connection.calls], [{"a": "1"}] * 2
        )

    def test_metadata_that_a_server_refuses(self) -> None:
        """
        Names and sizes beyond what may be sent are refused here, by name.
        """
        self.start()
        metadata: Any
        for metadata, words in (
            ({"Upper": "x"}, "Upper"),
            ({"": "x"}, "names are of the form"),
            ({"a": 1}, "with texts"),
            ({f"n{n}": "x" for n in range(65)}, "65 names"),
            ({"a": "x" * 9000}, "9001 bytes"),
        ):
            with self.assertRaises(ValueError) as caught:
                self.client.proxy(idl.IShop, metadata=metadata)
            self.assertIn(words, str(caught.exception))

    def test_options_that_cannot_be_meant(self) -> None:
        """
        So are other options.
        """
        self.start()
        for options, kind in (
            ({"timeout": 0}, ValueError),
            ({"timeout": -1}, ValueError),
            ({"timeout": float("nan")}, ValueError),
            ({"retry": 3}, TypeError),
        ):
            with self.assertRaises(kind):
                self.client.proxy(idl.IShop, **options)

    def test_with_options_of_what_is_no_proxy(self) -> None:
        """
        L{with_options} says what it wants.
        """
        with self.assertRaises(TypeError) as caught:
            with_options(object(), timeout=1)
        self.assertIn("client.proxy", str(caught.exception))

    def test_with_options_leaves_the_proxy_alone(self) -> None:
        """
        It makes another; what is not named stays.
        """
        self.start()
        shop = self.client.proxy(idl.IShop, timeout=3, wait_for_ready=True)
        other = with_options(shop, timeout=1, wait_for_ready=False)
        self.assertTrue(verifyObject(idl.IShop, other))
        self.assertEqual(shop._rpc_targets["buy"].timeout, 3)
        self.assertTrue(shop._rpc_targets["buy"].wait_for_ready)
        self.assertEqual(other._rpc_targets["buy"].timeout, 1)
        self.assertFalse(other._rpc_targets["buy"].wait_for_ready)
        self.assertTrue(with_options(shop)._rpc_targets["buy"].wait_for_ready)
