"""A client of a Portcullis `kcp` listener without a cipher. Needs nothing but Python.

    python3 kcp.py HOST:PORT KEY MESSAGE...

Sends each message as a line and prints the line that comes back. Ends with 1 when the gateway refuses the key.

KCP makes a stream each way out of UDP datagrams (docs/kcp.md). In it stands what a tcp client says: u32 little-endian
length and key; the answer is a length and `ok`, or `error`; then the endpoint's bytes. A segment, little endian:
conv u32, cmd u8, frg u8, wnd u16, ts u32, sn u32, una u32, len u32, payload.
"""

import contextlib
import secrets
import socket
import struct
import sys
import time

PUSH, ACK, WASK, WINS = 81, 82, 83, 84
HEAD = struct.Struct("<IBBHIIII")
WINDOW, PIECE, PATIENCE = 128, 1200, 30


class Kcp:
    """One conversation. It has no end of its own: whoever is done falls silent."""

    def __init__(self, host: str, port: int) -> None:
        self.socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.connect((host, port))
        self.conv = secrets.randbits(32)
        self.sent = self.wanted = 0  # numbers: of our next segment, of the peer's that is to come
        self.room = WINDOW  # segments the peer has room for
        self.unacked: dict[int, list] = {}  # number: payload, when it is due again, after how long then
        self.early: dict[int, bytes] = {}  # came before their turn
        self.stream, self.heard = b"", time.monotonic()

    def write(self, stream: bytes) -> None:
        for at in range(0, len(stream), PIECE):
            while len(self.unacked) >= min(self.room, WINDOW):
                self.turn()
            self.unacked[self.sent] = [stream[at : at + PIECE], 0.0, 0.2]
            self.sent += 1

    def read(self, whole) -> bytes:
        """Takes from the stream as much as `whole` says, once that is something."""
        while not (size := whole(self.stream)):
            self.turn()
        taken, self.stream = self.stream[:size], self.stream[size:]
        return taken

    def turn(self) -> None:
        """Sends what is due, then waits for a datagram until more is due."""
        now = time.monotonic()
        if now - self.heard > PATIENCE:
            raise ConnectionError("the gateway is silent")
        for number, segment in self.unacked.items():
            if segment[1] <= now:
                self.put(PUSH, number, int(now * 1000) & 0xFFFFFFFF, segment[0])
                segment[1:] = now + segment[2], segment[2] * 1.5
        due = min((segment[1] for segment in self.unacked.values()), default=now + 1)
        self.socket.settimeout(max(due - now, 0.001))
        with contextlib.suppress(TimeoutError):
            self.take(self.socket.recv(2048))

    def put(self, cmd: int, number: int = 0, stamp: int = 0, payload: bytes = b"") -> None:
        room = WINDOW - len(self.early)
        self.socket.send(HEAD.pack(self.conv, cmd, 0, room, stamp, number, self.wanted, len(payload)) + payload)

    def take(self, datagram: bytes) -> None:
        while len(datagram) >= HEAD.size:
            conv, cmd, _, self.room, stamp, number, una, size = HEAD.unpack_from(datagram)
            payload, datagram = datagram[HEAD.size : HEAD.size + size], datagram[HEAD.size + size :]
            if conv != self.conv or len(payload) < size:
                return
            self.heard, self.room = time.monotonic(), max(self.room, 1)  # one asks whether it has opened
            self.unacked = {n: kept for n, kept in self.unacked.items() if n >= una and (cmd, number) != (ACK, n)}
            if cmd == WASK:
                self.put(WINS)
            elif cmd == PUSH and number < self.wanted + WINDOW:
                self.early |= {number: payload} if number >= self.wanted else {}
                while self.wanted in self.early:
                    self.stream, self.wanted = self.stream + self.early.pop(self.wanted), self.wanted + 1
                self.put(ACK, number, stamp)  # the stamp proves that we hear at this address


def main(gate: str, key: str, *messages: str) -> None:
    host, _, port = gate.rpartition(":")
    kcp, name = Kcp(host.strip("[]"), int(port)), key.encode()
    kcp.write(len(name).to_bytes(4, "little") + name)
    size = int.from_bytes(kcp.read(lambda stream: len(stream) >= 4 and 4), "little")
    if (answer := kcp.read(lambda stream: len(stream) >= size and size).decode()) != "ok":
        sys.exit(f"refused: {answer}")
    for message in messages:
        kcp.write(message.encode() + b"\n")
        print(kcp.read(lambda stream: stream.find(b"\n") + 1).decode(errors="replace"), end="", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:]) if len(sys.argv) > 2 else sys.exit(__doc__)
