"""
Fuzzing that is guided by what it reaches, with atheris, where that is installed::

    python -m tests.fuzz.guided server --seconds 60
    python -m tests.fuzz.guided client --seconds 60 --keep

With C{--keep} the frames that reached something new are added to the corpus of
this folder, the smallest that do, and at most 8 KiB each.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any, Final

CORPUS: Final = Path(__file__).parent / "corpus"

#: Bytes of one input.
MOST: Final = 8192

#: Frames that one run may add to the corpus.
KEPT: Final = 40

#: What the coverage of atheris is to be seen in.
PACKAGES: Final = ("twisted_rpc",)


def has_atheris() -> bool:
    """
    Whether it is installed: it has no wheels for every Python.
    """
    return find_spec("atheris") is not None


def fuzzed(side: str) -> Callable[[bytes], None]:
    """
    @return: gives an input to one of the two protocols.
    """
    from tests.fuzz.targets import ClientTarget, ServerTarget  # noqa: PLC0415 - atheris has to see the import

    target = ServerTarget() if side == "server" else ClientTarget()

    def one(data: bytes) -> None:
        target.feed([len(data).to_bytes(4, "big") + data])

    return one


def write_seeds(folder: Path, side: str) -> None:
    """
    Write what it begins with.
    """
    from tests.fuzz.mutation import seeds  # noqa: PLC0415 - as in fuzzed

    for seed in dict.fromkeys(seeds("client" if side == "server" else "server")):
        (folder / name_of(seed)).write_bytes(seed)


def name_of(frame: bytes) -> str:
    """
    A file is named after what is in it.
    """
    return f"{blake2b(frame, digest_size=8).hexdigest()}.frame"


def fuzz(atheris: Any, options: argparse.Namespace, folder: Path) -> None:
    """
    Fuzz; atheris ends the process when it is done, or when something broke.
    """
    with atheris.instrument_imports(
        include=list(PACKAGES), enable_loader_override=False
    ):
        one = fuzzed(options.side)
    write_seeds(folder, options.side)
    words = [
        sys.argv[0],
        str(folder),
        f"-max_total_time={options.seconds}",
        f"-max_len={MOST}",
        f"-artifact_prefix={Path.cwd()}/broken-",
        "-print_final_stats=1",
    ]
    atheris.Setup(words, one)
    atheris.Fuzz()


def keep(folder: Path, before: set[str]) -> int:
    """
    Add what was found to the corpus.

    @return: how many frames.
    """
    found = sorted(
        (path for path in folder.iterdir() if path.name not in before),
        key=lambda path: path.stat().st_size,
    )
    for path in found[:KEPT]:
        frame = path.read_bytes()
        (CORPUS / name_of(frame)).write_bytes(frame)
    return len(found[:KEPT])


def main() -> int:
    """
    @return: the exit status.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.guided")
    parser.add_argument("side", choices=["server", "client"])
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--keep", action="store_true", help="add finds to the corpus")
    options = parser.parse_args()
    if not has_atheris():
        print("atheris is not installed; pip install atheris, where it has a wheel")
        return 1
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_seeds(folder, options.side)
        before = {path.name for path in folder.iterdir()}
        # libFuzzer ends its process by itself.
        child = os.fork()
        if not child:
            import atheris  # noqa: PLC0415 - it is not everywhere

            module: ModuleType = atheris
            fuzz(module, options, folder)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if options.keep:
            print(f"{keep(folder, before)} frames are added to {CORPUS}")
        return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main())
