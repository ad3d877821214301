"""``-o``: tables for people, JSON for programs, plain lines; and a terminal that stays safe."""

import io
import json
from collections.abc import Callable

import pytest

from kvgossip.cli.exit_code import ExitCode
from kvgossip.cli.main import main
from kvgossip.cli.output import escape, print_rows, write_value
from tests.api.served import Served

Captured = pytest.CaptureFixture[bytes]
Shown = Callable[..., str]


@pytest.fixture
def shown(served: Served, capfdbinary: Captured) -> Shown:
    def run(*argv: str) -> str:
        capfdbinary.readouterr()
        main([*argv, "--url", f"http://127.0.0.1:{served.port}"])
        return capfdbinary.readouterr().out.decode()

    return run


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_members_status_and_check_speak_json(shown: Shown) -> None:
    assert json.loads(shown("members", "-o", "json"))["members"][0]["name"] == "n1"
    assert json.loads(shown("status", "-o", "json"))["is_ready"] is True
    assert json.loads(shown("check", "-o", "json"))["converged"] is True


def test_plain_lines_have_tabs_and_no_header(shown: Shown) -> None:
    (member,) = shown("members", "-o", "plain").splitlines()
    assert member.split("\t")[:3] == ["n1", "alive", "itself"]
    assert "entries\t" in shown("status", "-o", "plain")
    (member,) = shown("check", "-o", "plain").splitlines()
    assert member.split("\t")[:2] == ["n1", "alive"]


def test_get_speaks_json_of_text_and_of_bytes(shown: Shown, served: Served) -> None:
    served.put("/v1/kv/out/text", "ü".encode(), Content_Type="text/plain")
    served.put("/v1/kv/out/bytes", b"\xff")
    document = json.loads(shown("get", "out/text", "-o", "json"))
    assert (document["key"], document["value"], document["type"]) == ("out/text", "ü", "text/plain")
    assert document["etag"]
    assert json.loads(shown("get", "out/bytes", "-o", "json"))["value_base64"] == "/w=="


def test_get_of_siblings_speaks_json_and_a_table(shown: Shown, served: Served) -> None:
    for body in (b"1", b"2"):
        served.put("/v1/mv/out/mv", body)
    document = json.loads(shown("get", "--mv", "out/mv", "-o", "json"))
    assert [sibling["value"] for sibling in document["siblings"]] == ["1", "2"]
    assert document["context"]
    header, *rows = shown("get", "--mv", "out/mv", "-o", "table").splitlines()
    assert header.split() == ["DOT", "TYPE", "BYTES", "VALUE"]
    assert len(rows) == 2


def test_an_mv_key_with_one_value_has_the_same_json(shown: Shown, served: Served) -> None:
    served.put("/v1/mv/out/one", b"1")
    (sibling,) = json.loads(shown("get", "--mv", "out/one", "-o", "json"))["siblings"]
    assert sibling["value"] == "1"


def test_a_terminal_is_not_steered_by_a_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", terminal := Terminal())
    write_value(b"a\n\x1b[2J\xff\n")
    assert terminal.getvalue() == "a\n\\x1b[2J\\xff\n"


def test_a_table_on_a_terminal_takes_names_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", terminal := Terminal())
    print_rows("table", ("NODE",), [("[bold]n1\x07",)])
    assert "[bold]n1\\x07" in terminal.getvalue()


@pytest.mark.parametrize(
    ("text", "shown"),
    [("a\\b ü", "a\\b ü"), ("a\nb", "a\\nb"), ("\x1b\\", "\\x1b\\\\"), ("\udcff", "\\xff")],
)
def test_what_is_not_printable_is_escaped(text: str, shown: str) -> None:
    assert escape(text) == shown


def test_an_unknown_output_is_a_usage_error() -> None:
    with pytest.raises(SystemExit) as end:
        main(["members", "-o", "xml"])
    assert end.value.code == ExitCode.USAGE
