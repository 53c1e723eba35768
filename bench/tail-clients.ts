/**
 * Readers of event streams, `BENCH_TAILS` of them over the sessions `BENCH_SESSIONS`. Prints `{"open"}` when all are connected;
 * answers each line with what they heard since the last: of `words` and `events` `{"n", "p50", "p99"}`, how many milliseconds
 * after the model wrote it a word of an answer (`t=1234.5;`) came, and an event after its row was written.
 */
import { once } from 'node:events';
import { Agent, get, type IncomingMessage } from 'node:http';
import { createInterface } from 'node:readline';
import { quantile } from './statistics.ts';

const { BENCH_URL, BENCH_API_KEY, BENCH_TAILS, BENCH_SESSIONS = '' } = process.env;
const sessions = BENCH_SESSIONS.split(',');
const agent = new Agent({ maxSockets: Number.POSITIVE_INFINITY });
/** At once: a server's backlog is finite. */
const OPEN_TOGETHER = 100;
const late: Record<'words' | 'events', number[]> = { words: [], events: [] };
/** Events of before are told to whoever comes: they are not late. */
let since = now();

for (let opened = 0; opened < Number(BENCH_TAILS); opened += OPEN_TOGETHER) {
  const count = Math.min(OPEN_TOGETHER, Number(BENCH_TAILS) - opened);
  await Promise.all(
    Array.from({ length: count }, (_, index) => open(sessions[(opened + index) % sessions.length])),
  );
}
const input = createInterface({ input: process.stdin });
input.on('line', () => {
  process.stdout.write(`${JSON.stringify({ words: told(late.words), events: told(late.events) })}\n`);
  Object.assign(late, { words: [], events: [] });
  since = now();
});
input.once('close', () => process.exit(0));
process.stdout.write(`${JSON.stringify({ open: Number(BENCH_TAILS) })}\n`);

async function open(sessionId: string | undefined): Promise<void> {
  const headers = { accept: 'text/event-stream', authorization: `Bearer ${BENCH_API_KEY}` };
  const request = get(`${BENCH_URL}/v1/sessions/${sessionId}/events`, { agent, headers });
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  if (response.statusCode !== 200) throw new Error(`a tail was refused: ${response.statusCode}`);
  response.setEncoding('utf8');
  response.on('data', (text: string) => hear(text));
}

function told(times: readonly number[]) {
  const at = (q: number) => (times.length === 0 ? 0 : quantile(times, q));
  return { n: times.length, p50: at(0.5), p99: at(0.99) };
}

function now(): number {
  return performance.timeOrigin + performance.now();
}

/** A frame that is cut in two is passed over. */
function hear(text: string): void {
  const heardAt = now();
  for (const [, at] of text.matchAll(/t=([\d.]+);/g)) late.words.push(heardAt - Number(at));
  for (const [, at = ''] of text.matchAll(/^data: \{"seq":\d+,"type":"[^"]*","at":"([^"]*)"/gm)) {
    const written = Date.parse(at);
    if (written > since) late.events.push(heardAt - written);
  }
}
