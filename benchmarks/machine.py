"""
Facts about where it is measured.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.peers import peer


def facts(peers: Iterable[str]) -> dict[str, str]:
    """
    @return: facts for a reader, by what they are.
    """
    return {
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "System": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "Processor": f"{_processor()}, {os.cpu_count()} cores",
        "Versions": ", ".join(_versions(peers)),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.processor() or "unknown"


def _versions(peers: Iterable[str]) -> list[str]:
    names = {"Twisted"}
    for name in peers:
        try:
            names.add(peer(name).DISTRIBUTION)
        except ImportError:
            continue
    found = []
    for name in sorted(names - {""}):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} (not installed: from this checkout)")
    return found
