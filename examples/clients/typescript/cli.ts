/**
 * A client of a Portcullis `ws` listener on Node.js 22 or later; 20 needs `--experimental-websocket`.
 *
 *     node cli.js [--by protocol|query|header] HOST:PORT KEY MESSAGE...
 *
 * Sends each message as a line and prints the line that comes back. Ends with 1 when the gateway refuses the key.
 * gateway.ts tells the format; `esbuild cli.ts --bundle --platform=node --outfile=cli.js` makes a program of both.
 */
import { parseArgs } from "node:util";
import { Session, type Place } from "./gateway";

async function run(gate: string, key: string, place: Place, messages: string[]): Promise<void> {
  const session = await Session.open(`ws://${gate}/`, key, place);
  for (const message of messages) {
    console.log(await session.ask(message));
  }
  session.close();
}

const { values, positionals } = parseArgs({
  options: { by: { type: "string", default: "protocol" } },
  allowPositionals: true,
});
const [gate, key, ...messages] = positionals;
const by = values.by ?? "";
if (gate === undefined || key === undefined || !["protocol", "query", "header"].includes(by)) {
  console.error("usage: cli [--by protocol|query|header] HOST:PORT KEY MESSAGE...");
  process.exit(2);
}
run(gate, key, by as Place, messages).catch((error: Error) => {
  console.error(`refused: ${error.message}`);
  process.exitCode = 1;
});
