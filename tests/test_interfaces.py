"""
Tests for L{twisted_rpc.interfaces}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase
from zope.interface import Interface

from twisted_rpc import interfaces


class InterfaceTests(SynchronousTestCase):
    """
    The seams.
    """

    def test_documented(self) -> None:
        """
        Every interface and every member of it has a docstring.
        """
        for name in interfaces.__all__:
            interface = getattr(interfaces, name)
            self.assertTrue(interface.isOrExtends(Interface), name)
            self.assertTrue(interface.__doc__, name)
            for member, description in interface.namesAndDescriptions():
                self.assertTrue(description.__doc__.strip(), f"{name}.{member}")
