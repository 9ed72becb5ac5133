"""
A bank: C{bank.idl} says what it does, L{Bank} does it.
"""

from services.bank.bank import Bank

__all__ = ["Bank"]
