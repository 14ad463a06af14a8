"""A client of a Portcullis `tcp` listener, or with `--ca` of a `tls` one. Needs nothing but Python.

    python3 tcp.py HOST:PORT KEY MESSAGE...

Sends each message as a line and prints the line that comes back. Ends with 1 when the gateway refuses the key.

On the wire, lengths are u32, little endian:

    client    length, key in UTF-8
    gateway   length, `ok`             or: length, `error`, and the end
    then      the endpoint's bytes both ways, as they are
"""

import argparse
import socket
import ssl
import struct
import sys
from typing import BinaryIO

PATIENCE = 30  # seconds; the gateway answers a hello within 20
ANSWER_MAX = 4096


class Refused(Exception):
    """The gateway does not connect this key. It never says why: its log does."""


def split(address: str) -> tuple[str, int]:
    """Takes `host:port` or `[IPv6]:port` apart."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def connect(gate: str, ca: str | None = None) -> socket.socket:
    """Connects, by TLS if there is a file with the certificates to trust."""
    host, port = split(gate)
    plain = socket.create_connection((host, port), timeout=PATIENCE)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if ca is None:
        return plain
    return ssl.create_default_context(cafile=ca).wrap_socket(plain, server_hostname=host)


def say_hello(stream: BinaryIO, key: str) -> None:
    """Says where we belong, and returns once the endpoint is open."""
    name = key.encode()
    stream.write(struct.pack("<I", len(name)) + name)
    stream.flush()
    head = stream.read(4)
    if len(head) < 4:
        raise Refused("no answer")
    (length,) = struct.unpack("<I", head)
    if length > ANSWER_MAX:
        raise Refused(f"an answer of {length} bytes")
    answer = stream.read(length).decode()
    if answer != "ok":
        raise Refused(answer)


def ask(stream: BinaryIO, message: str) -> str:
    """Sends a line and returns the endpoint's next one."""
    stream.write(message.encode() + b"\n")
    stream.flush()
    line = stream.readline()
    if not line.endswith(b"\n"):
        raise ConnectionError("the session ended")
    return line[:-1].decode(errors="replace")


def main() -> int:
    args = argparse.ArgumentParser(description="Reaches an endpoint through a tcp or tls listener.")
    args.add_argument("gate", metavar="HOST:PORT")
    args.add_argument("key", metavar="KEY")
    args.add_argument("messages", metavar="MESSAGE", nargs="*")
    args.add_argument("--ca", metavar="FILE", help="speak TLS, and trust these certificates (PEM)")
    given = args.parse_args()
    try:
        with connect(given.gate, given.ca) as connection, connection.makefile("rwb") as stream:
            say_hello(stream, given.key)
            for message in given.messages:
                print(ask(stream, message), flush=True)
    except Refused as refused:
        print(f"refused: {refused}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"lost: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
