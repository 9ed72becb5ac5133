# -*- test-case-name: tests.test_examples -*-
"""
The examples of a page of the documentation, found and carried out.

What counts are fenced blocks, by their language:

  - C{idl} is read; it must be a whole file without faults.
  - C{python} after C{<!-- file: NAME -->} is written to that file.  Any other is
    run, in one namespace for the page; if it begins with C{>>>}, what it shows
    is compared.
  - any other language after C{<!-- file: NAME -->} is written to that file too.
  - C{console} has commands, after C{$ }, and what they print.  They run in the
    folder of the page's files.  A C{twistd} that prints nothing serves until
    the end of the page, and so does one in C{<!-- serving: ARGUMENTS -->}.
  - C{jsonl} has one JSON value a line.

Servers take free ports: C{tcp:127.0.0.1:5000} in files and commands becomes
where the last one listens.
"""

from __future__ import annotations

import doctest
import io
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Timer
from typing import Any, Final

from services.calculator import demo
from twisted_rpc.idl import load_idl_text

ROOT: Final = Path(__file__).parent.parent

#: What the pages call the endpoint of their server.
ENDPOINT: Final = "tcp:127.0.0.1:5000"

#: Seconds for one command.
PATIENCE: Final = 60.0

_BLOCK = re.compile(
    r"(?:^<!-- (?P<mark>file|serving): (?P<what>.*?) -->\n)?"
    r"^(?P<fence>```+)(?P<language>[a-z]*)\n(?P<text>.*?)^(?P=fence)$",
    re.MULTILINE | re.DOTALL,
)


class Wrong(AssertionError):
    """
    An example does not do what it says.
    """


@dataclass(frozen=True)
class Block:
    """
    One fenced block.

    @ivar language: the word after the fence, or C{""}.
    @ivar line: where its text begins, from 1.
    @ivar file: the name of the file that it is, or C{""}.
    @ivar serving: the arguments of a server that it needs, or C{""}.
    """

    language: str
    text: str
    line: int
    file: str
    serving: str


def blocks(page: str) -> Iterator[Block]:
    """
    The fenced blocks of C{page}.
    """
    for match in _BLOCK.finditer(page):
        what = {match["mark"]: match["what"]}
        line = page.count("\n", 0, match.start("text")) + 1
        yield Block(
            match["language"],
            match["text"],
            line,
            what.get("file", ""),
            what.get("serving", ""),
        )


def commands(text: str) -> Iterator[tuple[str, str]]:
    """
    The commands of a console and what each prints.
    """
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        yield command, output


def same(expected: str, got: str) -> bool:
    """
    Whether C{got} is what was expected, where C{...} is anything.
    """
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    return doctest.OutputChecker().check_output(expected, got, flags)


@contextmanager
def served(
    arguments: Sequence[str], folder: Path, environment: Mapping[str, str]
) -> Iterator[str]:
    """
    Run C{twistd rpc} for as long as the block lasts; yields its endpoint.
    """
    with subprocess.Popen(
        [
            *(*demo.TWISTD, "-n", "--pidfile=", "rpc"),
            *arguments,
            *("--listen", "tcp:0:interface=127.0.0.1"),
        ],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        watchdog = Timer(PATIENCE, process.kill)
        watchdog.start()
        try:
            yield endpoint_in(process.stdout)
        finally:
            process.terminate()
            process.communicate()
            watchdog.cancel()


def endpoint_in(log: Iterable[str]) -> str:
    """
    Where the server that writes C{log} listens.

    @raise Wrong: it has ended without doing so.
    """
    seen = []
    for line in log:
        if match := demo.LISTENING.search(line):
            return f"tcp:127.0.0.1:{match[1] or match[2]}"
        seen.append(line)
    raise Wrong("the server did not start:\n" + "".join(seen))


class Page:
    """
    One page, while its examples are carried out.
    """

    def __init__(self, path: Path, folder: Path) -> None:
        """
        @param folder: an empty one, for the page's files; the current directory
            while they are carried out.
        """
        self.path = path
        self._folder = folder
        self._files: dict[str, str] = {}
        self._names: dict[str, Any] = {"__name__": "__page__"}
        self._endpoint = ENDPOINT
        self._servers = ExitStack()
        (folder / "services").symlink_to(ROOT / "services")

    def run(self) -> None:
        """
        Carry all examples out, in their order.

        @raise Wrong: one does not do what it says.
        """
        with self._servers:
            for block in blocks(self.path.read_text()):
                try:
                    self._run(block)
                except Exception as error:
                    what = f"{type(error).__name__}: {error}"
                    raise Wrong(f"{self.path}:{block.line}: {what}") from error

    def _run(self, block: Block) -> None:
        if block.serving:
            self._serve(shlex.split(block.serving))
        if block.file:
            self._files[block.file] = block.text
            self._write()
        if block.language == "idl":
            load_idl_text(block.text)
        elif block.language == "jsonl":
            for line in block.text.splitlines():
                json.loads(line)
        elif block.language == "console":
            for command, output in commands(block.text):
                self._command(command, output)
        elif block.language == "python" and not block.file:
            self._python(block)

    def _write(self) -> None:
        for name, text in self._files.items():
            path = self._folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text.replace(ENDPOINT, self._endpoint))

    # -- Python

    def _python(self, block: Block) -> None:
        if not block.text.startswith(">>>"):
            source = "\n" * (block.line - 1) + block.text
            exec(compile(source, str(self.path), "exec"), self._names)  # noqa: S102
            return
        test = doctest.DocTestParser().get_doctest(
            block.text, self._names, self.path.name, str(self.path), block.line - 1
        )
        report = io.StringIO()
        runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
        results = runner.run(test, out=report.write, clear_globs=False)
        self._names = test.globs
        if results.failed:
            raise Wrong(report.getvalue())

    # -- programs

    def _command(self, command: str, expected: str) -> None:
        words = shlex.split(command.replace(ENDPOINT, self._endpoint))
        if words[0] == "twistd" and not expected:
            self._serve(words[words.index("rpc") + 1 :])
            return
        done = subprocess.run(
            [*self._program(words[0]), *words[1:]],
            cwd=self._folder,
            env=self._environment(),
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
        )
        got = done.stdout.replace(self._endpoint, ENDPOINT)
        if not same(expected, got):
            raise Wrong(f"{command}\nprints\n{got}")

    @staticmethod
    def _program(name: str) -> tuple[str, ...]:
        return {
            "python": (sys.executable,),
            "trial": (sys.executable, "-m", "twisted.trial"),
            "twistd": demo.TWISTD,
            "twisted-rpc": (sys.executable, "-m", "twisted_rpc"),
        }[name]

    @staticmethod
    def _environment() -> dict[str, str]:
        # For those who run the tests of a checkout that is not installed.
        path = [str(ROOT), os.environ.get("PYTHONPATH", "")]
        return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))}

    def _serve(self, arguments: list[str]) -> None:
        self._servers.close()
        self._endpoint = self._servers.enter_context(
            served(arguments, self._folder, self._environment())
        )
        self._write()
