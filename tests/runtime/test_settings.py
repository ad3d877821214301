"""Settings work alone by default, and say in one line what cannot be used."""

import socket
from contextlib import closing
from dataclasses import fields
from pathlib import Path
from socket import gethostname

import pytest

from kvgossip.config import Profile, Tuning
from kvgossip.runtime.endpoint import Endpoint, EndpointError
from kvgossip.runtime.settings import Settings, SettingsError
from kvgossip.runtime.websocket import bind


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:7701", "127.0.0.1", 7701),
        ("db.example:1", "db.example", 1),
        ("[::1]:65535", "::1", 65535),
        (":0", "", 0),
    ],
)
def test_an_endpoint_reads_back_as_it_was_written(text: str, host: str, port: int) -> None:
    endpoint = Endpoint.parse(text)
    assert endpoint == (host, port)
    assert str(endpoint) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "host",
        "host:",
        "host:x",
        "host:65536",
        "::1:7701",
        "a b:1",
        "a/b:1",
        "h:-1",
        "h:²",
        "x" * 300 + ":1",
    ],
)
def test_what_is_no_endpoint_is_refused(text: str) -> None:
    with pytest.raises(EndpointError) as caught:
        Endpoint.parse(text)
    assert "\n" not in str(caught.value)


def test_every_setting_has_a_default_that_works_alone() -> None:
    settings = Settings()
    assert settings.node
    assert settings.peer_address() == "127.0.0.1:7701"
    assert settings.api_address() == "127.0.0.1:7700"
    assert settings.read_secret() is None


def test_a_wildcard_is_advertised_as_the_host_name() -> None:
    assert Settings(peer_listen="0.0.0.0:7701").peer_address() == f"{gethostname()}:7701"
    assert Settings(peer_listen="[::]:7701", advertise_peer="n1.example:9").peer_address() == "n1.example:9"


def test_a_port_chosen_by_the_system_is_advertised_once_bound() -> None:
    bound = Endpoint("127.0.0.1", 4711)
    assert Settings(peer_listen="127.0.0.1:0").peer_address(bound) == "127.0.0.1:4711"


def test_a_name_to_listen_on_is_advertised_as_the_address_that_was_bound() -> None:
    bound = Endpoint("10.0.0.3", 7701)
    assert Settings(peer_listen="nodes.example:7701").peer_address(bound) == "10.0.0.3:7701"
    named = Settings(peer_listen="nodes.example:7701", advertise_peer="n1.example:7701")
    assert named.peer_address(bound) == "n1.example:7701"
    assert Settings(peer_listen="0.0.0.0:7701").peer_address(Endpoint("0.0.0.0", 7701)) != "0.0.0.0:7701"


def test_of_a_name_with_several_addresses_the_one_of_this_machine_is_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = ["203.0.113.1", "127.0.0.1", "203.0.113.2"]

    def getaddrinfo(host: str, port: int, **options: object) -> list[tuple[object, ...]]:
        assert host == "nodes.example"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in found]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with closing(bind(Endpoint("nodes.example", 0))) as listening:
        assert Endpoint.of(listening).host == "127.0.0.1"
    found.remove("127.0.0.1")
    with pytest.raises(OSError, match="no address of this machine is behind"):
        bind(Endpoint("nodes.example", 0))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"node": ""}, "node"),
        ({"cluster": "x" * 65}, "cluster"),
        ({"listen": "nowhere"}, "listen"),
        ({"listen": "127.0.0.1:7701"}, "never share"),
        ({"advertise_peer": "0.0.0.0:7701"}, "advertise-peer"),
        ({"advertise_api": "host:0"}, "advertise-api"),
        ({"seeds": ("good:1", "bad")}, "bad"),
        ({"zone": "x" * 33}, "zone"),
        ({"tag": ("rack",)}, "write key=value"),
        ({"tag": ("=a",)}, "the key of a tag has 1 to 32"),
        ({"tag": ("rack=" + "a" * 65,)}, "its value at most 64"),
        ({"tag": ("rack=a", "rack=b")}, "'rack' is given twice"),
        ({"tag": tuple(f"{number}=x" for number in range(17))}, "at most 16"),
        ({"seeds": ("s:1",) * 257}, "at most 256"),
    ],
)
def test_an_unusable_setting_is_named(changes: dict[str, object], said: str) -> None:
    with pytest.raises(SettingsError, match=said) as caught:
        Settings(**changes)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_a_secret_is_read_without_its_newline_and_not_if_short(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_bytes(b"0123456789abcdef\n")
    assert Settings(secret_file=file).read_secret() == b"0123456789abcdef"
    for content in (b"short\n", b"x" * 5000):
        file.write_bytes(content)
        with pytest.raises(SettingsError, match="secret-file"):
            Settings(secret_file=file).read_secret()
    with pytest.raises(SettingsError, match="cannot be read"):
        Settings(secret_file=tmp_path / "missing").read_secret()


@pytest.mark.parametrize(
    "tuning",
    [
        Tuning(cross_zone_share=1.5),
        Tuning(phi_threshold=0.0),
        Tuning(fanout=0),
        Tuning(rumor_k=-1),
        Tuning(batch_bytes_max=1 << 20),
        Tuning(inline_bytes_max=1 << 19),
    ],
)
def test_tuning_that_a_node_could_not_work_with_is_refused(tuning: Tuning) -> None:
    with pytest.raises(SettingsError, match="tuning"):
        Settings(tuning=tuning)


def test_tags_are_told_in_order_of_their_keys() -> None:
    assert Settings(tag=("b=2", "a=1=1", "c=")).tags == (("a", "1=1"), ("b", "2"), ("c", ""))


def test_the_profile_for_long_lines_waits_longer_and_is_usable() -> None:
    lan, wan = Tuning.of(Profile.LAN), Tuning.of(Profile.WAN)
    assert lan == Tuning()
    changed = {field.name for field in fields(Tuning) if getattr(lan, field.name) != getattr(wan, field.name)}
    assert changed
    assert all(getattr(wan, name) > getattr(lan, name) for name in changed)
    assert Settings(tuning=wan).tuning == wan
