# -*- test-case-name: tests.idl.test_lint -*-
"""
Doc comments: C{missing-doc} and C{doc-nowhere}.
"""

from __future__ import annotations

from collections.abc import Iterator

from twisted_rpc.idl.lint.subject import Remark, Subject, about, walk
from twisted_rpc.idl.syntax import tree
from twisted_rpc.idl.syntax.tokens import Comment


def missing_doc(subject: Subject) -> Iterator[Remark]:
    """
    A service, method or type without a doc comment.
    """
    for node, _ in subject.definitions():
        if not node.doc and not isinstance(node, tree.Const):
            yield about(node.name, f"'{node.name.text}' has no doc comment")
    for method, _ in subject.methods():
        if not method.doc:
            name = method.name.text
            yield about(method.name, f"method '{name}' has no doc comment")


def doc_nowhere(subject: Subject) -> Iterator[Remark]:
    """
    A doc comment that describes nothing.
    """
    taken = _places_of_docs(subject)
    comments = [each for each in subject.comments if each.is_doc]
    for index, comment in enumerate(comments):
        following = comments[index + 1] if index + 1 < len(comments) else None
        start = subject.tokens[comment.before].start
        lost = (
            following is not None
            and following.before == comment.before
            and not _goes_on(subject, comment, following)
        )
        if start not in taken:
            hint = "it stands before a definition, method, member, value or parameter"
            yield _remark(comment, "this doc comment belongs to nothing", hint)
        elif lost:
            hint = "one comment is the documentation, the last before it"
            yield _remark(comment, "another doc comment follows this one", hint)


def _places_of_docs(subject: Subject) -> set[int]:
    """
    @return: the offsets of tokens that a doc comment may stand before: the first
        of what it describes, or the one after an annotation.
    """
    places: set[int] = set()
    starts = sorted(token.start for token in subject.tokens)
    index_of = {start: index for index, start in enumerate(starts)}
    for node in walk(subject.document.definitions):
        if not isinstance(node, tree.Definition):
            continue
        places.add(node.start)
        index = index_of[node.start]
        while subject.tokens[index].kind == "@":
            index = _after_annotation(subject, index)
            places.add(subject.tokens[index].start)
    return places


def _after_annotation(subject: Subject, index: int) -> int:
    """
    @param index: of an C{@}.
    @return: the index of the first token after the annotation.
    """
    tokens = subject.tokens
    index += 2
    while tokens[index].kind == ".":
        index += 2
    depth = 0
    while tokens[index].kind == "(" or depth:
        depth += (tokens[index].kind == "(") - (tokens[index].kind == ")")
        index += 1
        if not depth:
            break
    return index


def _goes_on(subject: Subject, comment: Comment, following: Comment) -> bool:
    """
    Whether two C{///} lines are one comment.
    """
    line_of = subject.source.line_of
    return (
        comment.is_line
        and following.is_line
        and line_of(comment.start) + 1 == line_of(following.start)
    )


def _remark(comment: Comment, message: str, hint: str) -> Remark:
    return Remark(comment.start, comment.end, message, hint)
