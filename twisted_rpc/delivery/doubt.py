# -*- test-case-name: tests.delivery.test_recording -*-
"""
A call of which nobody knows whether it ran.
"""

from __future__ import annotations

from dataclasses import dataclass

from twisted_rpc.call import effect_key


@dataclass(frozen=True, slots=True)
class UnknownCall:
    """
    What is known of a call that was running when its server stopped: what a
    L{resolver<twisted_rpc.resolves>} is given.

    @ivar service: the service's name on the wire.
    @ivar method: the method's name on the wire.
    @ivar request_id: the id of the call.  With a session it is a secret: who
        knows it whole could ask for the answer.
    @ivar principal: who called.
    """

    service: str
    method: str
    request_id: str
    principal: str

    def effect_key(self, step: str = "") -> str:
        """
        What L{Request.effect_key<twisted_rpc.call.Request.effect_key>} was in
        the run.
        """
        return effect_key(self.principal, self.request_id, step)
