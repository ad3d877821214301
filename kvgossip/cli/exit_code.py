"""How a command ends: an exit code that scripts can act on, and one line for people."""

from enum import IntEnum


class ExitCode(IntEnum):
    """The same for every command. ``argparse`` ends with USAGE by itself."""

    OK = 0
    FAILURE = 1
    USAGE = 2
    NOT_FOUND = 3
    UNREACHABLE = 4
    """No connection, or no answer in time."""
    UNHEALTHY = 5
    """The node cannot do its work, or the nodes are not converged."""
    CONFLICT = 6
    INTERRUPTED = 130
    """As shells report SIGINT."""


class CommandError(Exception):
    """Ends a command: the message is one line for stderr."""

    def __init__(self, message: str, code: ExitCode = ExitCode.FAILURE) -> None:
        super().__init__(message)
        self.code = code
