"""``kvgossip put``: write one value."""

import argparse
import sys
from pathlib import Path

from kvgossip.cli.arguments import Commands, add_context, add_key, add_url, check_context
from kvgossip.cli.exit_code import CommandError, ExitCode


def add_command(commands: Commands) -> None:
    parser = commands.add_parser("put", help="write one value")
    add_key(parser)
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "file", metavar="FILE", nargs="?", default="-", help="the value; - is stdin, the default"
    )
    source.add_argument("--value", help="the value itself")
    add_context(parser)
    add_url(parser)
    parser.set_defaults(run=run, parser=parser)


def run(arguments: argparse.Namespace) -> ExitCode:
    from kvgossip.cli.client import Client, key_target

    check_context(arguments.parser, arguments)
    body, content_type = _value(arguments)
    headers = {"Content-Type": content_type} if content_type else {}
    if arguments.context is not None:
        headers["Kv-Context"] = arguments.context
    target = key_target(arguments.key, is_mv=arguments.mv)
    reply = Client(arguments.url).request("PUT", target, body=body, headers=headers)
    if reply.status not in (201, 204):
        raise reply.refusal()
    if reply.context is not None:
        print(reply.context)
    return ExitCode.OK


def _value(arguments: argparse.Namespace) -> tuple[bytes, str]:
    """Body and content type, as far as the name of a file tells it."""
    from mimetypes import guess_type

    from kvgossip.config import VALUE_BYTES_MAX

    if arguments.value is not None:
        return arguments.value.encode("utf-8", "surrogateescape"), "text/plain; charset=utf-8"
    if arguments.file == "-":
        body = sys.stdin.buffer.read(VALUE_BYTES_MAX + 1)
        content_type = None
    else:
        try:
            with Path(arguments.file).open("rb") as file:
                body = file.read(VALUE_BYTES_MAX + 1)
        except OSError as error:
            raise CommandError(f"{arguments.file}: {error.strerror}") from None
        content_type, _ = guess_type(arguments.file)
    if len(body) > VALUE_BYTES_MAX:
        raise CommandError(f"{arguments.file}: a value has at most {VALUE_BYTES_MAX} bytes")
    return body, content_type or ""
