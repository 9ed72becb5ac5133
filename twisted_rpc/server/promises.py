# -*- test-case-name: tests.server.test_promises -*-
"""
Whether a store can keep what methods promise.
"""

from __future__ import annotations

from typing import Any

from twisted_rpc.server.verification.findings import (
    Finding,
    RegistrationError,
    described,
    source_of,
)


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
                f"{method.full_name} is @{method.delivery}, which the {store.name} store"
                " cannot do; "
                + (
                    "use a store in a database, or write @once"
                    if method.delivery == "transactional"
                    else "use another store"
                ),
                source_of(getattr(service.implementation, name, None)),
            )
            for name, method in service.schema.by_name.items()
            if method.delivery not in store.classes
        ]
        if faults:
            subject = described(service.implementation)
            raise RegistrationError(subject, service.schema.name, faults)
