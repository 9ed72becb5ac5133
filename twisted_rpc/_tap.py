# -*- test-case-name: tests.test_tap -*-
"""
C{twistd rpc}: serve an IDL file from the command line.

What a person can get wrong is found while the options are read, before anything
is started: C{twistd} makes one message of that, and a traceback of anything
later.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Final, TypeVar

import twisted
from twisted.python import usage

from twisted_rpc._version import __version__
from twisted_rpc.delivery.memory import MemoryStore
from twisted_rpc.endpoints import EndpointError, server_endpoint
from twisted_rpc.errors import IDLError
from twisted_rpc.idl import Schema, ServiceSchema, load_idl
from twisted_rpc.printing import to_whoever_reads
from twisted_rpc.quantities import duration, size
from twisted_rpc.server import RegistrationError, Registry, Server
from twisted_rpc.server.promises import cannot
from twisted_rpc.stores import named_store
from twisted_rpc.twistd.adoption import as_loaded_by
from twisted_rpc.twistd.check import report
from twisted_rpc.twistd.frames import log_frames, secrets_of
from twisted_rpc.twistd.implementations import UnusableError, load, match
from twisted_rpc.twistd.limits import read_limits
from twisted_rpc.twistd.listening import announce
from twisted_rpc.twistd.logfile import Log
from twisted_rpc.twistd.logs import FORMATS, Format, is_debugged, read_levels
from twisted_rpc.twistd.serving import ServingRPC, TwistdService
from twisted_rpc.twistd.workers.balance import Counts
from twisted_rpc.twistd.workers.process import Command
from twisted_rpc.twistd.workers.supervisor import Supervisor
from twisted_rpc.twistd.workers.worker import Reporting, place
from twisted_rpc.wire.limits import Limits

__all__ = ["Options", "makeService"]

_T = TypeVar("_T")

_SYNOPSIS: Final = (
    "Usage: twistd [twistd's options] rpc --idl=FILE --impl=[SERVICE=]MODULE.CLASS"
    " [options]"
)

_EXAMPLES: Final = """
Sizes are written 64KiB or 4MiB, durations 500ms, 30s or 2m.

Examples:
  Serve one IDL file on 127.0.0.1:5000, in the foreground:
    twistd -n rpc --idl calculator.idl --impl calculator.Calc

  Two services, one of them on a Unix socket too:
    twistd -n rpc --idl shop.idl --impl Orders=shop.Orders --impl Stock=shop.stock \\
        --listen tcp:5000:interface=127.0.0.1 --listen unix:/run/shop.sock

  On four cores, one process each:
    twistd -n rpc --idl calculator.idl --impl calculator.Calc --workers 4 \\
        --require-session

  Only find out whether it would work:
    twistd rpc --idl calculator.idl --impl calculator.Calc --check

  Show every frame on the way:
    twistd -n rpc --idl calculator.idl --impl calculator.Calc --log-level wire=debug
