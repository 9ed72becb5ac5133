"""
The examples in the documentation do what they say, and its links lead somewhere.
"""

from __future__ import annotations

import doctest
import io
import os
import pkgutil
import re
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import twisted_rpc
from tests.pages import ROOT, Page, Wrong

PAGES = [
    ROOT / "README.md",
    *sorted(ROOT.glob("docs/**/*.md")),
    *sorted(ROOT.glob("benchmarks/*.md")),
]


def title(path: Path) -> str:
    """
    What a test of C{path} is called.
    """
    name = str(path.relative_to(ROOT).with_suffix(""))
    return re.sub(r"\W", "_", name)


def named(name: str, test: Callable[..., None], sentence: str) -> Callable[..., None]:
    """
    C{test} as a method of a test case.
    """
    test.__name__ = f"test_{name}"
    test.__doc__ = sentence
    return test


class PageTests(SynchronousTestCase):
    """
    One test for each page.

    They are methods, not a C{testSuite}, because C{trial -j} finds a test again
    in its worker by the name of its method.
    """

    def carry_out(self, path: Path) -> None:
        """
        Do what the page at C{path} says, in an empty folder.
        """
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        self.addCleanup(os.chdir, Path.cwd())
        os.chdir(folder)
        self.patch(sys, "path", [str(ROOT), *sys.path])
        self.patch(sys, "stdout", io.StringIO())
        Page(path, folder).run()

    def test_wrong(self) -> None:
        """
        An example that does not do what it says is told with its place.
        """
        page = Path(self.mktemp()).absolute()
        page.write_text("# Wrong\n\n```python\n>>> 1 + 1\n3\n```\n")
        error = self.assertRaises(Wrong, self.carry_out, page)
        self.assertIn(f"{page.name}:4: ", str(error))


class LinkTests(SynchronousTestCase):
    """
    One test for each page.
    """

    def follow(self, path: Path) -> None:
        """
        Look for what the page at C{path} links to.
        """
        text = re.sub(
            r"^```.*?^```", "", path.read_text(), flags=re.MULTILINE | re.DOTALL
        )
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if not target.startswith(("https:", "http:")):
                file, _, anchor = target.partition("#")
                page = path.parent / file if file else path
                self.assertTrue(page.exists(), f"{path}: {target}")
                if anchor:
                    self.assertIn(anchor, anchors(page.read_text()), path)


def anchors(page: str) -> list[str]:
    """
    The anchors of the headings of C{page}, as repositories' pages make them.
    """
    return [
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.*)$", page, re.MULTILINE)
    ]


class DocstringTests(SynchronousTestCase):
    """
    One test for each docstring of the package that has examples.
    """

    def examine(self, example: doctest.DocTest) -> None:
        """
        Run the examples of one docstring.
        """
        report = io.StringIO()
        runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
        results = runner.run(example, out=report.write)
        self.assertEqual(results.failed, 0, report.getvalue())


def _docstrings() -> Iterator[doctest.DocTest]:
    finder = doctest.DocTestFinder(exclude_empty=True)
    for module in pkgutil.walk_packages(twisted_rpc.__path__, "twisted_rpc."):
        if not module.name.endswith("__main__"):
            found = finder.find(import_module(module.name))
            yield from (example for example in found if example.examples)


def _page_test(path: Path) -> Callable[[PageTests], None]:
    def test(self: PageTests) -> None:
        self.carry_out(path)

    return test


def _link_test(path: Path) -> Callable[[LinkTests], None]:
    def test(self: LinkTests) -> None:
        self.follow(path)

    return test


def _docstring_test(example: doctest.DocTest) -> Callable[[DocstringTests], None]:
    def test(self: DocstringTests) -> None:
        self.examine(example)

    return test


for _path in PAGES:
    _name = title(_path)
    _test = named(_name, _page_test(_path), f"The examples of {_name} hold.")
    setattr(PageTests, _test.__name__, _test)
    _follow = named(_name, _link_test(_path), f"The links of {_name} lead somewhere.")
    setattr(LinkTests, _follow.__name__, _follow)

for _example in _docstrings():
    _name = re.sub(r"\W", "_", _example.name)
    _examine = named(_name, _docstring_test(_example), f"{_example.name} holds.")
    setattr(DocstringTests, _examine.__name__, _examine)
