"""One-shot commands: what they print and how they end."""

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from kvgossip.cli.exit_code import ExitCode
from kvgossip.cli.main import main
from kvgossip.config import KEY_BYTES_MAX, VALUE_BYTES_MAX
from tests.api.served import Served

Captured = pytest.CaptureFixture[bytes]
Run = Callable[..., int]


@pytest.fixture
def run(served: Served, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("KVGOSSIP_URL", f"http://127.0.0.1:{served.port}")
    return lambda *argv: main([str(argument) for argument in argv])


def test_what_was_put_is_got(run: Run, capfdbinary: Captured, tmp_path: Path) -> None:
    file = tmp_path / "a.html"
    file.write_bytes(b"\x00\xff\n")
    assert run("put", "cli/file", file) == ExitCode.OK
    assert run("get", "cli/file") == ExitCode.OK
    out, err = capfdbinary.readouterr()
    assert (out, err) == (b"\x00\xff\n", b"")


def test_the_name_of_a_file_tells_its_type(run: Run, served: Served, tmp_path: Path) -> None:
    file = tmp_path / "a.html"
    file.write_text("x")
    run("put", "cli/type", file)
    assert served.get("/v1/kv/cli/type").headers["content-type"] == "text/html"


def test_a_value_can_be_an_argument_or_stdin(
    run: Run, capfdbinary: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("put", "cli/value", "--value", "as argument")
    run("get", "cli/value")
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"as stdin")))
    run("put", "cli/value")
    run("get", "cli/value")
    assert capfdbinary.readouterr().out == b"as argumentas stdin"


def test_keys_are_bytes(run: Run, served: Served) -> None:
    run("put", "cli/ ü?#%/../x", "--value", "x")
    assert served.get("/v1/kv/cli/%20%C3%BC%3F%23%25/../x").body == b"x"


def test_an_unknown_key_ends_with_3(run: Run, capfdbinary: Captured) -> None:
    assert run("get", "cli/unknown") == ExitCode.NOT_FOUND
    out, err = capfdbinary.readouterr()
    assert out == b""
    assert err.startswith(b"kvgossip: The key has no value")


def test_a_deleted_key_ends_with_3(run: Run) -> None:
    run("put", "cli/deleted", "--value", "x")
    assert run("delete", "cli/deleted") == ExitCode.OK
    assert run("get", "cli/deleted") == ExitCode.NOT_FOUND


def test_nobody_there_ends_with_4(run: Run, capfdbinary: Captured) -> None:
    assert run("get", "x", "--url", "http://127.0.0.1:1") == ExitCode.UNREACHABLE
    assert b"http://127.0.0.1:1: " in capfdbinary.readouterr().err


@pytest.mark.parametrize(
    "url", ["127.0.0.1:7700", "https://a", "http://", "http://a:b", "http://a/path", "http://a:99999"]
)
def test_a_bad_url_ends_with_2(run: Run, url: str) -> None:
    assert run("get", "x", "--url", url) == ExitCode.USAGE


@pytest.mark.parametrize(
    "argv", [[], ["got"], ["get"], ["put", "k", "f", "--value", "v"], ["get", "--context", "x", "k"]]
)
def test_wrong_arguments_end_with_2(run: Run, argv: list[str]) -> None:
    with pytest.raises(SystemExit) as end:
        run(*argv)
    assert end.value.code == ExitCode.USAGE


def test_a_context_without_mv_ends_with_2(run: Run) -> None:
    for command in (["put", "k", "--value", "v"], ["delete", "k"]):
        with pytest.raises(SystemExit) as end:
            run(*command, "--context", "x")
        assert end.value.code == ExitCode.USAGE


