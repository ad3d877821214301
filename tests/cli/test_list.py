"""``kvgossip list``: every key once and in order, however many pages it takes."""

import json
from collections.abc import Callable, Iterator

import pytest

from kvgossip.cli import list_keys
from kvgossip.cli.exit_code import ExitCode
from kvgossip.cli.main import main
from tests.api.served import Served, memory_node, serving

KEYS = ["a/1", "a/2", "a/b/1", "b", "b+ &=%\n", "c/ü"]

Listed = Callable[..., str]


@pytest.fixture(scope="module")
def filled() -> Iterator[Served]:
    with serving(memory_node()) as served:
        for key in KEYS:
            assert (
                main(["put", key, "--value", "x", "--url", f"http://127.0.0.1:{served.port}"]) == ExitCode.OK
            )
        served.put("/v1/mv/causal", b"1")
        yield served


@pytest.fixture
def listed(filled: Served, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Listed:
    monkeypatch.setattr(list_keys, "PAGE_MAX", 2)

    def run(*argv: str) -> str:
        capfd.readouterr()
        assert main(["list", *argv, "--url", f"http://127.0.0.1:{filled.port}"]) == ExitCode.OK
        return capfd.readouterr().out

    return run


def test_every_key_is_listed_once_and_in_order_over_many_pages(listed: Listed) -> None:
    assert json.loads(listed("-o", "json"))[0].keys() >= {"key", "etag", "size", "type"}
    assert [item["key"] for item in json.loads(listed("-o", "json"))] == KEYS


def test_plain_lines_are_keys_and_a_line_is_one_key(listed: Listed) -> None:
    assert listed().splitlines() == [*KEYS[:4], "b+ &=%\\n", "c/ü"]


@pytest.mark.parametrize(
    ("argv", "keys"),
    [
        (["a/"], ["a/1", "a/2", "a/b/1"]),
        (["b+ &=%"], ["b+ &=%\n"]),
        (["--start", "a/2", "--end", "b"], ["a/2", "a/b/1"]),
        (["--limit", "3"], KEYS[:3]),
        (["--reverse", "--limit", "3"], KEYS[:-4:-1]),
        (["nothing"], []),
        (["--mv"], ["causal"]),
    ],
)
def test_a_listing_can_be_narrowed(listed: Listed, argv: list[str], keys: list[str]) -> None:
    assert [item["key"] for item in json.loads(listed("-o", "json", *argv))] == keys


def test_a_separator_shows_one_level(listed: Listed) -> None:
    assert listed("--separator", "/").splitlines() == ["a/", "b", "b+ &=%\\n", "c/"]
    assert json.loads(listed("a/", "--separator", "/", "-o", "json")) == ["a/1", "a/2", "a/b/"]


def test_a_table_has_sizes_types_and_versions(listed: Listed) -> None:
    header, row, *_ = listed("-o", "table").splitlines()
    assert header.split() == ["BYTES", "TYPE", "ETAG", "KEY"]
    size, _, _, etag, key = row.split()
    assert (size, key) == ("1", "a/1")
    assert etag.startswith('"')


@pytest.mark.parametrize("limit", ["0", "-1", "x", "²"])
def test_a_limit_is_a_number_above_0(limit: str) -> None:
    with pytest.raises(SystemExit) as end:
        main(["list", "--limit", limit])
    assert end.value.code == ExitCode.USAGE
