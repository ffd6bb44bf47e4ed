"""Tests to which a document links: `[words](../tests/path.py "name_of_the_test")`."""

import re

from tests.support.prefect_server import PROJECT_ROOT


def linked_tests(text: str) -> list[tuple[str, str]]:
    """Each link to a test's file and, unless empty, to a function in it."""
    return re.findall(r"\]\(\.\./(tests/[^ )]+)(?: \"(\w+)\")?\)", text)


def missing(links: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The links that lead to no file, or to no function in it. Raises OSError for a file that is not there."""
    return [link for link in links if link[1] and f"def {link[1]}(" not in (PROJECT_ROOT / link[0]).read_text()]
