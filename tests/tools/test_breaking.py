"""
Tests for C{twisted-rpc breaking}.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.tools.commanding import CommandTestCase
from twisted_rpc import Registry, Server
from twisted_rpc.idl import load_idl_text
from twisted_rpc.testing import MemoryClock, connect
from twisted_rpc.tools.commands.breaking import compared
from twisted_rpc.tools.subcommand import MistakeError
from twisted_rpc.tools.versions import Version, asked, file_version, server_version

OLD = "service A { int f(int a) }\n"
SOURCE = "service A { int f(int b) }\n"
SEMANTIC = "service A { @timeout(1s) int f(int a) }\n"
WIRE = "service A { int g(int a) }\n"


class Implementation:
    def f(self, a: int) -> int:
        return a


def registry(text: str = OLD) -> Registry:
    """
    @return: what serves the text's service.
    """
    made = Registry()
    made.register(load_idl_text(text).A, Implementation())
    return made


class FileTests(CommandTestCase):
    """
    Two files.
    """

    def breaking(self, new: str, *options: str, old: str = OLD) -> tuple[int, str, str]:
        """
        @return: how the comparison of two texts ends.
        """
        paths = self.write("old.idl", old), self.write("new.idl", new)
        return self.run_command("breaking", *paths, *options)

    def test_text(self) -> None:
        """
        A finding is a line, with the new place and the old.
        """
        self.assertEqual(
            self.breaking(SOURCE),
            (
                1,
                (
                    "new.idl:1:23: SOURCE: parameter 'a' of 'A.f' is now 'b', was 'a'"
                    " (request: A.f)  [before: old.idl:1:23]\n"
                ),
                "",
            ),
        )
        self.assertEqual(self.breaking(OLD), (0, "", ""))

    def test_fail_on(self) -> None:
        """
        The exit status is 1 for what is as bad as --fail-on, by default SOURCE.
        """
        for text, levels in (
            (OLD, ""),
            (SEMANTIC, "semantic"),
            (SOURCE, "semantic source"),
            (WIRE, "semantic source wire"),
        ):
            for level in ("semantic", "source", "wire"):
                status, _, _ = self.breaking(text, "--fail-on", level)
                self.assertEqual(status, int(level in levels.split()), (text, level))
            status, _, _ = self.breaking(text)
            self.assertEqual(status, int("source" in levels), text)

    def test_json(self) -> None:
        """
        JSON has everything, each place with its length.
        """
        status, out, _ = self.breaking(SOURCE, "--format", "json")
        self.assertEqual(status, 1)
        (finding,) = json.loads(out)
        place = {"line": 1, "column": 23, "length": 1}
        self.assertEqual(finding.pop("new").pop("path").rpartition("/")[2], "new.idl")
        self.assertEqual(
            {name: finding["old"][name] for name in place},
            place,
        )
        del finding["old"]
        self.assertEqual(
            finding,
            {
                "verdict": "SOURCE",
                "message": "parameter 'a' of 'A.f' is now 'b', was 'a'",
                "direction": "request",
                "method": "A.f",
            },
        )
        self.assertEqual(self.breaking(OLD, "--format", "json")[1], "[]\n")
        _, out, _ = self.breaking("", "--format", "json")
        (gone,) = json.loads(out)
        self.assertEqual(
            (gone["new"], gone["direction"], gone["method"]), (None, None, None)
        )

    def test_either_order(self) -> None:
        """
        With --either-order clients may come first.
        """
        appended = OLD.replace("int a", "int a, int b = 1")
        self.assertEqual(self.breaking(appended)[0], 0)
        self.assertEqual(self.breaking(appended, "--either-order")[0], 1)

    def test_unreadable(self) -> None:
        """
        What cannot be read makes the status 2, and one line or the faults.
        """
        path = self.write("a.idl", OLD)
        # The tests may run inside a repository.
        os.environ["GIT_CEILING_DIRECTORIES"] = str(self.folder.parent)
        self.addCleanup(os.environ.pop, "GIT_CEILING_DIRECTORIES")
        for words, said in (
            ((path, str(self.folder / "none.idl")), "none.idl:1:1: cannot be read"),
            ((path, self.write("bad.idl", "servce A { }")), "expected a definition"),
            ((path, "nonsense:"), "nonsense::1:1: cannot be read"),
            ((path, "git:nothing"), "is in no git repository"),
        ):
            status, out, err = self.run_command("breaking", *words)
            self.assertEqual((status, out), (2, ""), words)
            self.assertIn(said, err)
            self.assertNotIn("Traceback", err)

    def test_help(self) -> None:
        """
        The help says what the verdicts mean.
        """
        with self.assertRaises(SystemExit):
            self.run_command("breaking", "--help")
        assert isinstance(sys.stdout, io.StringIO)
        self.assertIn("WIRE      a message", sys.stdout.getvalue())


class HistoryTests(CommandTestCase):
    """
    Versions that a repository remembers.
    """

    def setUp(self) -> None:
        """
        A repository with a file that imports another, and is changed since.
        """
        super().setUp()
        (self.folder / "idl").mkdir()
        self.write("idl/common.idl", "struct P { int a; }\n")
        self.path = self.write(
            "idl/a.idl", 'import "common.idl"; service A { void f(common.P p) }\n'
        )
        self.git("init", "--quiet", "--initial-branch=main")
        self.git("add", ".")
        name = ("-c", "user.name=A", "-c", "user.email=a@example.com")
        self.git(*name, "commit", "--quiet", "--message=One")
        self.git("tag", "v1")
        self.write("idl/common.idl", "struct P { int a; int b; }\n")

    def git(self, *words: str) -> None:
        """
        Run git in the folder.
        """
        subprocess.run(["git", "-C", str(self.folder), *words], check=True)  # noqa: S607 - the one on the PATH

    def test_reference(self) -> None:
        """
        C{git:REF} is the other version's file as it was, with what it imported
        then.
        """
        status, out, err = self.run_command("breaking", "git:v1", self.path)
        self.assertEqual(
            (status, out, err),
            (
                1,
                (
                    "idl/common.idl:1:23: WIRE: member 'b' of 'P' is now required; clients"
                    " of the old IDL do not send it (request: A.f)\n"
                ),
                "",
            ),
        )
        status, out, _ = self.run_command("breaking", self.path, "git:HEAD")
        self.assertEqual(status, 0)
        self.assertIn("SEMANTIC: member 'b' of 'P' is gone", out)

    def test_place(self) -> None:
        """
        A place in the history begins with the commit's name.
        """
        _, out, _ = self.run_command("breaking", self.path, "git:v1", "--format=json")
        (found,) = json.loads(out)
        self.assertTrue(found["old"]["path"].endswith("idl/common.idl"))
        self.assertEqual(found["new"], None)
        self.write("idl/common.idl", "struct P { string a; }\n")
        _, out, _ = self.run_command("breaking", "git:v1", self.path)
        self.assertIn("[before: v1:idl/common.idl:1:16]", out)

    def test_path(self) -> None:
        """
        C{git:REF:PATH} is of the top of the repository that the current folder
        is in, C{./} of the folder.
        """
        moved = self.write("b.idl", "service A { }")
        before = Path.cwd()
        os.chdir(self.folder / "idl")
        self.addCleanup(os.chdir, before)
        for name in ("git:v1:idl/a.idl", "git:v1:./a.idl"):
            status, out, _ = self.run_command("breaking", name, moved)
            self.assertEqual(status, 1, name)
            self.assertIn("v1:idl/a.idl:1:39: WIRE: method 'A.f' is gone", out)
        status, out, _ = self.run_command("breaking", "git:v1:idl/a.idl", "git:HEAD")
        self.assertEqual((status, out), (0, ""))

    def test_idl_path(self) -> None:
        """
        Imported files are found in the folders of --idl-path, as they were.
        """
        path = self.write("b.idl", 'import "common.idl"; service A { common.P f() }')
        self.git("add", ".")
        name = ("-c", "user.name=A", "-c", "user.email=a@example.com")
        self.git(*name, "commit", "--quiet", "--message=Two")
        folder = ("--idl-path", str(self.folder / "idl"))
        status, out, _ = self.run_command("breaking", "git:HEAD", path, *folder)
        self.assertEqual((status, out), (0, ""))

    def test_mistakes(self) -> None:
        """
        What is not there is named, in one line.
        """
        for words, said in (
            (("git:v2", self.path), "the repository has no commit 'v2'"),
            (("git:--help", self.path), "the repository has no commit '--help'"),
            (("git:", self.path), "the repository has no commit ''"),
            (("git:v1", "git:HEAD"), "say which file it is of"),
            (("git:v1", self.write("new.idl", OLD)), "there is no such file in v1"),
        ):
            status, out, err = self.run_command("breaking", *words)
            self.assertEqual((status, out), (2, ""), words)
            self.assertIn(said, err)
        with self.assertRaises(MistakeError):
            file_version("git:v1", "tcp:127.0.0.1:1", [])
        with self.assertRaises(MistakeError):
            file_version("git:v1", self.path, [str(self.folder.parent)])

    def test_too_big(self) -> None:
        """
        A file that is too long in the history is refused as any other.
        """
        path = self.write("big.idl", "//" + "x" * 2**20)
        self.git("add", ".")
        name = ("-c", "user.name=A", "-c", "user.email=a@example.com")
        self.git(*name, "commit", "--quiet", "--message=Big")
        status, _, err = self.run_command("breaking", "git:HEAD", path)
        self.assertEqual(status, 2)
        self.assertIn("more than 1 MiB is not read", err)

    def test_no_git(self) -> None:
        """
        Without git the command says that it is missing.
        """
        self.patch(subprocess, "run", self.missing)
        status, _, err = self.run_command("breaking", "git:v1", self.path)
        self.assertEqual(status, 2)
        self.assertIn("git: is not installed, or not on the PATH", err)

    def missing(self, *words: Any, **options: Any) -> None:
        """
        What happens where there is no git.
        """
        raise FileNotFoundError(2, "No such file or directory", "git")


class ServerTests(SynchronousTestCase):
    """
    Versions of which a running server tells.
    """

    def version(self, text: str = OLD, **options: Any) -> Version:
        """
        @return: what a server in memory tells.
        """
        pair = connect(registry(text), server=options)
        self.addCleanup(pair.close)
        told: Version = pair.result(ensureDeferred(asked(pair.client, "here")))
        return told

    def file(self, text: str) -> Version:
        """
        @return: what is in a file.
        """
        path = Path(self.mktemp())
        path.write_text(text)
        return file_version(str(path), "", [])

    def test_compared(self) -> None:
        """
        What a server serves is compared with a file.
        """
        old = self.version()
        self.assertEqual(compared(old, self.file(OLD)), [])
        (found,) = compared(old, self.file(SOURCE))
        self.assertIn("[before: <A at here>:2:15]", str(found))
        (found,) = compared(self.file(WIRE), old)
        self.assertIn("WIRE: method 'A.g' is gone", str(found))

    def test_two_servers(self) -> None:
        """
        Two servers can be compared.
        """
        self.assertEqual(compared(self.version(), self.version()), [])

    def test_others(self) -> None:
        """
        Services that the file does not have are another's matter.
        """
        served = registry()
        served.register(load_idl_text("service B { }").B, object())
        pair = connect(served)
        self.addCleanup(pair.close)
        old = pair.result(ensureDeferred(asked(pair.client, "here")))
        self.assertEqual(sorted(old.services), ["A", "B"])
        said = io.StringIO()
        self.patch(sys, "stderr", said)
        self.assertEqual(compared(old, self.file(OLD)), [])
        self.assertEqual(compared(self.file(OLD), old), [])
        self.assertEqual(said.getvalue(), "twisted-rpc: here: not compared: B\n" * 2)

    def test_nothing_in_common(self) -> None:
        """
        If the file has no service of the server's, it is the wrong file.
        """
        with self.assertRaises(MistakeError) as raised:
            compared(self.version(), self.file("service B { }"))
        self.assertIn(
            "have no service in common: A there, B here", str(raised.exception)
        )

    def test_no_endpoint(self) -> None:
        """
        What is neither a file nor an endpoint is said to be neither.
        """
        asking = ensureDeferred(server_version("nonsense:x", 1.0, MemoryClock()))
        self.assertIn(
            "'nonsense:x' is neither a file nor an endpoint",
            str(self.failureResultOf(asking, MistakeError).value),
        )

    def test_not_told(self) -> None:
        """
        A server may keep to itself what it serves.
        """
        with self.assertRaises(MistakeError) as raised:
            self.version(reflection=False)
        self.assertIn("does not tell what it serves", str(raised.exception))


class ProcessTests(TestCase):
    """
    The command, a server and a connection between them.
    """

    async def breaking(self, *words: str) -> tuple[bytes, bytes, int]:
        """
        @return: what the command prints and complains of, and its status.
        """
        command = ("-m", "twisted_rpc", "breaking", *words)
        done: Any = await getProcessOutputAndValue(
            sys.executable, command, env=None, path=str(Path(__file__).parents[2])
        )
        return done[0], done[1], done[2]

    async def test_endpoint(self) -> None:
        """
        A server is named by its endpoint; one that cannot be reached cannot be
        read.
        """
        server = Server(
            registry(), listen=["tcp:0:interface=127.0.0.1"], reactor=reactor
        )
        server.startService()
        self.addCleanup(server.stopService)
        assert server.listening is not None
        (port,) = await server.listening
        path = self.mktemp()
        Path(path).write_text(SOURCE)  # noqa: ASYNC240 - a line in a test
        path = os.path.realpath(path)  # noqa: ASYNC240 - as above
        endpoint = f"tcp:127.0.0.1:{port.getHost().port}"  # type: ignore[attr-defined]
        out, err, status = await self.breaking(endpoint, path)
        self.assertEqual((status, err), (1, b""))
        self.assertIn(b"SOURCE: parameter 'a' of 'A.f' is now 'b', was 'a'", out)
        _, err, status = await self.breaking("tcp:127.0.0.1:1", path)
        self.assertEqual(status, 2)
        self.assertTrue(err.startswith(b"twisted-rpc: UNAVAILABLE: "), err)
