"""Where the machines put what they want sent. The replica encodes and drains it after every input."""

from kvgossip.model.ids import Address
from kvgossip.wire.messages import Message


class Outbox:
    """An ordered list of (address, message), drained by its owner."""

    def __init__(self) -> None:
        self._messages: list[tuple[Address, Message]] = []

    def send(self, to: Address, message: Message) -> None:
        self._messages.append((to, message))

    def take(self) -> list[tuple[Address, Message]]:
        taken, self._messages = self._messages, []
        return taken
