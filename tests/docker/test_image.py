"""The image: small, without rights, read-only, and orderly when it ends."""

import time
from collections.abc import Callable, Iterator

import pytest

from tests.docker.cluster import wait_until
from tests.docker.engine import attempt, base_image, image_bytes, inspect, memory_mib, run

pytestmark = pytest.mark.docker

ABOVE_BASE_BYTES_MAX = 70e6
IDLE_MIB_MAX = 70.0
STOP_S_MAX = 10.0
HEALTH_S_MAX = 1.5
HARDENED = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges:true")

Start = Callable[..., str]


@pytest.fixture
def start(image: str) -> Iterator[Start]:
    """Start a container of the image; it is removed at the end, and its volume too."""
    started: list[str] = []

    def start_one(*options: str) -> str:
        started.append(run("docker", "run", "--detach", *HARDENED, *options, image).strip())
        return started[-1]

    yield start_one
    for container in started:
        attempt("docker", "rm", "--force", "--volumes", container)


def test_the_image_is_at_most_70_mb_above_its_base(image: str) -> None:
    assert image_bytes(image) - image_bytes(base_image()) <= ABOVE_BASE_BYTES_MAX


def test_the_image_says_how_it_is_to_be_run(image: str) -> None:
    config = inspect(image)["Config"]
    assert isinstance(config, dict)
    assert config["User"] == "10001:10001"
    assert config["Entrypoint"] == ["kvgossip"]  # exec form: the node is process 1 and gets the signals
    assert config["Cmd"] == ["serve"]
    assert config["StopSignal"] == "SIGTERM"
    assert config["Volumes"] == {"/data": {}}
    assert config["Healthcheck"]["Test"] == ["CMD", "kvgossip", "status", "-o", "plain"]
    labels = {
        name.rpartition(".")[2] for name in config["Labels"] if name.startswith("org.opencontainers.image.")
    }
    assert labels == {"title", "description", "licenses", "version", "revision", "created"}
    assert set(config["ExposedPorts"]) == {"7700/tcp", "7701/tcp"}


def test_a_node_runs_without_rights_and_writes_nowhere_but_to_its_data(start: Start) -> None:
    container = start()
    wait_until(lambda: _is_up(container), "the node answers")
    status = run("docker", "exec", container, "cat", "/proc/1/status")
    assert "Uid:\t10001\t10001\t10001\t10001" in status
    assert "CapEff:\t0000000000000000" in status
    diff = run("docker", "diff", container)
    assert not diff.strip(), f"written outside of the volume: {diff}"
    assert run("docker", "exec", container, "ls", "/data").split()


def test_the_health_check_is_quick_and_turns_healthy(start: Start) -> None:
    container = start("--health-interval", "1s")
    wait_until(lambda: _health(container) == "healthy", "the health check says healthy")
    began_s = time.monotonic()
    run("docker", "exec", container, "kvgossip", "status", "-o", "plain")
    assert time.monotonic() - began_s < HEALTH_S_MAX
    imported = run(
        *("docker", "exec", container, "python", "-X", "importtime", "-c"),
        "import sys, kvgossip.cli.main as main; main.main(['status', '-o', 'plain']);"
        " print(*sorted({name.partition('.')[0] for name in sys.modules}))",
    )
    assert not {"aiohttp", "rocksdict", "rich", "asyncio"} & set(imported.splitlines()[-1].split())


def test_the_health_check_fails_for_a_node_that_is_frozen(start: Start) -> None:
    container = start("--health-interval", "1s", "--health-timeout", "1s", "--health-retries", "1")
    wait_until(lambda: _health(container) == "healthy", "the health check says healthy")
    run("kill", "-STOP", run("docker", "inspect", "--format", "{{.State.Pid}}", container).strip())
    wait_until(lambda: _health(container) == "unhealthy", "the health check says unhealthy")


def test_an_idle_container_holds_at_most_70_mib(start: Start) -> None:
    container = start()
    wait_until(lambda: _is_up(container), "the node answers")
    assert memory_mib(container) <= IDLE_MIB_MAX


def test_sigterm_ends_a_node_in_order(start: Start) -> None:
    container = start()
    wait_until(lambda: _is_up(container), "the node answers")
    began_s = time.monotonic()
    run("docker", "stop", "--time", "30", container)
    assert time.monotonic() - began_s < STOP_S_MAX
    state = inspect(container)["State"]
    assert isinstance(state, dict)
    assert state["ExitCode"] == 0
    assert '"event": "node-stopped"' in _log(container)


def _is_up(container: str) -> bool:
    return attempt("docker", "exec", container, "kvgossip", "status", "-o", "plain").returncode == 0


def _health(container: str) -> str:
    return run("docker", "inspect", "--format", "{{.State.Health.Status}}", container).strip()


def _log(container: str) -> str:
    said = attempt("docker", "logs", container)
    return said.stdout + said.stderr
