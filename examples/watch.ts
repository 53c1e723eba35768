/**
 * Follows a session with all that it delegates, and prints each event once, as a line of JSON: also over broken connections, and, where
 * it is given a file to remember in, over its own restarts.
 *
 *   export CAPYBARA_URL=http://127.0.0.1:7070 CAPYBARA_API_KEY=capy_…       # with the scope read
 *   node watch.ts ses_… seen.txt | jq -r .type
 *
 * Ctrl-C ends it.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { createClient } from 'capybara/client';

const [sessionId = '', memory] = process.argv.slice(2);
const client = createClient({
  url: process.env.CAPYBARA_URL ?? 'http://127.0.0.1:7070',
  apiKey: process.env.CAPYBARA_API_KEY,
});

const leave = new AbortController();
process.once('SIGINT', () => leave.abort());
process.once('SIGTERM', () => leave.abort());

/** The last sequence number that was dealt with; 0 is before all. */
function lastSeen(): number {
  try {
    return memory === undefined ? 0 : Number(readFileSync(memory, 'utf8'));
  } catch {
    return 0;
  }
}

/** A number is remembered once its event was dealt with: who is killed in between sees it again, and loses none. */
function remember(seq: number): void {
  if (memory !== undefined) writeFileSync(memory, String(seq));
}

for await (const frame of client.events(sessionId, { after: lastSeen(), signal: leave.signal })) {
  if (frame.kind === 'lost') process.stderr.write(`Reconnecting: ${frame.reason}.\n`);
  if (frame.kind !== 'event') continue;
  process.stdout.write(`${JSON.stringify(frame.event)}\n`);
  remember(frame.event.seq);
}
