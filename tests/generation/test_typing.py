"""
Type checkers accept generated modules and what users write with them, and find
their mistakes.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.generation.programs import CLASHES, DIAMOND, MARK, RIGHT, WRONG
from tests.idl.texts import SAMPLES
from twisted_rpc.tools.command import main

ROOT = Path(__file__).parents[2]

#: Seconds for one of them.
PATIENCE = 300.0


def skip(module: str) -> str | None:
    """
    Why a test that needs a type checker is not run.
    """
    if find_spec(module) is not None:
        return None
    return f"there is no {module}: pip install -e '.[dev]'"


class TypingTestCase(SynchronousTestCase):
    """
    What the tests of both share.
    """

    maxDiff = None

    def setUp(self) -> None:
        """
        A folder with IDL files, what is generated of them, and programs.
        """
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        files = {"clashes.idl": CLASHES, **DIAMOND}
        for name in ("bank.idl", "common.idl"):
            files[name] = (SAMPLES / name).read_text("utf-8")
        files |= {"right.py": RIGHT, "wrong.py": WRONG}
        for name, text in files.items():
            (self.folder / name).write_text(text, encoding="utf-8")
        self.patch(sys, "stdout", open(os.devnull, "w"))  # noqa: PTH123, SIM115
        self.addCleanup(sys.stdout.close)
        made = [str(self.folder / f"{name}.idl") for name in ("bank", "clashes", "top")]
        self.assertEqual(main(["generate", *made]), 0)
        main(["generate", "--stub", made[0], "-o", str(self.folder / "stubbed.pyi")])

    def run_checker(self, words: Sequence[str], **environment: str) -> str:
        """
        @return: what a checker prints.
        """
        done = subprocess.run(
            [sys.executable, "-m", *words],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        self.assertIn(done.returncode, (0, 1), done.stdout + done.stderr)
        return done.stdout

    def judge(self, checker: str, found: Mapping[str, Mapping[int, str]]) -> None:
        """
        Only what is marked as a mistake is one, and all of it.

        @param found: by file, what is found in which line.
        """
        wrong = found.get("wrong.py", {})
        self.assertEqual(
            {name: found[name] for name in found if name != "wrong.py"}, {}
        )
        marked = {
            number
            for number, line in enumerate(WRONG.splitlines(), 1)
            if line.endswith((MARK, f"{MARK}: {checker}"))
        }
        self.assertEqual(set(wrong), marked, wrong)


class MypyTests(TypingTestCase):
    """
    mypy, strict, with the plugin for zope's interfaces.
    """

    skip = skip("mypy_zope")

    def test_mypy(self) -> None:
        """
        The module and right programs are accepted; each mistake is found.
        """
        (self.folder / "mypy.ini").write_text(
            "[mypy]\nstrict = true\nplugins = mypy_zope:plugin\n"
            "enable_error_code = deprecated\n"
        )
        cache = f"--cache-dir={ROOT / '.mypy_cache' / 'generated'}"
        said = self.run_checker(["mypy", cache, "--no-error-summary", "."])
        found: dict[str, dict[int, str]] = {}
        for line in said.splitlines():
            match = re.match(r"([^:]+):(\d+): error: (.*)", line)
            if match is not None:
                found.setdefault(match[1], {})[int(match[2])] = match[3]
            else:
                self.assertIn(": note: ", line)
        self.judge("mypy", found)

    def test_without_plugin(self) -> None:
        """
        Who has no plugin finds no mistake in what is generated either.
        """
        cache = f"--cache-dir={ROOT / '.mypy_cache' / 'plain'}"
        words = ["mypy", cache, "--config-file=", "--strict", "--no-error-summary"]
        self.assertEqual(self.run_checker([*words, "bank_idl.py", "stubbed.pyi"]), "")


class PyrightTests(TypingTestCase):
    """
    pyright, strict.
    """

    skip = skip("pyright")

    def test_pyright(self) -> None:
        """
        The module and right programs are accepted; each mistake is found.
        """
        config = {
            "typeCheckingMode": "strict",
            "include": ["."],
            "extraPaths": [str(ROOT)],
            "reportDeprecated": "error",
            # Mistakes are in expressions that nothing else needs.
            "reportUnusedExpression": False,
        }
        (self.folder / "pyrightconfig.json").write_text(json.dumps(config))
        said = self.run_checker(
            ["pyright", "--outputjson", f"--pythonpath={sys.executable}"],
            PYRIGHT_PYTHON_IGNORE_WARNINGS="1",
        )
        found: dict[str, dict[int, Any]] = {}
        for each in json.loads(said)["generalDiagnostics"]:
            name, line = Path(each["file"]).name, each["range"]["start"]["line"] + 1
            found.setdefault(name, {})[line] = each["message"]
        self.judge("pyright", found)
