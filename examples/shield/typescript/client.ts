/**
 * A client of a Portcullis listener in frame mode on Node.js, with device tokens when it is given a file for one.
 *
 *     node client.js [--type-bytes 2] [--ca FILE] [--tokens FILE --id ID] HOST:PORT MESSAGE...
 *
 * Sends each message as a request frame and prints the answer's payload; between them a heartbeat. A frame, big endian:
 * version u8, type u8 (or u16), length u16, [token, with version 2,] payload.
 */
import { createHash } from "node:crypto";
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { parseArgs } from "node:util";

const PATIENCE_MS = 20_000;

/** The numbers of the gateway's own messages, and that of a request, by how wide a type is. */
const TYPES = {
  1: { heartbeat: 1, heartbeatReply: 2, request: 20, register: 10, token: 11, login: 12 },
  2: { heartbeat: 1000, heartbeatReply: 1001, request: 2000, register: 1100, token: 1101, login: 1102 },
} as const;

interface Frame {
  type: number;
  payload: Buffer;
}

class Session {
  private buffer = Buffer.alloc(0);
  private token: Buffer | undefined;
  private ended: Error | undefined;
  private wake: () => void = () => {};

  constructor(
    private readonly socket: Socket,
    private readonly wide: 1 | 2,
    private readonly file: string | undefined,
  ) {
    socket.on("data", (piece) => {
      this.buffer = Buffer.concat([this.buffer, piece]);
      this.wake();
    });
    const end = (why: string) => () => {
      this.ended ??= new Error(why);
      this.wake();
    };
    socket.on("end", end("the session ended")).on("error", end("the connection broke"));
    socket.setTimeout(PATIENCE_MS, () => socket.destroy(new Error("no answer")));
  }

  get types(): (typeof TYPES)[1 | 2] {
    return TYPES[this.wide];
  }

  send(type: number, payload: Buffer): void {
    const shows = this.token !== undefined && type === this.types.request;
    const head = Buffer.alloc(3 + this.wide);
    head.writeUInt8(shows ? 2 : 1, 0);
    head.writeUIntBE(type, 1, this.wide);
    head.writeUInt16BE(payload.length, 1 + this.wide);
    this.socket.write(Buffer.concat([head, shows ? this.token! : Buffer.alloc(0), payload]));
  }

  async read(): Promise<Frame> {
    const head = 3 + this.wide;
    await this.have(head);
    const length = this.buffer.readUInt16BE(1 + this.wide);
    await this.have(head + length);
    const frame = { type: this.buffer.readUIntBE(1, this.wide), payload: this.buffer.subarray(head, head + length) };
    this.buffer = this.buffer.subarray(head + length);
    return frame;
  }

  /** Sends a frame and returns the payload of the answer, which must be of the wanted type. */
  async ask(type: number, body: unknown, want: number): Promise<string> {
    this.send(type, Buffer.from(body === undefined ? "" : JSON.stringify(body)));
    const answer = await this.read();
    const text = answer.payload.toString();
    if (answer.type !== want) throw new Error(`refused: ${text}`);
    return text;
  }

  /** Registers a device that has no token, and logs in one that has. */
  async enter(id: string): Promise<void> {
    const client_id = createHash("sha256").update(id).digest("hex");
    if (!existsSync(this.file!)) {
      this.keep(await this.ask(this.types.register, { client_id }, this.types.token));
      return;
    }
    const { token } = JSON.parse(readFileSync(this.file!, "utf8"));
    await this.ask(this.types.login, { client_id, token }, this.types.token);
    this.use(token);
  }

  /** Writes a token to the file, and only then uses it: one that is used makes the one before it worthless. */
  keep(answer: string): void {
    const told = JSON.parse(answer);
    if (told.token === undefined) return;
    writeFileSync(`${this.file}.new`, JSON.stringify(told), { mode: 0o600 });
    renameSync(`${this.file}.new`, this.file!);
    this.use(told.token);
  }

  private use(token: string): void {
    this.token = Buffer.from(token.replaceAll("-", ""), "hex");
  }

  private async have(bytes: number): Promise<void> {
    while (this.buffer.length < bytes) {
      if (this.ended) throw this.ended;
      await new Promise<void>((resolve) => (this.wake = resolve));
    }
  }
}

async function open(address: string, ca: string | undefined): Promise<Socket> {
  const colon = address.lastIndexOf(":");
  const [host, port] = [address.slice(0, colon), Number(address.slice(colon + 1))];
  return new Promise((resolve, reject) => {
    const ready = () => resolve(socket);
    const socket: Socket =
      ca === undefined
        ? connectTcp({ host, port }, ready)
        : connectTls({ host, port, ca: readFileSync(ca) }, ready);
    socket.once("error", reject);
  });
}

const { values, positionals } = parseArgs({
  options: {
    "type-bytes": { type: "string", default: "1" },
    ca: { type: "string" },
    tokens: { type: "string" },
    id: { type: "string", default: "" },
  },
  allowPositionals: true,
});
const [address, ...messages] = positionals;
const wide = Number(values["type-bytes"]) as 1 | 2;

async function run(): Promise<void> {
  const socket = await open(address!, values.ca);
  const session = new Session(socket, wide, values.tokens);
  if (values.tokens !== undefined) await session.enter(values.id!);
  for (const message of messages) {
    console.log(await session.ask(session.types.request, { message }, session.types.request));
    const beat = await session.ask(session.types.heartbeat, undefined, session.types.heartbeatReply);
    if (values.tokens !== undefined) session.keep(beat);
  }
  socket.end();
}

if (address === undefined || !(wide in TYPES)) {
  console.error("usage: client [--type-bytes 2] [--ca FILE] [--tokens FILE --id ID] HOST:PORT MESSAGE...");
  process.exit(2);
}
run().then(
  () => process.exit(0),
  (error: Error) => {
    console.error(error.message);
    process.exit(1);
  },
);
