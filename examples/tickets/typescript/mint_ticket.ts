// Mints a ticket for Portcullis; docs/ticket.md is the format. Needs nothing but Node.js.
import { createCipheriv, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";

/** What a ticket says. Its members are written in this order. */
export interface Content {
  target?: string;
  upstream?: string;
  exp: number;
  jti: string;
  ip?: string;
  device?: string;
  once?: true;
}

export interface Key {
  id: Buffer;
  secret: Buffer;
}

/** Returns the key file's first key: the one that seals. */
export function firstKey(text: string): Key {
  for (const line of text.split("\n").map((line: string) => line.trim())) {
    if (line === "" || line.startsWith("#")) continue;
    const [id = "", secret = ""] = line.split(":");
    return { id: Buffer.from(id, "hex"), secret: Buffer.from(secret, "hex") };
  }
  throw new Error("there is no key in the key file");
}

/** Seals the content; `nonce` must never be used twice with one key. */
export function seal(key: Key, nonce: Buffer, content: Content): string {
  const box = createCipheriv("aes-256-gcm", key.secret, nonce);
  box.setAAD(Buffer.concat([Buffer.from("v1."), key.id]));
  const sealed: Buffer = Buffer.concat([box.update(JSON.stringify(content), "utf8"), box.final()]);
  return "v1." + Buffer.concat([key.id, nonce, sealed, box.getAuthTag()]).toString("base64url");
}

function main(): void {
  const { values } = parseArgs({
    options: {
      "key-file": { type: "string" },
      target: { type: "string" },
      upstream: { type: "string" },
      ttl: { type: "string", default: "60" },
      ip: { type: "string" },
      device: { type: "string" },
      once: { type: "boolean" },
      exp: { type: "string" },
      jti: { type: "string" },
      nonce: { type: "string" },
    },
  });
  const nonce: Buffer = values.nonce ? Buffer.from(values.nonce, "hex") : randomBytes(12);
  // A member that is undefined is not written.
  const content: Content = {
    target: values.target,
    upstream: values.upstream,
    exp: values.exp ? Number(values.exp) : Math.floor(Date.now() / 1000) + Number(values.ttl),
    jti: values.jti ?? randomBytes(16).toString("base64url"),
    ip: values.ip,
    device: values.device,
    once: values.once ? true : undefined,
  };
  console.log(seal(firstKey(readFileSync(values["key-file"] ?? "", "ascii")), nonce, content));
}

main();
