"""
Tests for C{twisted-rpc format}.
"""

from __future__ import annotations

from pathlib import Path

from tests.tools.commanding import CommandTestCase

LOOSE = "service A { int f(int a)  // why\n}"
TIGHT = "service A {\n    int f(int a); // why\n}\n"


class FormatTests(CommandTestCase):
    """
    Files get the one layout.
    """

    def test_in_place(self) -> None:
        """
        A file is rewritten and named; one that has the layout is not touched.
        """
        path = self.write("a.idl", LOOSE)
        self.assertEqual(
            self.run_command("format", path), (0, "a.idl: formatted\n", "")
        )
        self.assertEqual(Path(path).read_text(), TIGHT)
        self.assertEqual(self.run_command("format", path), (0, "", ""))

    def test_mode(self) -> None:
        """
        A rewritten file keeps its mode, and a link its target.
        """
        path = self.write("a.idl", LOOSE)
        Path(path).chmod(0o640)
        link = self.folder / "link.idl"
        link.symlink_to(path)
        self.assertEqual(self.run_command("format", str(link))[0], 0)
        self.assertTrue(link.is_symlink())
        self.assertEqual(Path(path).read_text(), TIGHT)
        self.assertEqual(Path(path).stat().st_mode & 0o777, 0o640)
        self.assertEqual(len(list(self.folder.iterdir())), 2)

    def test_check(self) -> None:
        """
        With --check nothing is written, and the status says whether all files
        have the layout.
        """
        loose, tight = self.write("a.idl", LOOSE), self.write("b.idl", TIGHT)
        self.assertEqual(
            self.run_command("format", "--check", loose, tight),
            (1, "a.idl: would be formatted\n", ""),
        )
        self.assertEqual(Path(loose).read_text(), LOOSE)
        self.assertEqual(self.run_command("format", "--check", tight), (0, "", ""))

    def test_standard_input(self) -> None:
        """
        - is standard input, and the formatted text goes to standard output.
        """
        stdin = LOOSE.encode()
        self.assertEqual(self.run_command("format", "-", stdin=stdin), (0, TIGHT, ""))
        self.assertEqual(
            self.run_command("format", "--check", "-", stdin=stdin),
            (1, "<stdin>: would be formatted\n", ""),
        )

    def test_other_files_go_on(self) -> None:
        """
        A file that cannot be read, or is no IDL, is named, the others are
        formatted, and the status is 2.
        """
        bad, loose = self.write("bad.idl", "servce A {}"), self.write("a.idl", LOOSE)
        status, out, err = self.run_command("format", bad, f"{loose}.not", loose)
        self.assertEqual((status, out), (2, "a.idl: formatted\n"))
        self.assertIn("bad.idl:1:1: expected a definition", err)
        self.assertIn("a.idl.not: cannot be read: No such file or directory\n", err)

    def test_not_text(self) -> None:
        """
        What is no UTF-8, too long, or a folder is refused in one line.
        """
        binary = self.folder / "b.idl"
        for data, said in (
            (b"\xff", "b.idl:1:1: this is not UTF-8"),
            (b" " * (2**20 + 1), "more than 1 MiB is not read"),
        ):
            binary.write_bytes(data)
            status, out, err = self.run_command("format", str(binary))
            self.assertEqual((status, out), (2, ""))
            self.assertIn(said, err)
        status, _, err = self.run_command("format", str(self.folder))
        self.assertEqual(status, 2)
        self.assertIn("Is a directory", err)

    def test_cannot_write(self) -> None:
        """
        A file that cannot be written is named in one line.
        """
        path = self.write("a.idl", LOOSE)

        def refuse(*_: object) -> None:
            raise OSError(28, "No space left on device")

        self.patch(Path, "replace", refuse)
        self.assertEqual(
            self.run_command("format", path),
            (2, "", "twisted-rpc: a.idl: cannot be written: No space left on device\n"),
        )
        self.assertEqual(Path(path).read_text(), LOOSE)
        self.assertEqual([each.name for each in self.folder.iterdir()], ["a.idl"])
