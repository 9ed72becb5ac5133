# -*- test-case-name: tests.tools.test_breaking -*-
"""
One version of an interface: in a file, in the history of a repository, or as a
running server tells of it.
"""

from __future__ import annotations

import posixpath
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from twisted_rpc.client import Client
from twisted_rpc.errors import Code, RPCError
from twisted_rpc.idl.model import File, Service
from twisted_rpc.idl.reader import read_file, read_text
from twisted_rpc.idl.syntax.source import MAX_BYTES, too_long
from twisted_rpc.tools.subcommand import MistakeError

#: How a version in the history is named: C{git:REF} or C{git:REF:PATH}.
_GIT: Final = "git:"

#: How a client endpoint of Twisted begins.
_ENDPOINT: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*:.")


@dataclass(frozen=True)
class Version:
    """
    What there is to compare.

    @ivar name: as it was named on the command line.
    @ivar services: by their name on the wire.
    @ivar file: the whole file; C{None} of a server.
    """

    name: str
    services: Mapping[str, Service]
    file: File | None = None


def is_endpoint(name: str) -> bool:
    """
    Whether a version is that of a running server.
    """
    return (
        not name.startswith(_GIT)
        and _ENDPOINT.match(name) is not None
        and not Path(name).exists()
    )


def file_version(name: str, other: str, include: list[str]) -> Version:
    """
    Read a file, of now or of the history.

    @param other: the version it is compared with, whose path C{git:REF} means.
    @raise IDLError: the text has faults.
    @raise MistakeError: there is no such version.
    """
    if not name.startswith(_GIT):
        return _version(name, read_file(name, include))
    reference, _, path = name.removeprefix(_GIT).partition(":")
    if not path:
        path = other.removeprefix(_GIT).partition(":")[2] if _is_git(other) else other
        if not path or is_endpoint(other):
            raise MistakeError(
                f"{name}: say which file it is of: git:{reference}:PATH/TO/FILE.idl"
            )
        inside = not _is_git(other)
    else:
        # As git has it: from the top, unless the path begins with a dot.
        inside = path.startswith(("./", "../"))
    tree = Tree.of(name, reference, path if inside else ".")
    return _version(name, tree.load(tree.below_top(path) if inside else path, include))


def _is_git(name: str) -> bool:
    return name.startswith(_GIT)


def _version(name: str, file: File) -> Version:
    return Version(name, {it.wire_name: it for it in file.services.values()}, file)


class Tree:
    """
    The files of a commit, with the paths that git gives them, after the name of
    the commit: C{"v1.0:idl/bank.idl"}.
    """

    def __init__(self, reference: str, commit: str, top: Path) -> None:
        self._reference = reference
        self._commit = commit
        self._top = top

    @classmethod
    def of(cls, name: str, reference: str, near: str) -> Tree:
        """
        @param name: how the version was named, for messages.
        @param near: a path in the repository.
        @raise MistakeError: there is no repository, or no such commit.
        """
        folder = Path(near).resolve()
        while not folder.is_dir():
            folder = folder.parent
        top = _git(folder, "rev-parse", "--show-toplevel")
        if top is None:
            raise MistakeError(f"{name}: {folder} is in no git repository")
        # The reference may begin with a dash.
        given = ("--verify", "--quiet", "--end-of-options", f"{reference}^{{commit}}")
        commit = _git(folder, "rev-parse", *given)
        if not reference or commit is None:
            raise MistakeError(f"{name}: the repository has no commit {reference!r}")
        # git spells the folder as the system does, free of links.
        return cls(reference, commit.decode().strip(), Path(top.decode().rstrip("\n")))

    def below_top(self, path: str) -> str:
        """
        @return: a path of this machine as git has it.
        """
        whole = Path(path).resolve()
        try:
            return whole.relative_to(self._top.resolve()).as_posix()
        except ValueError:
            raise MistakeError(f"{path} is not in the repository {self._top}") from None

    def load(self, path: str, include: list[str]) -> File:
        """
        Read a file and what it imports, all as they were.

        @param path: from the top.
        @raise IDLError: the text has faults.
        """
        folders = [f"{self._reference}:{self.below_top(it)}" for it in include]
        return read_file(f"{self._reference}:{posixpath.normpath(path)}", folders, self)

    def read(self, path: str) -> bytes:
        """
        @return: what is in a file.
        @raise OSError: there is none.
        """
        size = _git(self._top, "cat-file", "-s", self._object(path))
        if size is None:
            raise FileNotFoundError(2, f"there is no such file in {self._reference}")
        if int(size) > MAX_BYTES:
            raise too_long(path, int(size))
        data = _git(self._top, "cat-file", "blob", self._object(path))
        if data is None:
            raise IsADirectoryError(21, "it is a folder")
        return data

    def real(self, path: str) -> str:
        """
        @return: the same text for each path of one file.
        """
        return path

    def folder(self, path: str) -> str:
        """
        @return: the folder that a file is in.
        """
        return f"{self._reference}:{posixpath.dirname(self._inside(path))}"

    def find(self, folder: str, path: str) -> str:
        """
        @return: the path of a file below a folder, or C{""} if there is none.
        """
        whole = posixpath.normpath(posixpath.join(self._inside(folder), path))
        found = f"{self._reference}:{whole}"
        kind = _git(self._top, "cat-file", "-t", self._object(found))
        return found if kind == b"blob\n" else ""

    def _inside(self, path: str) -> str:
        return path.removeprefix(f"{self._reference}:")

    def _object(self, path: str) -> str:
        return f"{self._commit}:{self._inside(path)}"


def _git(folder: Path, *words: str) -> bytes | None:
    """
    @return: what git prints, or C{None} if it says no.
    @raise MistakeError: there is no git.
    """
    command = ("git", "-C", str(folder), *words)
    try:
        done = subprocess.run(command, capture_output=True, check=False)  # noqa: S603 - a fixed program, its words separate
    except FileNotFoundError:
        raise MistakeError("git: is not installed, or not on the PATH") from None
    return done.stdout if done.returncode == 0 else None


async def server_version(name: str, seconds: float, reactor: Any) -> Version:
    """
    Ask a server.

    @raise RPCError: it cannot be reached, or does not tell.
    @raise MistakeError: it is no endpoint.
    """
    try:
        client = Client(name, reactor=reactor, timeout=seconds, ping=0)
    except (ValueError, TypeError, KeyError) as error:
        raise MistakeError(
            f"{name!r} is neither a file nor an endpoint ({error}); "
            "write for example tcp:127.0.0.1:5000"
        ) from error
    async with client:
        return await asked(client, name)


async def asked(client: Client, name: str) -> Version:
    """
    @return: what a server tells of its services.
    @raise RPCError: it cannot be reached, or does not tell.
    """
    try:
        told = (await client.reflect())["services"]
        services = {
            service: _told(name, service, (await client.reflect(service))["idl"])
            for service in sorted(told)
        }
    except RPCError as error:
        if error.code is Code.UNIMPLEMENTED:
            raise MistakeError(
                f"{name}: the server does not tell what it serves: {error}"
            ) from error
        raise
    return Version(name, services)


def _told(name: str, service: str, text: str) -> Service:
    file = read_text(text, f"<{service} at {name}>")
    found = {it.wire_name: it for it in file.services.values()}.get(service)
    if found is None:
        raise MistakeError(f"{name}: what the server tells of {service!r} has it not")
    return found
