# -*- test-case-name: tests.server.test_durable -*-
"""
Whether a store can keep what methods promise.
"""

from __future__ import annotations

from typing import Any, Final

from twisted_rpc.server.verification.findings import (
    Finding,
    RegistrationError,
    described,
    source_of,
)

#: What is to be done, by the class of the method.
_REMEDIES: Final = {
    "transactional": "use SQLite (--dedup sqlite:FILE, or SQLiteStore) or PostgreSQL,"
    " or write @once",
    "once": "a Redis that loses nothing can (redis://HOST?once=yes), as can the other"
    " stores; or write @idempotent",
}


def cannot(method: Any, store: Any) -> str:
    """
    @return: that C{store} cannot keep the promise of C{method}, and what can.
    """
    said = (
        f"{method.full_name} is @{method.delivery}, which the {store.name} store"
        " cannot do"
    )
    return f"{said}; {_REMEDIES.get(method.delivery, 'use another store')}"


def check_classes(registry: Any, store: Any) -> None:
    """
    Look at every method before a server is made.

    @raise RegistrationError: C{store} cannot do what one of them needs.
    """
    for service in registry.services.values():
        faults = [
            Finding(
                method.model.place,
                name,
                cannot(method, store),
                source_of(getattr(service.implementation, name, None)),
            )
            for name, method in service.schema.by_name.items()
            if method.delivery not in store.classes
        ]
        if faults:
            subject = described(service.implementation)
            raise RegistrationError(subject, service.schema.name, faults)
