"""A client of a Portcullis `ws` listener, or with `--ca` of a `wss` one. Needs nothing but Python.

    python3 ws.py [--by header|protocol|query] HOST:PORT KEY MESSAGE...

Sends each message as a line and prints the line that comes back. Ends with 1 when the gateway refuses the key.

The key stands in the upgrade (RFC 6455): in the header `server-identify`, as the second sub-protocol in base64url,
or in the query. The gateway's first message is `ok`; or `error`, and a close with code 1008. Then payload is the
endpoint's bytes as they are: where a message ends is arbitrary.
"""

import argparse
import base64
import os
import socket
import ssl
import struct
import sys
import urllib.parse

CLOSE, PING, PONG = 8, 9, 10


def upgrade(stream, host: str, key: str, by: str) -> None:
    """Asks for a WebSocket and says the key in one of its three places."""
    path = "/?server-identify=" + urllib.parse.quote(key, safe="") if by == "query" else "/"
    nonce = base64.b64encode(os.urandom(16)).decode()
    lines = [f"GET {path} HTTP/1.1", f"Host: {host}", "Connection: Upgrade", "Upgrade: websocket",
             "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {nonce}"]
    if by == "header":
        lines.append(f"server-identify: {key}")
    if by == "protocol":
        name = base64.urlsafe_b64encode(key.encode()).rstrip(b"=").decode()
        lines.append(f"Sec-WebSocket-Protocol: server-identify, {name}")
    stream.write("\r\n".join([*lines, "", ""]).encode())
    stream.flush()
    if stream.readline().split(b" ")[1:2] != [b"101"]:
        raise ConnectionError("the gateway speaks no WebSocket here")
    while stream.readline().strip():
        pass


def send(stream, opcode: int, payload: bytes) -> None:
    """Sends one frame; a client's are masked (section 5.3)."""
    mask, size = os.urandom(4), len(payload)
    head = bytes([0x80 | opcode, 0x80 | min(size, 126)]) + (struct.pack(">H", size) if size > 125 else b"")
    stream.write(head + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload)))
    stream.flush()


def receive(stream) -> bytes:
    """Returns the payload of the next frame of data; answers pings on the way."""
    while True:
        head = stream.read(2)
        if len(head) < 2:
            raise ConnectionError("the connection ended")
        size = head[1] & 0x7F
        if size > 125:
            size = int.from_bytes(stream.read(2 if size == 126 else 8), "big")
        payload, opcode = stream.read(size), head[0] & 0x0F
        if opcode == CLOSE:
            raise ConnectionError(f"closed, code {int.from_bytes(payload[:2], 'big')}")
        if opcode == PING:
            send(stream, PONG, payload)
        elif opcode != PONG:
            return payload


def main() -> None:
    args = argparse.ArgumentParser(description="Reaches an endpoint through a ws or wss listener.")
    args.add_argument("--by", choices=["header", "protocol", "query"], default="header")
    args.add_argument("--ca", metavar="FILE", help="speak TLS, and trust these certificates (PEM)")
    args.add_argument("gate", help="HOST:PORT")
    args.add_argument("key")
    args.add_argument("message", nargs="*")
    given = args.parse_args()
    host, port = given.gate.rpartition(":")[::2]
    host = host.strip("[]")
    try:
        connection = socket.create_connection((host, int(port)), timeout=30)
        if given.ca:
            connection = ssl.create_default_context(cafile=given.ca).wrap_socket(connection, server_hostname=host)
        with connection, connection.makefile("rwb") as stream:
            upgrade(stream, given.gate, given.key, given.by)
            if (answer := receive(stream)) != b"ok":
                sys.exit(f"refused: {answer.decode()}")
            come = b""
            for message in given.message:
                send(stream, 1, message.encode() + b"\n")
                while b"\n" not in come:
                    come += receive(stream)
                line, _, come = come.partition(b"\n")
                print(line.decode(errors="replace"), flush=True)
    except OSError as error:
        sys.exit(f"lost: {error}")


if __name__ == "__main__":
    main()