"""


def _whole(positive: bool, text: str) -> int:
    if not text.isdecimal() or (positive and not int(text)):
        raise ValueError(f"{text!r} is not a whole number of {int(positive)} or more")
    return int(text)


#: Why several processes and a store of one process do not go together.
_UNSHARED: Final = """\
--workers: the {store} store belongs to one process. A call that is sent again may
reach another worker, which does not know that it has run, and would run it again.
Use a store that processes share, such as --dedup sqlite:FILE, or add
--require-session. Then callers without a session are refused for methods that run
once; clients of ours are never wrong, and a call whose connection is lost, and that
the next worker does not know, ends in OUTCOME_UNKNOWN."""


class Options(usage.Options):
    """
    The options of C{twistd rpc}.

    @ivar registry: what will be served, once the options are read.
    @ivar store: where calls will be recorded.
    @ivar words: the command line, as it was written.
    """

    optParameters: ClassVar[list[list[Any]]] = [
        ["app-dir", None, ".", "Folder that modules are imported from."],
        ["max-frame", None, "4MiB", "Largest frame, in both directions."],
        ["default-timeout", None, "30s", "Time for a call that names none."],
        [
            "dedup",
            None,
            "memory",
            "The record of calls: memory, sqlite:PATH, postgresql://..., redis://...",
        ],
        ["node", None, None, "Name of this server among those that share the store."],
        [
            "sessionless-clock",
            None,
            "client",
            "Who dates plain requests: client or server.",
        ],
        ["drain", None, "25s", "Time that calls have to end when the server stops."],
        ["workers", None, "1", "Processes that serve on the same sockets."],
        ["threads", None, "10", "Threaded calls that run at one time."],
        ["thread-queue", None, "100", "Threaded calls that wait for a thread."],
        ["access-log", None, "0", "Part of the calls that is logged, from 0 to 1."],
        ["log-format", None, "text", "How the log is written: text or json."],
    ]

    optFlags: ClassVar[list[list[Any]]] = [
        [
            "require-session",
            None,
            "Refuse plain requests to methods that run once only.",
        ],
        ["strict", None, "Refuse an implementation for warnings too."],
        ["strict-json", None, "Refuse JSON objects in which a name occurs twice."],
        ["debug-errors", None, "Tell callers what an implementation raised."],
        ["no-reflection", None, "Do not tell clients the IDL."],
        ["check", None, "Verify everything, print what would be served, and exit."],
        ["verbose", "v", "With --check: list what could not be verified, too."],
    ]

    def __init__(self) -> None:
        super().__init__()
        self["idl"] = []
        self["impl"] = []
        self["listen"] = []
        self["idl-path"] = []
        self["earlier-idl"] = []
        self["log-level"] = []
        self["limit"] = []
        # Some of the texts are docstrings of methods, indented as such.
        self.docs = {name: " ".join(text.split()) for name, text in self.docs.items()}
        self.registry = Registry()
        self.earlier: list[Schema] = []
        self.store: Any = MemoryStore()
        self.limits = Limits()
        self._failed = False
        self.words: list[str] = []

    # -- what may be given several times ----------------------------------------------

    def opt_idl(self, path: str) -> None:
        """
        IDL file to serve; repeatable.
        """
        self["idl"].append(path)

    def opt_impl(self, name: str) -> None:
        """
        What implements it: [SERVICE=]MODULE.CLASS, or an instance or a function
        that makes one; repeatable. SERVICE= may be left out where it is clear.
        """
        self["impl"].append(name)

    def opt_listen(self, endpoint: str) -> None:
        """
        Endpoint to listen on; repeatable. [default: tcp:5000:interface=127.0.0.1]
        """
        self["listen"].append(endpoint)

    def opt_idl_path(self, folder: str) -> None:
        """
        Folder in which imported IDL files are searched; repeatable.
        """
        self["idl-path"].append(folder)

    def opt_earlier_idl(self, path: str) -> None:
        """
        IDL file as it was, which clients may still have: the log tells what
        its difference from what is served comes to; repeatable.
        """
        self["earlier-idl"].append(path)

    def opt_limit(self, limit: str) -> None:
        """
        NAME=VALUE; repeatable. A limit of the server, such as max_concurrency=500,
        idle=5m or delay=off; the reference page of limits names them all.
        """
        self["limit"].append(limit)

    def opt_log_level(self, level: str) -> None:
        """
        [PART=]LEVEL; repeatable. Parts: wire (debug shows frames), server, client,
        delivery, idl, calls. Levels: debug, info, warn, error. [default: info]
        """
        self["log-level"].append(level)

    # -- reading ------------------------------------------------------------------------

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """
        Read the command line, and see whether it can be served.
        """
        self.words = list(sys.argv[1:] if options is None else options)
        try:
            super().parseOptions(options)
        except usage.UsageError as error:
            # So that the message does not drown in the list of options.
            self._failed = True
            if self.parent is not None:
                parent: Any = self.parent
                parent.synopsis = _SYNOPSIS
            raise usage.UsageError(_with_hint(str(error), self.longOpt)) from error

    def parseArgs(self, *args: str) -> None:
        """
        There are options only.
        """
        if args:
            raise usage.UsageError(
                f"unexpected argument {args[0]!r}; files are named with --idl,"
                " implementations with --impl"
            )

    def postOptions(self) -> None:
        """
        Check everything that a person can get wrong.

        @raise usage.UsageError: something is; the text is for that person.
        """
        for needed in ("idl", "impl"):
            if not self[needed]:
                raise usage.UsageError(f"--{needed} is missing; see twistd rpc --help")
        self._read_values()
        self._read_logging()
        self["listen"] = self["listen"] or ["tcp:5000:interface=127.0.0.1"]
        if place() is None:
            # A worker's sockets are there, whatever it would take to open them.
            for endpoint in self["listen"]:
                _check_endpoint(endpoint)
        self._check_workers()
        self._add_app_dir()
        self._register(self._read_idl())
        if self["check"]:
            with to_whoever_reads():
                print(report(self.registry, self))  # noqa: T201 - what --check is for
            sys.exit(0)

    def _read_values(self) -> None:
        """
        Texts to values, each under its own name.
        """
        for name in ("default-timeout", "drain"):
            self[name] = _value(f"--{name}", duration, self[name])
        if not self["default-timeout"]:
            raise usage.UsageError("--default-timeout: it must be above 0")
        for name in ("threads", "thread-queue", "workers"):
            self[name] = _value(
                f"--{name}", partial(_whole, name != "thread-queue"), self[name]
            )
        self["access-log"] = _value("--access-log", _part, self["access-log"])
        _choose(self, "sessionless-clock", ("client", "server"))
        _choose(self, "log-format", FORMATS)
        max_frame = _value("--max-frame", size, self["max-frame"])
        self.limits = _value("--max-frame", lambda it: Limits(max_frame=it), max_frame)
        self.limits = _value(
            "--limit", partial(read_limits, max_frame=max_frame), self["limit"]
        )
        self.store = _value(
            "--dedup", partial(named_store, node=self._node()), self["dedup"]
        )

    def _node(self) -> str:
        """
        The name of this process among those that share the store; C{""}: none
        was given, and it does not have the same one in its next life.
        """
        here = place()
        name: str = self["node"] or ""
        return name if here is None or not name else f"{name}.{here.index}"

    def _read_logging(self) -> None:
        self.levels = _value("--log-level", read_levels, self["log-level"])
        parent: Any = self.parent or {}
        for other in ("syslog", "logger"):
            if parent.get(other) and (
                self["log-level"] or self["log-format"] != "text"
            ):
                raise usage.UsageError(
                    f"--log-level and --log-format say nothing to twistd's --{other};"
                    " leave one of them out"
                )

    def _check_workers(self) -> None:
        if self["workers"] == 1:
            return
        parent: Any = self.parent or {}
        if parent.get("chroot"):
            raise usage.UsageError("--workers cannot be started in a --chroot")
        if not self.store.shared and not self["require-session"]:
            raise usage.UsageError(_UNSHARED.format(store=self.store.name))

    def _read_idl(self) -> list[ServiceSchema]:
        for folder in self["idl-path"]:
            _check_folder("--idl-path", folder)
        self.earlier = [self._load(path, "earlier-idl") for path in self["earlier-idl"]]
        loaded = [self._load(path, "idl") for path in self["idl"]]
        services = [each for idl in loaded for each in idl.__idl__.services.values()]
        self._check_names(services)
        return services

    def _load(self, path: str, option: str) -> Schema:
        if not Path(path).is_file():
            what = "it is a folder" if Path(path).is_dir() else "no such file"
            raise usage.UsageError(f"--{option} {path}: {what}")
        try:
            idl = load_idl(path, include=self["idl-path"])
        except IDLError as error:
            raise usage.UsageError(f"the IDL cannot be used\n{error}") from error
        except OSError as error:
            raise usage.UsageError(
                f"--{option} {path}: {error.strerror or error}"
            ) from error
        if not idl.__idl__.services:
            raise usage.UsageError(f"--{option} {path}: there is no service in it")
        return idl

    def _check_names(self, services: Sequence[ServiceSchema]) -> None:
        first: dict[str, ServiceSchema] = {}
        for service in services:
            other = first.setdefault(service.wire_name, service)
            if other is not service:
                raise usage.UsageError(
                    f"{service.model.place}: there is a service {service.wire_name}"
                    f" already, at {other.model.place}; give --idl each file once, and"
                    " each service a name of its own"
                )

    def _add_app_dir(self) -> None:
        # twistd does not put the current directory on the path; and this may be
        # another directory when something is imported later.
        _check_folder("--app-dir", self["app-dir"])
        folder = Path(self["app-dir"]).absolute()
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))

    def _register(self, services: Sequence[ServiceSchema]) -> None:
        try:
            given = [load(text) for text in self["impl"]]
            for service, one in match(given, services):
                self.registry.register(
                    as_loaded_by(one.implementation, service),
                    one.implementation,
                    strict=bool(self["strict"]),
                )
        except (UnusableError, RegistrationError) as error:
            raise usage.UsageError(str(error)) from error
        for served in self.registry.services.values():
            for method in served.schema.by_name.values():
                if method.delivery not in self.store.classes:
                    raise usage.UsageError(
                        f"{method.model.place}: {cannot(method, self.store)}"
                    )

    def opt_help(self) -> None:
        """
        Display this help and exit.
        """
        with to_whoever_reads():
            super().opt_help()
        sys.exit(0)

    def opt_version(self) -> None:
        """
        Print the versions and exit.
        """
        with to_whoever_reads():
            print(f"twisted_rpc {__version__}, Twisted {twisted.__version__}")  # noqa: T201 - what --version is for
        sys.exit(0)

    # -- words ---------------------------------------------------------------------------

    def getSynopsis(self) -> str:
        """
        The first line of C{--help}.
        """
        return _SYNOPSIS

    def getUsage(self, width: int | None = None) -> str:
        """
        The options; after a mistake, only where to find them.
        """
        if self._failed:
            return "Try 'twistd rpc --help' for the options.\n"
        return super().getUsage(width) + _EXAMPLES


def makeService(options: Options) -> TwistdService:
    """
    The service that C{twistd} starts.
    """
    from twisted.internet import reactor  # noqa: PLC0415 - importing it installs one

    here = place()
    form: Format = options["log-format"]
    parent: Any = options.parent or {}
    log = Log(parent, options.levels, form, 0 if here is None else here.index)
    if here is None and options["workers"] > 1:
        return _supervisor(options, reactor, log)
    listen = options["listen"]
    server = Server(
        options.registry,
        listen=listen if here is None else here.endpoints(reactor, listen),
        reactor=reactor,
        limits=options.limits,
        default_timeout=options["default-timeout"],
        dedup=options.store,
        require_session=bool(options["require-session"]),
        sessionless_clock=options["sessionless-clock"],
        drain=options["drain"],
        strict_json=bool(options["strict-json"]),
        debug_errors=bool(options["debug-errors"]),
        threads=options["threads"],
        thread_queue=options["thread-queue"],
        reflection=not options["no-reflection"],
        earlier=options.earlier,
        access_log=options["access-log"],
    )
    services = options.registry.services.values()
    if is_debugged(options.levels, "wire"):
        log_frames(server.factory, secrets_of(services))
    if here is None:
        return ServingRPC(
            server, reactor, log, partial(announce, _summary(options), listen)
        )
    reporting = Reporting(server, reactor, here)
    serving = ServingRPC(server, reactor, log, reporting.ready)
    reporting.setServiceParent(serving)
    return serving


def _supervisor(options: Options, reactor: Any, log: Log) -> Supervisor:
    count: int = options["workers"]
    return Supervisor(
        [server_endpoint(reactor, text) for text in options["listen"]],
        Command(_worker_words(options), str(Path.cwd()), count, Counts.create(count)),
        reactor=reactor,
        log=log,
        announce=partial(
            announce, f"{_summary(options)} with {count} workers", options["listen"]
        ),
        drain=options["drain"],
    )


def _worker_words(options: Options) -> list[str]:
    """
    A worker's own command line: in the foreground, and elsewhere as ours.
    """
    parent: Any = options.parent or {}
    same = [
        f"--{name}={parent[name]}" for name in ("reactor", "rundir") if parent.get(name)
    ]
    return ["--nodaemon", "--pidfile=", *same, "rpc", *options.words]


def _summary(options: Options) -> str:
    return ", ".join(
        _counted(service.schema) for service in options.registry.services.values()
    )


def _counted(service: ServiceSchema) -> str:
    count = len(service.by_name)
    return f"{service.wire_name} ({count} method{'' if count == 1 else 's'})"


def _value(option: str, read: Callable[[Any], _T], text: Any) -> _T:
    try:
        return read(text)
    except ValueError as error:
        raise usage.UsageError(f"{option}: {error}") from error


def _check_folder(option: str, path: str) -> None:
    if not Path(path).is_dir():
        what = "it is a file" if Path(path).exists() else "no such folder"
        raise usage.UsageError(f"{option} {path}: {what}")


def _part(text: str) -> float:
    try:
        part = float(text)
    except ValueError:
        part = -1.0
    if not 0 <= part <= 1:
        raise ValueError(
            f"{text!r} is not a number from 0 to 1; 0.01 logs 1 call in 100"
        )
    return part


def _choose(options: Options, name: str, choices: Sequence[str]) -> None:
    if options[name] not in choices:
        raise usage.UsageError(
            f"--{name}: {options[name]!r} is neither {choices[0]} nor {choices[1]}"
        )


def _check_endpoint(text: str) -> None:
    """
    Whether an endpoint can be made of it; whether it can be listened on is known
    only when it is.
    """
    from twisted.internet import reactor  # noqa: PLC0415 - importing it installs one

    try:
        server_endpoint(reactor, text)
    except EndpointError as error:
        raise usage.UsageError(f"--listen {error}") from error


def _with_hint(message: str, options: Sequence[str]) -> str:
    """
    getopt's message about an option that does not exist, with the one meant.
    """
    if not message.startswith("option -") or "not recognized" not in message:
        return message
    name = message.split()[1].lstrip("-").partition("=")[0]
    hint = _closest(name, [option.rstrip("=") for option in options], "--")
    return f"there is no option --{name}" + (f"; {hint}" if hint else "")


def _closest(name: str, names: Sequence[str], mark: str = "") -> str:
    close = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {mark}{close[0]}?" if close else ""
