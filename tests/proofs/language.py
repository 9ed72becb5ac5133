"""
Texts of the IDL, made and spoilt by chance: whatever one is, it is read and used,
or refused with its place, and soon.
"""

from __future__ import annotations

import argparse
import ast
import json
from time import process_time
from typing import Any, Final

from tests.generation.programs import CLASHES
from tests.idl.texts import BANK, SAMPLES, Texts
from tests.proofs.proof import Figure, Progress, Proof
from twisted_rpc.errors import IDLError
from twisted_rpc.generation.json_schema import json_schema
from twisted_rpc.generation.markdown import markdown
from twisted_rpc.generation.openapi import openapi
from twisted_rpc.generation.python.module import python_module
from twisted_rpc.idl import load_idl_text, model
from twisted_rpc.idl.formatting.format import format_text
from twisted_rpc.idl.lint.lint import RULES, lint
from twisted_rpc.idl.python.build import build
from twisted_rpc.idl.reader import digest, read_text

#: Seconds of a processor that a text of this size may take to be read.
PATIENCE: Final = 0.5
_PATH: Final = str(SAMPLES / "chance.idl")


def text_of(seed: int) -> str:
    """
    @return: a spoilt sample, or a text that the grammar makes; equal numbers
        make equal texts.
    """
    texts = Texts(seed)
    if seed % 3 == 2:
        return texts.laid_out(texts.document())
    return texts.mutated([BANK.read_text("utf-8"), CLASHES][seed % 3])


def examine(text: str) -> bool:
    """
    Do with a text all that can be done.

    @return: whether it was right.
    @raise AssertionError: it took too long, or formatting changed a digest.
    """
    began = process_time()
    try:
        file = read_text(text, _PATH)
    except IDLError as error:
        assert str(error)
        file = None
    assert process_time() - began < PATIENCE, "reading takes too long"
    if file is not None:
        _use(text, file)
    return file is not None


def _use(text: str, file: model.File) -> None:
    schema = build(file)
    for service in schema.__idl__.services.values():
        again = load_idl_text(service.text)
        digests = {each.digest for each in again.__idl__.services.values()}
        assert service.digest in digests, "reflection changes the digest"
    formatted = format_text(text)
    assert format_text(formatted) == formatted, "formatting again changes the text"
    assert _digests(read_text(formatted, _PATH)) == _digests(file), "another digest"
    for warning in lint(file, RULES):
        assert str(warning)
    ast.parse(python_module(file, "chance.idl"))
    json.loads(json_schema(file))
    markdown(file)
    try:
        json.loads(openapi(file))
    except IDLError as error:  # two methods with one route
        assert "the route" in str(error)


def _digests(file: model.File) -> dict[str, str]:
    return {name: digest(service) for name, service in file.services.items()}


def _run(args: Any, progress: Progress) -> list[Figure]:
    right = 0
    for seed in range(args.first, args.first + args.texts):
        try:
            right += examine(text_of(seed))
        except Exception as error:
            raise AssertionError(f"seed {seed}: {error!r}") from error
        progress(f"{seed - args.first + 1} texts, {right} of them right")
    progress(f"{args.texts} texts, {right} of them right", always=True)
    return []


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--texts", type=int, default=6000, help="how many (6000)")
    parser.add_argument("--first", type=int, default=0, help="the first's number (0)")


PROOF = Proof(
    name="language",
    what="any text of the IDL is read and used, or refused with its place, and soon",
    rows=(),
    run=_run,
    options=_options,
)
