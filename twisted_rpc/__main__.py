"""
C{python -m twisted_rpc} is the C{twisted-rpc} command.
"""

from __future__ import annotations

import sys

from twisted_rpc.tools import main

if __name__ == "__main__":
    sys.exit(main())