def test_siblings_end_with_6_and_a_context_resolves_them(run: Run, capfdbinary: Captured) -> None:
    for value in ("1", "2"):
        run("put", "--mv", "cli/mv", "--value", value)
    capfdbinary.readouterr()
    assert run("get", "--mv", "cli/mv") == ExitCode.CONFLICT
    out, err = capfdbinary.readouterr()
    first, value, second, other = out.decode().splitlines()
    assert first.startswith("--- 1 of 2: text/plain; charset=utf-8, 1 bytes, dot ")
    assert second.startswith("--- 2 of 2: ")
    assert {value, other} == {"1", "2"}
    context = err.decode().removeprefix("context: ").strip()
    assert run("put", "--mv", "cli/mv", "--value", "3", "--context", context) == ExitCode.OK
    context = capfdbinary.readouterr().out.decode().strip()
    assert run("get", "--mv", "cli/mv") == ExitCode.OK
    assert capfdbinary.readouterr().out == b"3"
    assert run("delete", "--mv", "cli/mv", "--context", context) == ExitCode.OK
    assert run("get", "--mv", "cli/mv") == ExitCode.NOT_FOUND


@pytest.mark.parametrize("source", ["argument", "file", "stdin"])
def test_resolve_writes_with_the_context_of_what_was_read(
    run: Run, capfdbinary: Captured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    key = f"cli/resolve/{source}"
    for value in ("milk", "eggs"):
        run("put", "--mv", key, "--value", value)
    (tmp_path / "both.txt").write_text("both")
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"both")))
    text = {"argument": "both", "file": f"@{tmp_path}/both.txt", "stdin": "-"}[source]
    capfdbinary.readouterr()
    assert run("get", "--mv", key, "--resolve", text) == ExitCode.OK
    out, _ = capfdbinary.readouterr()
    assert b"milk\n" in out
    assert b"eggs\n" in out
    assert run("get", "--mv", key) == ExitCode.OK
    assert capfdbinary.readouterr().out == b"both"


def test_resolve_ends_with_6_if_others_wrote_meanwhile(
    run: Run, served: Served, monkeypatch: pytest.MonkeyPatch, capfdbinary: Captured
) -> None:
    run("put", "--mv", "cli/race", "--value", "a")

    class Stdin(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            served.put("/v1/mv/cli/race", b"b")
            return super().read(size)

    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=Stdin(b"c")))
    assert run("get", "--mv", "cli/race", "--resolve", "-") == ExitCode.CONFLICT
    assert b"others wrote at the same time" in capfdbinary.readouterr().err


def test_resolve_brings_back_a_deleted_key_and_needs_mv(run: Run) -> None:
    run("put", "--mv", "cli/again", "--value", "x")
    run("delete", "--mv", "cli/again")
    assert run("get", "--mv", "cli/again", "--resolve", "y") == ExitCode.OK
    with pytest.raises(SystemExit) as end:
        run("get", "cli/again", "--resolve", "y")
    assert end.value.code == ExitCode.USAGE


def test_a_forged_context_is_a_failure(run: Run, capfdbinary: Captured) -> None:
    assert run("put", "--mv", "cli/forged", "--value", "x", "--context", "AAAA") == ExitCode.FAILURE
    assert b"causal context" in capfdbinary.readouterr().err


def test_too_large_a_value_names_the_limit(run: Run, capfdbinary: Captured, tmp_path: Path) -> None:
    file = tmp_path / "large"
    file.write_bytes(b"x" * (VALUE_BYTES_MAX + 1))
    assert run("put", "cli/large", file) == ExitCode.FAILURE
    assert str(VALUE_BYTES_MAX).encode() in capfdbinary.readouterr().err
    assert run("get", "cli/large") == ExitCode.NOT_FOUND


def test_a_missing_file_is_a_failure(run: Run, capfdbinary: Captured) -> None:
    assert run("put", "cli/missing", "/nowhere") == ExitCode.FAILURE
    assert b"/nowhere: No such file" in capfdbinary.readouterr().err


