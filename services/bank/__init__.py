"""
A bank: C{bank.idl} says what it does, L{Bank} does it, in the file in which its
calls are recorded::

    twistd -n rpc --idl services/bank/bank.idl --impl services.bank.Bank \
        --dedup sqlite:bank.db
"""

from services.bank.bank import Bank

__all__ = ["Bank"]
