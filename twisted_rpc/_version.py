"""
The version, in the one place that packaging and programs both read.
"""

from __future__ import annotations

from typing import Final

__version__: Final = "1.0.0.dev0"
