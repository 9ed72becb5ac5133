"""
Packaging that C{pyproject.toml} cannot express on its own.

The metadata is in C{pyproject.toml}; what is here is the layout, because this
distribution puts one module inside someone else's package.
"""

from setuptools import find_packages, setup

setup(
    # ``twistd`` finds plugins by looking for a ``twisted/plugins`` directory on
    # each entry of ``sys.path``.  Saying where the root package lives (it is
    # here) makes an editable install add this directory to ``sys.path``;
    # unsaid, setuptools uses an import hook, which plugin discovery cannot see:
    # the plugin imports, but ``twistd --help`` does not list it.
    package_dir={"": "."},
    # ``twisted`` and ``twisted/plugins`` have no ``__init__.py`` here, and must
    # not: they would hide Twisted's.  ``find_packages`` therefore skips them,
    # and the plugin directory is named by hand.
    packages=[
        *find_packages(include=["twisted_rpc", "twisted_rpc.*"]),
        "twisted.plugins",
    ],
    package_data={
        "twisted_rpc": ["py.typed"],
        "twisted_rpc.delivery.redis": ["steps.lua"],
    },
    include_package_data=False,
    zip_safe=False,
)
