# -*- test-case-name: tests.services.test_calculator -*-
"""
What the calculator does.
"""

from __future__ import annotations

from twisted_rpc import Code, RPCError


class Calc:
    """
    Implements C{Calculator} of C{calculator.idl}.

    It names no interface and derives from nothing: registering it checks that
    its methods are those of the IDL.
    """

    def add(self, a: int, b: int) -> int:
        """
        The sum of two numbers.
        """
        return a + b

    def subtract(self, a: int, b: int) -> int:
        """
        What is left of C{a} when C{b} is taken away.
        """
        return a - b

    def multiply(self, a: int, b: int) -> int:
        """
        The product of two numbers.
        """
        return a * b

    def divide(self, a: int, b: int) -> int:
        """
        How many times C{b} goes into C{a}, rounded down.
        """
        if b == 0:
            raise RPCError(Code.INVALID_ARGUMENT, "Division by zero")
        return a // b

    def greet(self, name: str) -> str:
        """
        A welcome to the one who is named.
        """
        return f"Hello, {name}! Welcome to the Calculator Service."
