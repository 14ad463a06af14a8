"""Mints a ticket for Portcullis; docs/ticket.md is the format. Needs the package `cryptography`."""

import argparse
import base64
import json
import os
import secrets
import time

from cryptography.hazmat.primitives.ciphers.aead import AESGCM


def first_key(text: str) -> tuple[bytes, bytes]:
    """Returns the id and the secret of the key file's first key: the one that seals."""
    for line in text.splitlines():
        line = line.strip()
        if line and not line.startswith("#"):
            key_id, secret = line.split(":")
            return bytes.fromhex(key_id), bytes.fromhex(secret)
    raise ValueError("there is no key in the key file")


def seal(key_id: bytes, secret: bytes, nonce: bytes, content: dict) -> str:
    """Seals the content; `nonce` must never be used twice with one key."""
    plain = json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()
    box = AESGCM(secret).encrypt(nonce, plain, b"v1." + key_id)
    return "v1." + base64.urlsafe_b64encode(key_id + nonce + box).rstrip(b"=").decode()


def main() -> None:
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("--key-file", required=True)
    where = args.add_mutually_exclusive_group(required=True)
    where.add_argument("--target", help="host:port")
    where.add_argument("--upstream")
    args.add_argument("--ttl", type=int, default=60, help="seconds")
    args.add_argument("--ip", help="the only client address it is good for")
    args.add_argument("--device", help="who it is for")
    args.add_argument("--once", action="store_true", help="good for one use")
    args.add_argument("--exp", type=int, help="Unix seconds, instead of --ttl")
    args.add_argument("--jti", default=secrets.token_urlsafe(16))
    args.add_argument("--nonce", type=bytes.fromhex, default=os.urandom(12), help="12 bytes in hex, for tests only")
    given = args.parse_args()

    content: dict = {"target": given.target} if given.target else {"upstream": given.upstream}
    content["exp"] = given.exp if given.exp is not None else int(time.time()) + given.ttl
    content["jti"] = given.jti
    if given.ip:
        content["ip"] = given.ip
    if given.device:
        content["device"] = given.device
    if given.once:
        content["once"] = True
    with open(given.key_file, encoding="ascii") as file:
        key_id, secret = first_key(file.read())
    print(seal(key_id, secret, given.nonce, content))


if __name__ == "__main__":
    main()
