"""``python -m bench.without_rumors serve …``: a node that sends no rumors: anti-entropy alone.

All that is changed is that frames with rumors are thrown away where they would go to the socket.
"""

import sys

from kvgossip.cli.main import main
from kvgossip.model.ids import Address
from kvgossip.runtime.transport import Transport
from kvgossip.wire import codec
from kvgossip.wire import messages as m

_RUMORS = m.RumorPush | m.RumorPull | m.RumorAnswer
_send = Transport.send


def _send_no_rumor(self: Transport, to: Address, data: bytes, *, is_bulk: bool) -> None:
    if not isinstance(codec.decode(data), _RUMORS):
        _send(self, to, data, is_bulk=is_bulk)


if __name__ == "__main__":
    Transport.send = _send_no_rumor  # type: ignore[method-assign]
    sys.exit(main())
