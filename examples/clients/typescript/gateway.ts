/**
 * A client of a Portcullis `ws` or `wss` listener, for browsers and for Node.js 22 or later.
 *
 * The key stands in the upgrade: as the second sub-protocol in base64url, in the query, or, which browsers do not
 * let us set, in the header `server-identify`. The gateway's first message is `ok`; or `error`, and a close with
 * code 1008. Then payload is the endpoint's bytes as they are: where a message ends is arbitrary.
 */

export type Place = "protocol" | "query" | "header";

const NAME = "server-identify";

/** The gateway does not connect this key. It never says why: its log does. */
export class Refused extends Error {}

/** An open way to an endpoint that speaks in lines. */
export class Session {
  #socket: WebSocket;
  #decoder = new TextDecoder();
  #text = "";
  #ended = false;
  #wake = () => {};

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.onmessage = (event) => this.#take(this.#decoder.decode(event.data, { stream: true }));
    socket.onclose = () => this.#end();
  }

  /** Opens a session to the endpoint that `key` names; `gate` is such as `wss://play.example/`. */
  static open(gate: string, key: string, place: Place = "protocol"): Promise<Session> {
    const socket = connect(gate, key, place);
    socket.binaryType = "arraybuffer";
    return new Promise((resolve, reject) => {
      socket.onclose = (event) => reject(new Refused(`closed, code ${event.code}`));
      socket.onmessage = (event) => {
        const answer = new TextDecoder().decode(event.data);
        // What comes next is the endpoint's: the session listens from here on.
        if (answer === "ok") resolve(new Session(socket));
        else reject(new Refused(answer));
      };
    });
  }

  /** Sends a line and returns the endpoint's next one. One question at a time. */
  async ask(message: string): Promise<string> {
    this.#socket.send(message + "\n");
    for (;;) {
      const end = this.#text.indexOf("\n");
      if (end >= 0) {
        const line = this.#text.slice(0, end);
        this.#text = this.#text.slice(end + 1);
        return line;
      }
      if (this.#ended) throw new Error("the session ended");
      await new Promise<void>((wake) => (this.#wake = wake));
    }
  }

  close(): void {
    this.#socket.close(1000);
  }

  #take(text: string): void {
    this.#text += text;
    this.#wake();
  }

  #end(): void {
    this.#ended = true;
    this.#wake();
  }
}

function connect(gate: string, key: string, place: Place): WebSocket {
  const url = new URL(gate);
  if (place === "query") url.searchParams.set(NAME, key);
  if (place === "protocol") return new WebSocket(url, [NAME, base64url(key)]);
  if (place === "query") return new WebSocket(url);
  // Node.js takes headers in the place of the protocols.
  const options = { headers: { [NAME]: key } };
  return new WebSocket(url, options as unknown as string[]);
}

function base64url(text: string): string {
  const bytes = String.fromCharCode(...new TextEncoder().encode(text));
  return btoa(bytes).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
