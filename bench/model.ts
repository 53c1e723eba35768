/**
 * The bench's model: a process of its own that answers at once over Chat Completions and measures, on its own clock, how long
 * Capybara takes between the end of one answer and the next request of the same session.
 *
 * `POST /v1/chat/completions` answers with one call of `noop` until turn N of `turns=N` in the newest prompt, then in words; a
 * prompt that goes on with `bash` asks for a command that changes a file instead; with `pace=MS` it is answered that much later; with `hang`, with half an answer that never ends; with
 * `stream=SECONDS`, with the time in milliseconds (`t=1234.5;`), twenty times a second. To `delegates=N rounds=R turns=T` it answers R times with
 * N calls of `delegate_task`, each for an agent of T turns, and measures how long the request takes that follows the last answer of theirs.
 * `GET /samples` returns what was measured, and forgets it.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';

const PROMPT = 'turns=';
const DELEGATING_PROMPT = 'delegates=';
const PROMPT_BYTES = 100;

let overheads: number[] = [];
let arrivals: { session: string; at: number }[] = [];
let rounds: { session: string; turn: number; at: number; since: number }[] = [];
let hanging = 0;
const ended = new Map<string, number>();
/** By the session that delegated. */
const childEnded = new Map<string, number>();

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
  response.end(JSON.stringify({ overheads, arrivals, rounds, hanging }));
  overheads = [];
  arrivals = [];
  rounds = [];
  ended.clear();
}

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const at = now();
  const session = String(request.headers['x-capybara-session']);
  const turn = Number(request.headers['x-capybara-turn']);
  const before = ended.get(session);
  if (before === undefined) arrivals.push({ session, at });
  else overheads.push(at - before);
  const since = childEnded.get(session);
  if (since !== undefined) rounds.push({ session, turn, at, since });
  childEnded.delete(session);

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
  const calls = callsOf(turn, session, prompt);
  const last = calls.length === 0;
  response.write(chunk(last ? { content: 'Done.' } : { tool_calls: calls }));
  response.write(chunk({}, last ? 'stop' : 'tool_calls'));
  ended.set(session, now());
  const parent = last ? /of=(\S+)/.exec(prompt)?.[1] : undefined;
  if (parent !== undefined) childEnded.set(parent, now());
  response.end('data: [DONE]\n\n');
}

/** None: this is the last turn. Other ones each turn: the same over and over is a loop, and ends the task. */
function callsOf(turn: number, session: string, prompt: string): readonly object[] {
  const told = (name: string) => Number(new RegExp(`${name}=(\\d+)`).exec(prompt)?.[1]);
  const isDelegating = prompt.startsWith(DELEGATING_PROMPT);
  if (turn > told(isDelegating ? 'rounds' : 'turns')) return [];
  const asked = isDelegating
    ? Array.from({ length: told('delegates') }, (_, index) => ({
        name: 'delegate_task',
        arguments: {
          agent: 'build',
          prompt: `turns=${told('turns')} of=${session} ${turn}.${index}`,
          limits: { turns: told('turns') + 1 },
        },
      }))
    : [
        prompt.includes(' bash')
          ? { name: 'bash', arguments: { command: `echo ${turn} > turn` } }
          : { name: 'noop', arguments: { turn } },
      ];
  return asked.map((call, index) => ({
    ...{ index, id: `call_${turn}_${index}`, type: 'function' },
    function: { ...call, arguments: JSON.stringify(call.arguments) },
  }));
}

function chunk(delta: object, finish: string | null = null): string {
  const usage =
    finish === null ? {} : { usage: { prompt_tokens: 100, completion_tokens: 10, total_tokens: 110 } };
  const body = { id: 'bench', object: 'chat.completion.chunk', created: 0, model: 'bench' };
  return `data: ${JSON.stringify({ ...body, choices: [{ index: 0, delta, finish_reason: finish }], ...usage })}\n\n`;
}

/** Found, not parsed: what the model does with a long conversation is no part of what is measured. */
function promptOf(body: Buffer): string {
  // Who delegates has the prompts of the others in what it said.
  const own = body.indexOf(DELEGATING_PROMPT);
  const at = own === -1 ? body.lastIndexOf(PROMPT) : own;
  return body.toString('utf8', at, at + PROMPT_BYTES);
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const part of request) chunks.push(part as Buffer);
  return Buffer.concat(chunks);
}
