"""A run as a file: it loads nothing, says what happened, and is the same for the same seed."""

import json
import re
from pathlib import Path

import pytest

from kvgossip.cli.main import main
from kvgossip.sim.recording import FROZEN, STRANGE, Recording, record
from kvgossip.sim.run import run_seed
from kvgossip.sim.watch import TEMPLATE, page

SEED = 2
SEED_WITH_JOINS = 4
BYTES_MAX = 2 << 20
LOADS = r"https?:|\b(src|href)\s*=|@import|url\(|fetch\(|import\(|XMLHttpRequest|WebSocket"


@pytest.fixture(scope="module")
def recording() -> Recording:
    return record(SEED)


@pytest.fixture(scope="module")
def text(recording: Recording) -> str:
    return page(recording)


def test_the_file_is_whole_and_loads_nothing(text: str) -> None:
    assert len(text.encode()) < BYTES_MAX
    assert text.rstrip().endswith("</html>")
    assert not re.search(LOADS, text)


def test_the_data_in_it_is_the_recording(text: str, recording: Recording) -> None:
    found = re.search(r'<script id="data" type="application/json">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    data = json.loads(found[1])
    assert data == json.loads(json.dumps(recording.as_dict()))


def test_no_text_in_it_can_end_the_script() -> None:
    text = page(Recording(0, broken="</script><script>alert(1)</script>"))
    assert text.count("</script>") == TEMPLATE.read_text().count("</script>")


def test_to_record_a_run_does_not_change_it(recording: Recording) -> None:
    assert recording.trace == run_seed(SEED).trace


def test_what_is_told_is_in_order_and_within_the_run(recording: Recording) -> None:
    assert len(recording.frames) % 5 == 0
    since, sources, targets, kinds, delays = (recording.frames[i::5] for i in range(5))
    assert min(since) >= 0
    assert sum(since) <= recording.duration
    nodes = range(len(recording.nodes))
    assert {*sources, *targets} <= {*nodes}
    assert all(source != target for source, target in zip(sources, targets, strict=True))
    assert {*kinds} == {*range(len(recording.kinds))}
    assert min(delays) == -1, "the partitions of this seed drop something"
    for told in (recording.states, recording.roots, recording.cuts, recording.residue, recording.events):
        times = [item[0] for item in told]
        assert times == sorted(times)
        assert times
        assert times[-1] <= recording.duration
    assert all(0 <= state <= FROZEN for _, _, state in recording.states)


def test_nodes_that_join_and_frames_of_a_later_version_are_in_it() -> None:
    recording = record(SEED_WITH_JOINS)
    assert recording.broken == ""
    assert {"join", "strange-version"} <= {kind for kind, _, _ in recording.faults}
    assert STRANGE in recording.kinds
    assert len({node for _, node, _ in recording.states}) == len(recording.nodes)


def test_it_ends_healed_with_one_root_and_nothing_behind(recording: Recording) -> None:
    assert recording.broken == ""
    assert recording.cuts[-1][1] == []
    roots = {node: root for _, node, root in recording.roots}
    assert len(set(roots.values())) == 1
    assert max(residue for _, residue in recording.residue) > 100
    assert recording.residue[-1][1] == 0
    assert recording.healed <= recording.settled <= recording.duration


def test_a_cut_of_the_network_is_a_partition_of_the_seed(recording: Recording) -> None:
    """Frames are dropped while there is a cut, and partitions are what cuts here."""
    cut = [time for time, links in recording.cuts if links]
    partitions = [(begin, end) for kind, begin, end in recording.faults if kind == "partition"]
    look = 500
    assert all(any(begin <= time <= end + look for begin, end in partitions) for time in cut)


def test_the_command_writes_the_same_bytes_for_the_same_seed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    path = tmp_path / "run.html"
    assert main(["sim", "watch", "--seed", str(SEED), "-o", str(path)]) == 0
    assert path.read_text() == text
    assert " messages, " in capsys.readouterr().out
    assert main(["sim", "watch", "--seed", str(SEED), "-o", str(tmp_path)]) == 1
