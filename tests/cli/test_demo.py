"""``kvgossip demo``: the whole story on real files; and that it leaves nothing behind, however it ends."""

import asyncio
import os
import signal
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace

import pytest

from kvgossip.cli.demo.client import Answer, NodeClient, new_session
from kvgossip.cli.demo.corpus import find_corpus
from kvgossip.cli.demo.ledger import Ledger
from kvgossip.cli.demo.proof import Proof, compare_all
from tests.api.served import Served
from tests.cli.processes import TIMEOUT_S, command, end, read_until

STORY_TIMEOUT_S = 90


def nodes_in(directory: Path) -> list[int]:
    """Processes whose command line names ``directory``."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if os.fsencode(directory) in path.read_bytes() and b"serve" in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def check_nothing_is_left(directory: Path) -> None:
    assert list(directory.iterdir()) == []
    assert nodes_in(directory) == []


def test_the_story_ends_with_proof_and_leaves_nothing(tmp_path: Path) -> None:
    with command("demo", env={"TMPDIR": str(tmp_path)}) as process:
        out, err = process.communicate(timeout=STORY_TIMEOUT_S)
    assert (process.returncode, err) == (0, "")
    for text in (
        "loading the standard library",
        "cut: n1 n2 n3 | n4 n5",
        "healed",
        "converged",
        "had 2 siblings",
    ):
        assert text in out
    last = out.splitlines()[-1]
    assert "proved: " in last
    assert last.endswith("the SHA-256 is that of the file on disk or of the last write")
    check_nothing_is_left(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", ["starting", "loading"])
def test_an_interrupted_demo_leaves_nothing(tmp_path: Path, number: signal.Signals, moment: str) -> None:
    with command("demo", env={"TMPDIR": str(tmp_path)}) as process:
        read_until(process, moment)
        assert end(process, number) == 130
    check_nothing_is_left(tmp_path)


def test_a_node_that_dies_is_named(tmp_path: Path) -> None:
    with command("demo", env={"TMPDIR": str(tmp_path)}) as process:
        read_until(process, "loading")
        os.kill(nodes_in(tmp_path)[0], signal.SIGKILL)
        _, err = process.communicate(timeout=STORY_TIMEOUT_S)
    assert process.returncode == 1
    assert " died with exit code -9" in err.splitlines()[0]
    check_nothing_is_left(tmp_path)


def test_a_kept_cluster_runs_on_and_says_how_to_use_and_stop_it(tmp_path: Path) -> None:
    with command("demo", "--keep", env={"TMPDIR": str(tmp_path)}) as process:
        out, _ = process.communicate(timeout=STORY_TIMEOUT_S)
    nodes = nodes_in(tmp_path)
    try:
        assert (process.returncode, len(nodes)) == (0, 5)
        assert "  curl http://127.0.0.1:" in out
        assert sorted(map(int, out.splitlines()[-1].partition(";")[0].split()[1:])) == sorted(nodes)
    finally:
        for pid in nodes:
            os.kill(pid, signal.SIGKILL)


def test_the_corpus_is_the_standard_library_without_what_was_installed() -> None:
    files, left_out = find_corpus()
    assert len(files) > 500
    assert "json/decoder.py" in files
    assert not any("site-packages" in key for key in files)
    assert not set(files.values()) & set(left_out)


def answer(milliseconds: int, replica: str) -> Answer:
    return Answer(204, {"Kv-Stamp": f"{milliseconds}.0", "Kv-Dot": f"{replica}-1"}, b"")


def test_of_two_writes_the_later_stamp_then_the_greater_replica_is_expected() -> None:
    ledger = Ledger({})
    ledger.record("a", "n1", answer(10, "0f"), b"later")
    ledger.record("a", "n2", answer(9, "ff"), None)
    ledger.record("b", "n1", answer(10, "0f"), b"lesser")
    ledger.record("b", "n2", answer(10, "ff"), None)
    assert ledger.expected("a").digest == sha256(b"later").hexdigest()
    assert ledger.expected("b").digest is None


def test_every_kind_of_difference_is_named(served: Served, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"on disk")
    for key, body in {"same": b"on disk", "other": b"another", "back": b"resurrected"}.items():
        served.put(f"/v1/kv/{key}", body)
    ledger = Ledger({"same": file, "other": file, "lost": file})
    ledger.record("back", "n1", answer(1, "01"), None)
    ledger.record("gone", "n1", answer(1, "01"), None)

    async def compare() -> Proof:
        async with new_session() as session:
            node = SimpleNamespace(name="n1", url=f"http://127.0.0.1:{served.port}")
            return await compare_all([NodeClient(session, node)], ledger)  # type: ignore[arg-type]

    proof = asyncio.run(asyncio.wait_for(compare(), TIMEOUT_S))
    assert (proof.read_count, proof.deleted_count) == (5, 1)
    back, lost, other = proof.differences
    assert back == "n1: back: a value of 11 bytes, but the delete through n1 removed it"
    assert lost == f"n1: lost: status 404, but the file {file} makes it 200"
    assert other.startswith(
        f"n1: other: SHA-256 {sha256(b'another').hexdigest()}, but that of the file {file} is"
    )
