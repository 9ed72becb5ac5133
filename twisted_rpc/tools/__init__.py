# -*- test-case-name: tests.tools.test_command -*-
"""
The C{twisted-rpc} command.
"""

from __future__ import annotations

from twisted_rpc.tools.command import main

__all__ = ["main"]
