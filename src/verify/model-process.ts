/**
 * The scripted model, a process of its own that no fault touches: it speaks Chat Completions and keeps what it was asked.
 * Says `ready URL`; `GET /requests` returns every `ModelRequestFact`.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { answerTo, planIn, type ScriptedAnswer } from './script.ts';
import type { ModelRequestFact } from './verdict.ts';

type Stream = Extract<ScriptedAnswer, { kind: 'stream' }>;

const requests: { -readonly [Name in keyof ModelRequestFact]: ModelRequestFact[Name] }[] = [];
const asked = new Map<string, number>();

const server = createServer((request, response) => {
  if (request.url === '/requests') return void response.end(JSON.stringify(requests));
  respond(request, response).catch(() => response.destroy());
});
server.listen(0, '127.0.0.1', () => {
  const { port } = server.address() as AddressInfo;
  process.stdout.write(`ready http://127.0.0.1:${port}\n`);
});
process.stdin.once('close', () => process.exit()).resume();

async function respond(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const fact: (typeof requests)[number] = {
    taskId: String(request.headers['x-capybara-task']),
    turn: Number(request.headers['x-capybara-turn']),
    at: Date.now(),
    end: 'broken off',
  };
  const number = requests.push(fact);
  const plan = planIn(await bodyOf(request));
  if (plan === undefined) throw new Error('a request without a plan');
  const turn = `${fact.taskId} ${fact.turn}`;
  const answer = answerTo(plan, { turn: fact.turn, asked: asked.get(turn) ?? 0 });
  asked.set(turn, (asked.get(turn) ?? 0) + 1);
  await delay(answer.afterMs);
  fact.end =
    answer.kind === 'status' ? refuse(response, answer.status) : await stream(response, answer, number);
}

function refuse(response: ServerResponse, status: 429 | 500): 'failed' {
  response.writeHead(status, {
    'content-type': 'application/json',
    ...(status === 429 && { 'retry-after': '1' }),
  });
  response.end(JSON.stringify({ error: { message: 'scripted', type: 'scripted' } }));
  return 'failed';
}

async function stream(
  response: ServerResponse,
  { text, betweenMs, calls, cut }: Stream,
  number: number,
): Promise<'answered' | 'failed' | 'broken off'> {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  for (const content of text) {
    if (response.destroyed) return 'broken off';
    response.write(chunk({ content }));
    if (betweenMs > 0) await delay(betweenMs);
  }
  if (cut) {
    response.destroy();
    return 'failed';
  }
  calls.forEach((call, index) => {
    // No two answers share a call id, so that a line in the sink names the answer that it came of.
    const id = `call_${number}_${index}`;
    const args = JSON.stringify({ ...call.arguments, ...('beforeMs' in call.arguments && { id }) });
    const tool = { index, id, type: 'function', function: { name: call.name, arguments: args } };
    response.write(chunk({ tool_calls: [tool] }));
  });
  if (response.destroyed) return 'broken off';
  response.write(chunk({}, calls.length > 0 ? 'tool_calls' : 'stop'));
  response.end('data: [DONE]\n\n');
  return 'answered';
}

function chunk(delta: object, finish: string | null = null): string {
  const usage =
    finish === null ? {} : { usage: { prompt_tokens: 100, completion_tokens: 10, total_tokens: 110 } };
  const body = { id: 'verify', object: 'chat.completion.chunk', created: 0, model: 'verify' };
  return `data: ${JSON.stringify({ ...body, choices: [{ index: 0, delta, finish_reason: finish }], ...usage })}\n\n`;
}

/** What people said: where plans are. */
async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const part of request) chunks.push(part as Buffer);
  const { messages } = JSON.parse(Buffer.concat(chunks).toString('utf8')) as {
    messages: { role: string; content: unknown }[];
  };
  return messages.flatMap(({ role, content }) => (role === 'user' ? [textOf(content)] : [])).join('\n');
}

function textOf(content: unknown): string {
  if (typeof content === 'string') return content;
  return (content as { text?: string }[]).map(({ text = '' }) => text).join('');
}
