"""A disk that fills up under a node, and directories that cannot be used."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import create_server

import pytest
from rocksdict import Rdict

from kvgossip.cli.local_cluster import NodeProcess
from kvgossip.store.rocks_open import RESERVE_BYTES, free_bytes
from tests.cli.processes import TIMEOUT_S, command
from tests.faults.calls import call, check_kept, put, status, until
from tests.faults.conftest import MakeCluster, cannot_run, need

pytestmark = pytest.mark.faults

DISK_BYTES = RESERVE_BYTES + (48 << 20)
ANYWHERE = ("--listen", "127.0.0.1:0", "--peer-listen", "127.0.0.1:0")


@contextmanager
def small_disk(path: Path) -> Iterator[Path]:
    """A disk of ``DISK_BYTES`` mounted at ``path``."""
    need("mount", "umount", root=True)
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(path)]
    mounted = subprocess.run(command, capture_output=True, text=True)
    if mounted.returncode != 0:
        cannot_run(f"no small disk can be mounted: {mounted.stderr.strip()}")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


def test_a_full_disk_refuses_writes_with_507_and_recovers_when_space_returns(
    make_cluster: MakeCluster, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk") as disk:
        node = make_cluster(1).nodes[0]
        on_disk(node, disk / "data")
        node.start()
        node.wait_ready()
        acknowledged = {f"before{n}": f"v{n}" for n in range(20)}
        for key, value in acknowledged.items():
            assert put(node, key, value).status == 201
        filler = disk / "filler"
        fill(filler, free_bytes(disk) - RESERVE_BYTES // 2)
        for n in range(20):
            refused = put(node, f"full{n}", "v")
            assert (refused.status, refused.problem) == (507, "disk-full")
        check_kept(node, acknowledged)  # reads go on
        assert status(node)["entries"] == len(acknowledged)
        filler.unlink()
        until(lambda: put(node, "after", "v").status == 201, "writes go on once there is space", 5.0)
        acknowledged["after"] = "v"

        # To the last byte, over a restart.
        fill(filler, free_bytes(disk))
        assert put(node, "full", "v").status == 507
        node.kill()
        node.start()
        node.wait_ready()
        check_kept(node, acknowledged)  # reads go on
        refused = put(node, "full", "v")
        assert (refused.status, refused.problem) == (507, "disk-full")
        ready = call(node, "GET", "/readyz")
        assert (ready.status, b"the disk is full" in ready.body) == (200, True)
        assert "does not talk to its peers" in status(node)["read_only_because"]
        filler.unlink()
        until(lambda: put(node, "full", "v").status in (201, 204), "writes go on after the restart", 10.0)
        assert call(node, "GET", "/readyz").body == b"ok\n"
        assert status(node)["read_only_because"] is None
        check_kept(node, acknowledged)
        assert node.stop() == 0


def on_disk(node: NodeProcess, data_dir: Path) -> None:
    node.command[node.command.index(str(node.data_dir))] = str(data_dir)
    node.data_dir = data_dir


def fill(path: Path, size: int) -> None:
    with path.open("wb") as file:
        try:
            for _ in range(size // (1 << 16) + 1):
                file.write(b"\0" * min(1 << 16, size))
        except OSError:  # to the last byte
            pass


@pytest.mark.parametrize("kind", ["unwritable", "foreign files", "foreign database", "locked", "taken port"])
def test_what_cannot_be_used_is_one_clear_line_and_exit_code_1(
    make_cluster: MakeCluster, tmp_path: Path, kind: str
) -> None:
    flags, data_dir = ANYWHERE, tmp_path / "data"
    data_dir.mkdir()
    if kind == "unwritable":
        with small_disk(tmp_path / "disk") as disk:
            subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
            check_refused(disk / "data", flags, named=str(disk))
            check_refused(disk, flags, named=str(disk))
    elif kind == "foreign files":
        (data_dir / "thesis.tex").write_text("mine")
        check_refused(data_dir, flags, named=str(data_dir))
        assert [path.name for path in data_dir.iterdir()] == ["thesis.tex"]
    elif kind == "foreign database":
        database = Rdict(str(data_dir))
        database["mine"] = 1
        database.close()
        before = sorted(path.name for path in data_dir.iterdir())
        check_refused(data_dir, flags, named=str(data_dir))
        assert before == sorted(path.name for path in data_dir.iterdir() if path.name in before)
    elif kind == "locked":
        node = make_cluster(1).nodes[0]
        node.start()
        node.wait_ready()
        check_refused(node.data_dir, flags, named=str(node.data_dir))
        assert put(node, "k", "v").status == 201  # the first one serves on
    else:
        with create_server(("127.0.0.1", 0)) as taken:
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            check_refused(data_dir, ("--listen", address, "--peer-listen", "127.0.0.1:0"), named=address)
            check_refused(data_dir, ("--listen", "127.0.0.1:0", "--peer-listen", address), named=address)


def check_refused(data_dir: Path, flags: tuple[str, ...], *, named: str) -> None:
    """The start fails with one line of words, which name what cannot be used."""
    with command("serve", *flags, "--data-dir", data_dir) as process:
        out, err = process.communicate(timeout=TIMEOUT_S)
    print(err, file=sys.stderr)
    assert process.returncode == 1
    assert out == ""
    assert "Traceback" not in err
    spoken = [line for line in err.splitlines() if line.startswith("kvgossip: ")]
    assert len(spoken) == 1
    assert named in spoken[0]
    assert err.splitlines()[-1] == spoken[0]