def test_load_puts_every_file_below_a_directory(
    run: Run, served: Served, capfdbinary: Captured, tmp_path: Path
) -> None:
    contents = {"a.py": b"a", "b/c.txt": b"c", "b/d/e": b"", "b/d/ü ?": b"u"}
    for name, content in contents.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    assert run("load", tmp_path, "loaded") == ExitCode.OK
    assert capfdbinary.readouterr().out.startswith(b"loaded 4 files, 3 bytes")
    for name, content in contents.items():
        assert run("get", f"loaded/{name}") == ExitCode.OK
        assert capfdbinary.readouterr().out == content
    assert served.get("/v1/kv/loaded/b/c.txt").headers["content-type"] == "text/plain"


def test_load_names_and_skips_what_exceeds_a_limit(run: Run, capfdbinary: Captured, tmp_path: Path) -> None:
    (tmp_path / "fits").write_bytes(b"x" * VALUE_BYTES_MAX)
    (tmp_path / "large").write_bytes(b"x" * (VALUE_BYTES_MAX + 1))
    deep = tmp_path.joinpath(*["d" * 200] * 6)
    deep.mkdir(parents=True)
    (deep / "deep").write_bytes(b"x")
    (tmp_path / "gone").symlink_to("nowhere")
    (tmp_path / "not-utf8-\udcff").write_bytes(b"x")
    assert len(bytes(deep / "deep")) > KEY_BYTES_MAX
    assert run("load", tmp_path, "") == ExitCode.FAILURE
    out, err = capfdbinary.readouterr()
    assert out.startswith(b"loaded 1 files, ")
    assert out.endswith(b"skipped 4\n")
    for line in (
        b"large: it has more than 1,048,576 bytes",
        b"/deep: The key is not allowed",
        b"gone: ",
        b"not-utf8-",
    ):
        assert line in err
    assert run("get", "fits") == ExitCode.OK
    assert run("get", "large") == ExitCode.NOT_FOUND


def test_load_ends_when_nobody_answers(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    assert run("load", tmp_path, "p", "--url", "http://127.0.0.1:1") == ExitCode.UNREACHABLE


def test_load_of_no_directory_is_a_failure(run: Run, capfdbinary: Captured) -> None:
    assert run("load", "/nowhere", "p") == ExitCode.FAILURE
    assert b"/nowhere is no directory" in capfdbinary.readouterr().err


def test_members_status_and_check_speak_of_the_node(run: Run, capfdbinary: Captured) -> None:
    assert run("members") == ExitCode.OK
    lines = capfdbinary.readouterr().out.decode().splitlines()
    assert lines[0].split()[:2] == ["NODE", "STATE"]
    assert lines[1].split()[:3] == ["n1", "alive", "itself"]
    assert run("status") == ExitCode.OK
    out = capfdbinary.readouterr().out.decode()
    for name in ("node:", "root:", "entries:", "clock ", "generation:"):
        assert name in out
    assert run("check") == ExitCode.OK
    assert capfdbinary.readouterr().out.decode().splitlines()[-1] == "converged: all 1 members hold the same"


MODULES_MAX = 180
"""A bare interpreter has some 60; each more costs a fraction of a millisecond."""


@pytest.mark.parametrize("argv", [("get", "x"), ("put", "x", "--value", "v"), ("delete", "x"), ("list",)])
def test_a_one_shot_command_imports_nothing_heavy(argv: tuple[str, ...]) -> None:
    script = (
        "import sys; from kvgossip.cli.main import main; code = main(sys.argv[1:]);"
        " print(*sys.modules); sys.exit(code)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, *argv, "--url", "http://127.0.0.1:1"], capture_output=True
    )
    assert ended.returncode == ExitCode.UNREACHABLE
    modules = ended.stdout.decode().split()
    heavy = {
        "aiohttp",
        "asyncio",
        "rich",
        "rocksdict",
        "uvloop",
        "msgpack",
        "prometheus_client",
        "kvgossip.config",
        "kvgossip.runtime",
        "kvgossip.node",
    }
    assert not heavy & set(modules)
    assert len(modules) < MODULES_MAX
