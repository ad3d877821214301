"""The opening handshake: who belongs together, and that nothing else opens a link."""

from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvgossip.model.ids import Address
from kvgossip.runtime.handshake import (
    HANDSHAKE_BYTES_MAX,
    HandshakeError,
    Hello,
    Opening,
    SelfReachedError,
    encode_refusal,
)

KEY = b"k" * 32


def hello(number: int, *, cluster: str = "c", address: str | None = None, nonce: int = 0) -> Hello:
    return Hello(
        cluster=cluster,
        address=Address(address or f"10.0.0.{number}:7701"),
        instance=bytes([number]) * 16,
        nonce=bytes([number, nonce]) * 16,
    )


def converse(dialler: Opening, acceptor: Opening, tamper: Callable[[bytes], bytes] = bytes) -> list[bytes]:
    """Carry frames between two sides until both fall silent; return them in order."""
    frames: list[bytes] = []
    sides, frame = [acceptor, dialler], dialler.start()
    while frame is not None:
        frames.append(frame)
        frame = sides[0].receive(tamper(frame))
        sides.reverse()
    return frames


def pair(first: Hello, second: Hello, *, keys: tuple[bytes, bytes] = (KEY, KEY)) -> tuple[Opening, Opening]:
    return Opening(first, keys[0], is_dialler=True), Opening(second, keys[1], is_dialler=False)


def test_two_nodes_of_one_cluster_prove_the_secret_to_each_other() -> None:
    dialler, acceptor = pair(hello(1), hello(2))
    frames = converse(dialler, acceptor)
    assert dialler.is_done
    assert acceptor.is_done
    assert dialler.peer == hello(2)
    assert acceptor.peer == hello(1)
    assert len(frames) == 4
    assert all(len(frame) <= HANDSHAKE_BYTES_MAX for frame in frames)


def test_another_cluster_is_refused_before_a_proof_is_shown() -> None:
    dialler, acceptor = pair(hello(1, cluster="blue"), hello(2, cluster="green"))
    first = dialler.start()
    assert first is not None
    with pytest.raises(HandshakeError, match=r"'blue'.*'green'") as caught:
        acceptor.receive(first)
    assert caught.value.peer == "10.0.0.1:7701"
    with pytest.raises(HandshakeError, match="'blue'") as told:
        dialler.receive(encode_refusal(caught.value))
    assert told.value.is_said_by_peer
    assert not dialler.is_done
    assert not acceptor.is_done


def test_another_wire_version_is_refused_and_both_versions_are_named() -> None:
    dialler, acceptor = pair(hello(1), hello(2))
    first = dialler.start()
    assert first is not None
    with pytest.raises(HandshakeError, match="wire version 9 and this node 1"):
        acceptor.receive(first[:9] + b"\x00\x09" + b"whatever that version says")


@pytest.mark.parametrize("wrong_side", [0, 1])
def test_a_wrong_secret_is_refused_by_whoever_holds_the_right_one(wrong_side: int) -> None:
    keys = (b"x" * 32, KEY) if wrong_side == 0 else (KEY, b"x" * 32)
    dialler, acceptor = pair(hello(1), hello(2), keys=keys)
    with pytest.raises(HandshakeError, match="secret"):
        converse(dialler, acceptor)
    assert not dialler.is_done
    assert not acceptor.is_done


def test_a_replayed_conversation_proves_nothing() -> None:
    recorded = converse(*pair(hello(1), hello(2)))
    acceptor = Opening(hello(2, nonce=7), KEY, is_dialler=False)
    assert acceptor.receive(recorded[0]) is not None
    with pytest.raises(HandshakeError, match="secret"):
        acceptor.receive(recorded[2])
    dialler = Opening(hello(1, nonce=7), KEY, is_dialler=True)
    with pytest.raises(HandshakeError, match="secret"):
        dialler.receive(recorded[1])


def test_a_reflected_proof_proves_nothing() -> None:
    # A stranger opens, gets the acceptor's proof, and plays it back as its own.
    acceptor = Opening(hello(2), KEY, is_dialler=False)
    stranger = hello(3)
    answer = acceptor.receive(b"\x01" + stranger.encode())
    assert answer is not None
    with pytest.raises(HandshakeError, match="secret"):
        acceptor.receive(b"\x03" + answer[1:17])


def test_a_node_that_reaches_itself_says_so() -> None:
    with pytest.raises(SelfReachedError):
        converse(*pair(hello(1, nonce=1), hello(1, nonce=2)))


def test_two_nodes_with_one_address_are_told_what_to_change() -> None:
    with pytest.raises(HandshakeError, match="--advertise-peer"):
        converse(*pair(hello(1, address="n:1"), hello(2, address="n:1")))


def test_an_oversized_frame_is_refused() -> None:
    with pytest.raises(HandshakeError, match="at most 1024 bytes"):
        Opening(hello(1), KEY, is_dialler=False).receive(b"\x01" * (HANDSHAKE_BYTES_MAX + 1))


@given(position=st.integers(min_value=0), bit=st.integers(0, 7), frame_number=st.integers(0, 3))
def test_one_flipped_bit_anywhere_opens_no_link_on_the_side_that_read_it(
    position: int, bit: int, frame_number: int
) -> None:
    dialler, acceptor = pair(hello(1), hello(2))
    seen = 0

    def tamper(frame: bytes) -> bytes:
        nonlocal seen
        seen += 1
        if seen != frame_number + 1:
            return frame
        at = position % len(frame)
        return frame[:at] + bytes([frame[at] ^ 1 << bit]) + frame[at + 1 :]

    with pytest.raises(HandshakeError):
        converse(dialler, acceptor, tamper)
    assert not (dialler.is_done and acceptor.is_done)


@given(frames=st.lists(st.binary(max_size=200), max_size=4), is_dialler=st.booleans())
def test_garbage_opens_no_link_and_raises_nothing_else(frames: list[bytes], is_dialler: bool) -> None:
    opening = Opening(hello(1), KEY, is_dialler=is_dialler)
    for frame in frames:
        with pytest.raises(HandshakeError):
            opening.receive(frame)
    assert not opening.is_done


@given(raw=st.binary(max_size=120))
def test_decoding_a_hello_is_total(raw: bytes) -> None:
    for candidate in (raw, b"kvgossip\x00\x01" + raw):
        with suppress(HandshakeError):
            assert Hello.decode(candidate).encode() == candidate


def test_a_refusal_of_a_hostile_peer_is_cut_and_cleaned() -> None:
    with pytest.raises(HandshakeError) as caught:
        Opening(hello(1), KEY, is_dialler=True).receive(b"\x05" + b"no\n\x1b[31m" * 100)
    assert "\n" not in caught.value.reason
    assert "\x1b" not in caught.value.reason
    assert len(caught.value.reason) <= 200
