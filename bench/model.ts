/**
 * The bench's model: a process of its own that answers at once over Chat Completions and measures, on its own clock, how long
 * Capybara takes between the end of one answer and the next request of the same session.
 *
 * `POST /v1/chat/completions` answers with one call of `noop` until turn N of `turns=N` in the newest prompt, then in words; a
 * prompt that goes on with `bash` asks for a command that changes a file instead; with `pace=MS` it is answered that much later; with `hang`, with half an answer that never ends; with
 * `stream=SECONDS`, with the time in milliseconds (`t=1234.5;`), twenty times a second. `GET /samples` returns what was
 * measured, and forgets it.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';

const PROMPT = 'turns=';
const PROMPT_BYTES = 100;

let overheads: number[] = [];
let arrivals: { session: string; at: number }[] = [];
let hanging = 0;
const ended = new Map<string, number>();

const server = createServer((request, response) => {
  if (request.url === '/samples') return sendSamples(response);
  answer(request, response).catch((error: unknown) => {
    // Its worker was killed, which is what some parts measure, in the middle of the request.
    if ((error as NodeJS.ErrnoException).code !== 'ECONNRESET') throw error;
  });
});
server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : undefined;
  process.stdout.write(`${JSON.stringify({ baseUrl: `http://127.0.0.1:${port}/v1` })}\n`);
});
process.stdin.once('close', () => process.exit(0));
process.stdin.resume();

function now(): number {
  return performance.timeOrigin + performance.now();
}

function sendSamples(response: ServerResponse): void {
  response.end(JSON.stringify({ overheads, arrivals, hanging }));
  overheads = [];
  arrivals = [];
  ended.clear();
}

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const at = now();
  const session = String(request.headers['x-capybara-session']);
  const turn = Number(request.headers['x-capybara-turn']);
  const before = ended.get(session);
  if (before === undefined) arrivals.push({ session, at });
  else overheads.push(at - before);

  const prompt = promptOf(await bodyOf(request));
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  if (prompt.includes('hang')) {
    hanging += 1;
    response.write(chunk({ content: 'Half an answer' }));
    return;
  }
  const seconds = Number(/stream=(\d+)/.exec(prompt)?.[1] ?? 0);
  for (let sent = 0; sent < seconds * 20; sent += 1) {
    response.write(chunk({ content: `t=${now().toFixed(1)};` }));
    await delay(50);
  }
  await delay(Number(/pace=(\d+)/.exec(prompt)?.[1] ?? 0));
  const turns = Number(/turns=(\d+)/.exec(prompt)?.[1]);
  const call = { index: 0, id: `call_${turn}`, type: 'function', function: callOf(turn, prompt) };
  const last = turn > turns;
  response.write(chunk(last ? { content: 'Done.' } : { tool_calls: [call] }));
  response.write(chunk({}, last ? 'stop' : 'tool_calls'));
  ended.set(session, now());
  response.end('data: [DONE]\n\n');
}

/** Another one each turn: the same over and over is a loop, and ends the task. */
function callOf(turn: number, prompt: string): { name: string; arguments: string } {
  return prompt.includes(' bash')
    ? { name: 'bash', arguments: JSON.stringify({ command: `echo ${turn} > turn` }) }
    : { name: 'noop', arguments: JSON.stringify({ turn }) };
}

function chunk(delta: object, finish: string | null = null): string {
  const usage =
    finish === null ? {} : { usage: { prompt_tokens: 100, completion_tokens: 10, total_tokens: 110 } };
  const body = { id: 'bench', object: 'chat.completion.chunk', created: 0, model: 'bench' };
  return `data: ${JSON.stringify({ ...body, choices: [{ index: 0, delta, finish_reason: finish }], ...usage })}\n\n`;
}

/** Found, not parsed: what the model does with a long conversation is no part of what is measured. */
function promptOf(body: Buffer): string {
  const at = body.lastIndexOf(PROMPT);
  return body.toString('utf8', at, at + PROMPT_BYTES);
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const part of request) chunks.push(part as Buffer);
  return Buffer.concat(chunks);
}
