"""What cannot work is said in one clear line, with exit code 2 or 1; what may still come is waited for."""

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.docker.cluster import wait_until
from tests.docker.engine import attempt, run

pytestmark = pytest.mark.docker


@pytest.fixture
def cleanup() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.mark.parametrize(
    ("variable", "code", "said"),
    [
        ("KVGOSSIP_SEED=n2:7701", 2, "KVGOSSIP_SEED is no setting: did you mean KVGOSSIP_SEEDS?"),
        ("KVGOSSIP_LISTEN=nowhere", 2, "listen: 'nowhere' is no address"),
        ("KVGOSSIP_LISTEN=:7701", 2, "clients and peers never share a port"),
        ("KVGOSSIP_ALLOW_FAULTS=yes", 2, "KVGOSSIP_ALLOW_FAULTS: 'yes' is neither true nor false"),
        ("KVGOSSIP_TUNING_FANOUT=many", 2, "KVGOSSIP_TUNING_FANOUT: 'many' is not a whole number"),
        ("KVGOSSIP_SECRET_FILE=/run/secrets/none", 1, "/run/secrets/none cannot be read"),
        ("KVGOSSIP_PEER_LISTEN=198.51.100.1:7701", 1, "peer-listen 198.51.100.1:7701 cannot be used"),
        ("KVGOSSIP_PEER_LISTEN=no-such-name.invalid:7701", 1, "peer-listen no-such-name.invalid:7701"),
    ],
)
def test_a_wrong_variable_is_one_line(image: str, variable: str, code: int, said: str) -> None:
    ended = attempt("docker", "run", "--rm", "--env", variable, image)
    assert ended.returncode == code, ended
    assert said in _only_line(ended.stderr)


def test_a_volume_that_cannot_be_written_is_named(image: str, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    ended = attempt("docker", "run", "--rm", "--volume", f"{tmp_path}:/data", image)
    assert ended.returncode == 1
    assert "the data directory /data cannot be used: Permission denied" in _only_line(ended.stderr)
    assert not list(tmp_path.iterdir())


def test_a_volume_that_is_read_only_is_named(image: str, tmp_path: Path) -> None:
    os.chown(tmp_path, 10001, 10001)
    ended = attempt("docker", "run", "--rm", "--volume", f"{tmp_path}:/data:ro", image)
    assert ended.returncode == 1
    assert "/data" in _only_line(ended.stderr)


def test_a_port_that_is_taken_is_named(image: str, cleanup: ExitStack) -> None:
    first = _start(image, cleanup)
    wait_until(lambda: _answers(first), "the first node answers")
    for variable, said in (
        ("KVGOSSIP_PEER_LISTEN=:7702", "listen :7700 cannot be used: Address already in use"),
        ("KVGOSSIP_LISTEN=:7703", "peer-listen :7701 cannot be used: Address already in use"),
    ):
        ended = attempt("docker", "run", "--rm", "--network", f"container:{first}", "--env", variable, image)
        assert ended.returncode == 1
        assert said in _only_line(ended.stderr)


def test_a_seed_that_cannot_be_reached_is_waited_for(image: str, cleanup: ExitStack) -> None:
    """The node serves meanwhile, says so once, and finds the seed once its name resolves."""
    network = f"kvgossip-seed-{os.getpid()}"
    run("docker", "network", "create", "--internal", network)
    cleanup.callback(run, "docker", "network", "rm", network)
    early = _start(image, cleanup, "--network", network, "--env", "KVGOSSIP_SEEDS=late:7701")
    wait_until(lambda: _answers(early), "a node without its seed answers")
    wait_until(lambda: "seed-unresolved" in _log(early), "it says that the seed does not resolve")
    late = _start(image, cleanup, "--network", network, "--network-alias", "late")
    wait_until(lambda: len(_members(early)) == 2, "the early node knows the late one")
    wait_until(lambda: len(_members(late)) == 2, "and the late one the early one")
    assert _log(early).count("seed-unresolved") == 1


def _start(image: str, cleanup: ExitStack, *options: str) -> str:
    container = run("docker", "run", "--detach", *options, image).strip()
    cleanup.callback(attempt, "docker", "rm", "--force", "--volumes", container)
    return container


def _answers(container: str) -> bool:
    return attempt("docker", "exec", container, "kvgossip", "status", "-o", "plain").returncode == 0


def _members(container: str) -> list[object]:
    said = attempt("docker", "exec", container, "kvgossip", "members", "-o", "json")
    if said.returncode:
        return []
    members = json.loads(said.stdout)["members"]
    assert isinstance(members, list)
    return members


def _log(container: str) -> str:
    said = attempt("docker", "logs", container)
    return said.stdout + said.stderr


def _only_line(stderr: str) -> str:
    """Of words for people; the log's lines of JSON are beside it."""
    lines = [line for line in stderr.splitlines() if not line.startswith("{")]
    assert len(lines) == 1, stderr
    assert lines[0].startswith("kvgossip: ")
    return lines[0]
