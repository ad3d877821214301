"""The documentation is true where a machine can tell: faults name tests that exist, links lead somewhere."""

import ast
import re
from pathlib import Path

import pytest

from kvgossip.sim.fault import Fault
from kvgossip.sim.mutants import MUTANTS
from kvgossip.sim.run import CHECKERS
from tests.docs.fault_rows import FAULTS, TRAPS
from tests.docs.markdown import ROOT, anchors, links, read, rows, section

FAULTS_PAGE = read("docs/FAULTS.md")
PAGES = ["README.md", "CHANGELOG.md", *sorted(str(p.relative_to(ROOT)) for p in ROOT.glob("docs/**/*.md"))]
DECISIONS = sorted((ROOT / "docs/adr").glob("*.md"))
NAMED_TESTS = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", FAULTS_PAGE)))


def covers(row: list[str]) -> bool:
    """True if the last cell of a row names a test or what the seeds draw, or owns up."""
    return any(sign in row[-1] for sign in ("::test_", "seeds (`", "not yet"))


# -- docs/FAULTS.md ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_names_a_test_or_says_not_yet(fault: str) -> None:
    found = [row for row in rows(section(FAULTS_PAGE, "The fault matrix")) if row[0] == fault]
    assert len(found) == 1, f"{fault!r} has {len(found)} rows"
    assert covers(found[0]), found[0]


@pytest.mark.parametrize(("topic", "trap"), [(topic, trap) for topic in TRAPS for trap in TRAPS[topic]])
def test_every_trap_names_a_test_or_says_not_yet(topic: str, trap: str) -> None:
    found = [row for row in rows(section(FAULTS_PAGE, topic)) if row[0] == trap]
    assert len(found) == 1, f"{topic}: {trap!r} has {len(found)} rows"
    assert covers(found[0]), found[0]


def test_no_row_is_unknown() -> None:
    known = {*FAULTS, *(trap for traps in TRAPS.values() for trap in traps)}
    assert {row[0] for row in rows(FAULTS_PAGE)} <= known


def test_every_kind_of_fault_of_the_simulator_is_named_and_no_other() -> None:
    named = {
        name
        for drawn in re.findall(r"seeds \(([^)]*)\)", FAULTS_PAGE)
        for name in re.findall(r"`(.+?)`", drawn)
    }
    checkers = {checker.__name__ for checker in CHECKERS}
    assert named - checkers == {fault.value for fault in Fault}


def test_every_mutant_that_is_named_exists() -> None:
    listed = re.findall(r"mutants? ((?:`[\w-]+`(?:, )?)+)", FAULTS_PAGE)
    named = {name for names in listed for name in re.findall(r"`(.+?)`", names)}
    assert len(named) > 5
    assert named <= {mutant.name for mutant in MUTANTS}


@pytest.mark.parametrize(("file", "name"), NAMED_TESTS)
def test_every_named_test_exists_and_runs(file: str, name: str) -> None:
    assert Path(file).name.startswith("test_"), f"pytest does not collect {file}"
    module = ast.parse(read(file))
    found = [
        node
        for node in ast.walk(module)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name
    ]
    assert found, f"{file} has no test {name}"
    assert not never_runs(found[0]), f"{file}::{name} is skipped or expected to fail"
    assert not any(is_unconditional(mark) for mark in marks_of(module)), f"{file} is skipped as a whole"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("@pytest.mark.skip\ndef test(): ...", True),
        ("@pytest.mark.skip(reason='later')\ndef test(): ...", True),
        ("@pytest.mark.xfail(reason='later')\ndef test(): ...", True),
        ("def test():\n    pytest.skip('later')", True),
        ("@pytest.mark.skipif(sys.platform == 'win32', reason='')\ndef test(): ...", False),
        ("@pytest.mark.xfail(sys.platform == 'win32', reason='')\ndef test(): ...", False),
        ("@pytest.mark.parametrize('a', [1])\ndef test(a): ...", False),
    ],
)
def test_a_test_that_never_runs_is_noticed(source: str, expected: bool) -> None:
    function = ast.parse(source).body[0]
    assert isinstance(function, ast.FunctionDef)
    assert never_runs(function) is expected


def never_runs(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    if any(is_unconditional(decorator) for decorator in function.decorator_list):
        return True
    return any(isinstance(step, ast.Expr) and is_call_of_skip(step.value) for step in function.body)


def is_call_of_skip(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) in ("pytest.skip", "pytest.xfail")


def is_unconditional(mark: ast.expr) -> bool:
    """True for ``skip``, and for ``xfail`` without a condition; of a list of marks, if one of them is."""
    if isinstance(mark, ast.List | ast.Tuple):
        return any(is_unconditional(item) for item in mark.elts)
    name = ast.unparse(mark.func if isinstance(mark, ast.Call) else mark)
    has_condition = isinstance(mark, ast.Call) and (
        mark.args or any(keyword.arg == "condition" for keyword in mark.keywords)
    )
    return name == "pytest.mark.skip" or (name == "pytest.mark.xfail" and not has_condition)


def marks_of(module: ast.Module) -> list[ast.expr]:
    """What a file assigns to ``pytestmark``."""
    return [
        node.value
        for node in module.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark"
    ]


# -- decisions and links -----------------------------------------------------------------------------------


def test_decisions_are_numbered_without_a_gap() -> None:
    numbers = [int(path.name[:4]) for path in DECISIONS]
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("path", DECISIONS, ids=lambda path: path.stem[:4])
def test_a_decision_has_context_decision_consequences_and_alternatives(path: Path) -> None:
    page = path.read_text()
    assert page.startswith(f"# {path.name[:4]}. ")
    headings = re.findall(r"^## (.+)$", page, re.MULTILINE)
    wanted = ["Context", "Decision", "Consequences", "Alternatives"]
    assert [heading for heading in headings if heading in wanted] == wanted


@pytest.mark.parametrize("name", PAGES)
def test_every_link_within_the_project_leads_somewhere(name: str) -> None:
    folder = (ROOT / name).parent
    for link in links(read(name)):
        if "://" in link:
            continue
        target, _, fragment = link.partition("#")
        path = folder / target if target else ROOT / name
        assert path.exists(), f"{name}: {link}"
        if fragment:
            assert fragment in anchors(path.read_text()), f"{name}: {link}"
