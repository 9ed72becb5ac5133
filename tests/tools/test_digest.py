"""
Tests for C{twisted-rpc digest}.
"""

from __future__ import annotations

from tests.tools.commanding import CommandTestCase

CALCULATOR = "service Calculator { int add(int a, int b) }"
#: The vector of the language's definition.
DIGEST = "sha256:33315817cfd0a91c69d5099414c68dcee0d8ce309485d3081a84e4630e1ff2c8"


class DigestTests(CommandTestCase):
    """
    Digests of services.
    """

    def test_lines(self) -> None:
        """
        Each service has a line, with its name on the wire.
        """
        one = self.write("a.idl", CALCULATOR)
        two = self.write("b.idl", f'@name("Sums") {CALCULATOR}')
        status, out, err = self.run_command("digest", one, two)
        self.assertEqual((status, err), (0, ""))
        first, second = out.splitlines()
        self.assertEqual(first, f"Calculator  {DIGEST}")
        self.assertTrue(second.startswith("Sums        sha256:"), second)

    def test_imports(self) -> None:
        """
        Imported files are found in the folders of --idl-path.
        """
        (self.folder / "common").mkdir()
        self.write("common/base.idl", CALCULATOR)
        path = self.write(
            "a.idl", 'import "base.idl"; service B extends base.Calculator { }'
        )
        status, _, err = self.run_command("digest", path)
        self.assertEqual(status, 2)
        self.assertIn("there is no file 'base.idl'", err)
        status, out, _ = self.run_command(
            "digest", path, "--idl-path", str(self.folder / "common")
        )
        self.assertEqual(status, 0)
        self.assertTrue(out.startswith("B  sha256:"))
