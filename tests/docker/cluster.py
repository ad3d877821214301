"""The cluster of docker/compose.yaml under a project of its own, and what is waited for in it."""

import os
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from tests.docker.api import Api, NoAnswer
from tests.docker.engine import DOCKER, IMAGE, find_compose, inspect, run

NODES: Final = ("n1", "n2", "n3", "n4", "n5")
PROJECT_PREFIX: Final = "kvgossiptest"
WAIT_S = 60.0
_POLL_S = 0.05


def wait_until(claim: Callable[[], bool], what: str, timeout_s: float = WAIT_S) -> float:
    """Poll until ``claim`` holds; a node that does not answer makes it false. Returns the seconds it took."""
    started_s = time.monotonic()
    while True:
        try:
            if claim():
                return time.monotonic() - started_s
        except NoAnswer:
            pass
        assert time.monotonic() - started_s < timeout_s, f"{what}: not within {timeout_s:g} s"
        time.sleep(_POLL_S)


def wait_value(api: Api, key: str, value: str) -> None:
    wait_until(lambda: api.value(key) == value, f"{key} reads as {value!r}")


def is_converged(apis: Sequence[Api]) -> bool:
    return len({api.status()["root"] for api in apis}) == 1


def is_whole(apis: Sequence[Api]) -> bool:
    """True if all know each other as alive, and hold the same."""
    return all(len(api.names("alive")) == len(apis) for api in apis) and is_converged(apis)


class Cluster:
    """Five nodes, ``n1`` to ``n5``, and as many of the service ``node`` as are asked for."""

    def __init__(
        self, image: str = IMAGE, *, secret_file: Path | None = None, override: Path | None = None
    ) -> None:
        """``override``: one more file for Compose, which goes on top."""
        number = os.getpid()
        self._files = ["compose.yaml", *([] if override is None else [str(override)])]
        self.project = f"{PROJECT_PREFIX}{number}"
        self._ports = dict(zip(NODES, _free_ports(len(NODES)), strict=True))
        self.environment = {
            "COMPOSE_PROJECT_NAME": self.project,
            "IMAGE": image,
            "PEER_SUBNET": f"10.{213 + number // 250 % 40}.{number % 250}.0/24",
            "ALLOW_FAULTS": "true",
            **{f"{name.upper()}_PORT": str(port) for name, port in self._ports.items()},
        }
        if secret_file is not None:  # another cluster, beside the one that all tests share
            self._files.append("compose.secret.yaml")
            self.project = self.environment["COMPOSE_PROJECT_NAME"] = f"{self.project}-secret"
            self.environment |= {
                "SECRET_FILE": str(secret_file),
                "PEER_SUBNET": f"10.{173 + number // 250 % 40}.{number % 250}.0/24",
            }

    def compose(self, *arguments: object) -> str:
        command = find_compose()
        assert command is not None
        files = [word for name in self._files for word in ("-f", DOCKER / name)]
        return run(*command, *files, *arguments, env=self.environment)

    def up(self, *services: str) -> None:
        """The five, or those named. Returns when their containers run, not when they answer."""
        self.compose("up", "-d", "--no-build", "--no-recreate", *services)

    def up_count(self, count: int) -> dict[str, Api]:
        """The first so many of the five and of ``node``, by the names that ``partition.sh`` has."""
        named, extra = list(NODES[:count]), max(0, count - len(NODES))
        if extra:
            self.scale(extra)
        else:
            self.up(*named)
        names = [*named, *(f"node.{number}" for number in range(1, extra + 1))]
        apis = [*(self.api(name) for name in named), *(self.extra_apis() if extra else ())]
        return dict(zip(names, apis, strict=True))

    def scale(self, count: int) -> None:
        """So many nodes of the service ``node``, beside the five."""
        self.compose(
            "--profile", "scale", "up", "-d", "--no-build", "--no-recreate", "--scale", f"node={count}"
        )

    def down(self) -> None:
        """Containers, networks and volumes."""
        self.compose("--profile", "scale", "--profile", "chaos", "down", "--volumes", "--timeout", "1")

    def containers(self, service: str) -> list[str]:
        """Those that run."""
        return self.compose("--profile", "scale", "ps", "-q", service).split()

    def container(self, name: str) -> str:
        """Running or not."""
        (found,) = run(
            "docker",
            *("ps", "--all", "--quiet", "--no-trunc"),
            *("--filter", f"label=com.docker.compose.project={self.project}"),
            *("--filter", f"label=com.docker.compose.service={name}"),
        ).split()
        return found

    def api(self, name: str) -> Api:
        return Api(self._ports[name])

    def apis(self) -> dict[str, Api]:
        return {name: self.api(name) for name in NODES}

    def extra_apis(self) -> list[Api]:
        """Of the nodes of the service ``node``, whose ports the system chose."""
        return [Api(_published_port(container)) for container in self.containers("node")]

    def partition(self, *arguments: str) -> str:
        return run(DOCKER / "partition.sh", *arguments, env=self.environment)

    def wait_ready(self, *names: str) -> None:
        for name in names or NODES:
            wait_until(self.api(name).is_ready, f"{name} is ready")

    def wait_whole(self, *, extra: int = 0) -> float:
        """Until all nodes know each other as alive and hold the same."""
        apis = [*self.apis().values(), *(self.extra_apis() if extra else ())]
        return wait_until(lambda: is_whole(apis), f"{len(apis)} nodes are one cluster and hold the same")

    def wait_state(self, name: str, state: str, *, seen_by: Iterable[str]) -> None:
        for other in seen_by:
            api = self.api(other)
            wait_until(partial(_has_name, api, name, state), f"{other} sees that {name} is {state}")

    def wait_healthy(self, name: str) -> None:
        """By the health check of its container."""
        command = ("docker", "inspect", "--format", "{{.State.Health.Status}}", self.container(name))
        wait_until(lambda: run(*command).strip() == "healthy", f"{name} is healthy")

    def mend(self) -> None:
        """What a test begins with, whatever the one before it left: all run, agree, and none is cut off."""
        self.up()
        for name in NODES:
            run("docker", "start", self.container(name))
        self.partition("heal")
        self.wait_whole()


def _has_name(api: Api, name: str, state: str) -> bool:
    return name in api.names(state)


def _published_port(container: str) -> int:
    settings = inspect(container)["NetworkSettings"]
    assert isinstance(settings, dict)
    return int(settings["Ports"]["7700/tcp"][0]["HostPort"])


def _free_ports(count: int) -> list[int]:
    bound = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [sock.getsockname()[1] for sock in bound]
    for sock in bound:
        sock.close()
    return ports
