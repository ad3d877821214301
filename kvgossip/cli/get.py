"""``kvgossip get``: read one value, byte for byte, to stdout; or all siblings, and resolve them."""

import argparse
import sys
from typing import TYPE_CHECKING, NamedTuple

from kvgossip.cli.arguments import Commands, add_key, add_output, add_url
from kvgossip.cli.exit_code import CommandError, ExitCode

if TYPE_CHECKING:
    from kvgossip.cli.client import Client, Reply

DEFAULT_TYPE = "application/octet-stream"


class Part(NamedTuple):
    """One live value of a key."""

    body: bytes
    content_type: str
    dot: str


def add_command(commands: Commands) -> None:
    parser = commands.add_parser(
        "get",
        help="read one value",
        description="Writes the value to stdout. Of an mv key the context goes to stderr; several siblings"
        " are written one after the other, each below a line that tells its type, size and dot, and end with"
        " exit code 6.",
        epilog="example: kvgossip get --mv cart --resolve 'milk, eggs'",
    )
    add_key(parser)
    parser.add_argument(
        "--resolve",
        metavar="VALUE|@FILE|-",
        help="of an mv key: after the read, write this with the context of what was read; - is stdin."
        " Exit code 6 if others wrote at the same time",
    )
    add_output(parser, "plain")
    add_url(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> ExitCode:
    from kvgossip.cli.client import Client, key_target

    if arguments.resolve is not None and not arguments.mv:
        arguments.parser.error("--resolve goes with --mv: kv keys have no siblings")
    client, target = Client(arguments.url), key_target(arguments.key, is_mv=arguments.mv)
    reply = client.request("GET", target)
    if reply.context is not None and arguments.output != "json":
        print(f"context: {reply.context}", file=sys.stderr)
    if reply.status in (200, 300):
        _print(arguments, reply)
    elif reply.status != 404 or arguments.resolve is None:
        raise reply.refusal()
    if arguments.resolve is not None:
        return _resolve(client, target, arguments.resolve, reply.context)
    return ExitCode.OK if reply.status == 200 else ExitCode.CONFLICT


def _resolve(client: "Client", target: str, text: str, context: str | None) -> ExitCode:
    from kvgossip.cli.values import from_file, from_text

    sys.stdout.flush()  # who is asked for the value on stdin has seen what there is
    if text == "-":
        given = from_file("-")
    else:
        given = from_file(text.removeprefix("@")) if text.startswith("@") else from_text(text)
    headers = given.headers | ({} if context is None else {"Kv-Context": context})
    written = client.request("PUT", target, body=given.body, headers=headers)
    if written.status not in (201, 204):
        raise written.refusal()
    if client.request("HEAD", target).status == 300:
        raise CommandError("written, but others wrote at the same time: get it again", ExitCode.CONFLICT)
    print(f"context: {written.context}", file=sys.stderr)
    return ExitCode.OK


def _print(arguments: argparse.Namespace, reply: "Reply") -> None:
    from kvgossip.cli.output import print_json, print_rows, value_json, write_value

    parts = _parts(reply)
    if arguments.output == "json":
        siblings = [{**value_json(part.body), "type": part.content_type, "dot": part.dot} for part in parts]
        document: dict[str, object] = {
            "key": arguments.key,
            "etag": reply.headers.get("ETag"),
            "stamp": reply.headers.get("Kv-Stamp"),
        }
        if arguments.mv:
            print_json({**document, "context": reply.context, "siblings": siblings})
        else:
            print_json({**document, **siblings[0]})
    elif arguments.output == "table":
        rows = [
            (part.dot, part.content_type, str(len(part.body)), part.body.decode(errors="surrogateescape"))
            for part in parts
        ]
        print_rows("table", ("DOT", "TYPE", "BYTES", "VALUE"), rows)
    elif len(parts) == 1:
        write_value(parts[0].body)
    else:
        for number, part in enumerate(parts, start=1):
            size = f"{len(part.body)} bytes"
            print(f"--- {number} of {len(parts)}: {part.content_type}, {size}, dot {part.dot}", flush=True)
            write_value(part.body)
            if not sys.stdout.isatty() and not part.body.endswith(b"\n"):
                sys.stdout.buffer.write(b"\n")
            sys.stdout.flush()


def _parts(reply: "Reply") -> list[Part]:
    from base64 import b64decode
    from json import loads

    if reply.status == 200:
        content_type = reply.headers.get("Content-Type") or DEFAULT_TYPE
        return [Part(reply.body, content_type, reply.headers.get("Kv-Dot") or "")]
    return [
        Part(b64decode(sibling["value"]), sibling["type"], sibling["dot"]) for sibling in loads(reply.body)
    ]
