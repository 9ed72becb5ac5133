"""
Tests for L{twisted_rpc}: the public names.
"""

from __future__ import annotations

import os
import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

import twisted_rpc


class NamesTests(SynchronousTestCase):
    """
    What C{import twisted_rpc} gives.
    """

    def test_all(self) -> None:
        """
        Every public name can be had, is listed by dir(), and is what its module
        has; nothing else is imported on demand.
        """
        for name in twisted_rpc.__all__:
            self.assertIsNotNone(getattr(twisted_rpc, name))
            self.assertIn(name, dir(twisted_rpc))
        late = {*twisted_rpc._MODULE_OF, "errors", "interfaces", "__version__"}
        self.assertEqual(late, set(twisted_rpc.__all__))

    def test_unknown(self) -> None:
        """
        A name that is not there is not looked for.
        """
        with self.assertRaisesRegex(AttributeError, "has no attribute 'Sever'"):
            _ = twisted_rpc.Sever  # type: ignore[attr-defined]

    def test_import(self) -> None:
        """
        A client imports nothing of a server, no store, and nothing that few
        clients need.
        """
        code = (
            "import sys; from twisted_rpc import Client, load_idl;"
            "print([n for n in sys.modules"
            " if n.startswith(('twisted_rpc.server', 'twisted_rpc.delivery', 'sqlite3',"
            " 'twisted_rpc.idl.evolution', 'twisted_rpc.client.blocking',"
            " 'twisted_rpc.client.interceptors.breaking',"
            " 'twisted_rpc.client.interceptors.throttling',"
            " 'twisted.internet.endpoints', 'twisted_rpc.wire.server'))])"
        )
        # Measuring coverage would import sqlite3 before anything else.
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("COVERAGE_")
        }
        printed = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env=environment,
        )
        self.assertEqual(printed.stdout.strip(), "[]")
