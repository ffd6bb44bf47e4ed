"""docs/reliability.md: every fault has a promise and a test that is there."""

from tests.docs.linked_tests import linked_tests, missing
from tests.support.prefect_server import PROJECT_ROOT

TEXT = (PROJECT_ROOT / "docs" / "reliability.md").read_text()
ROWS = [line.strip("|").split("|") for line in TEXT.splitlines() if line.startswith("| ")]
FAULTS = [[cell.strip() for cell in row] for row in ROWS if row[0].strip() != "fault"]


def test_each_fault_has_a_promise_and_a_test_that_is_there() -> None:
    assert len(FAULTS) > 60
    for row in FAULTS:
        fault, promise, tests, recovery = row
        assert fault
        assert promise
        assert recovery
        links = linked_tests(tests)
        assert links, f"no test of: {fault}"
        assert [link for link in links if not link[1]] == [], f"a test without its name: {fault}"
        assert missing(links) == [], fault


def test_no_fault_is_listed_twice() -> None:
    faults = [row[0] for row in FAULTS]
    assert sorted(set(faults)) == sorted(faults)
