/**
 * A bot for a chat: each channel has one session, a message is its next task, and what an agent asks is asked in the channel.
 *
 *   export CAPYBARA_URL=http://127.0.0.1:7070 CAPYBARA_API_KEY=capy_…       # with the scopes read, submit and approve
 *   REPLY_URL=https://chat.example/hook PORT=8080 STATE=bot.json node bot.ts
 *
 * The chat sends `POST /` with `{id, channel, text}`, and is sent `{channel, text}`: put your chat's own shapes, and its own proof of who
 * sends, in `heard` and `reply`. Who may write in a channel, may answer what is asked there. One of these bots runs at a time.
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { json } from 'node:stream/consumers';
import { type Approval, createClient, type Event, ProblemError } from 'capybara/client';

const { CAPYBARA_URL, CAPYBARA_API_KEY, REPLY_URL = '', PORT = '8080', STATE = 'bot.json' } = process.env;
const client = createClient({ url: CAPYBARA_URL ?? 'http://127.0.0.1:7070', apiKey: CAPYBARA_API_KEY });

interface Message {
  readonly id: string;
  readonly channel: string;
  readonly text: string;
}

/** By channel. `seq`: the last event that was dealt with. */
const channels: Record<string, { readonly sessionId: string; seq: number }> = readState();

function readState(): typeof channels {
  try {
    return JSON.parse(readFileSync(STATE, 'utf8'));
  } catch {
    return {};
  }
}

function keepState(): void {
  writeFileSync(`${STATE}.new`, JSON.stringify(channels));
  renameSync(`${STATE}.new`, STATE);
}

async function reply(channel: string, text: string): Promise<void> {
  const body = JSON.stringify({ channel, text });
  const headers = { 'content-type': 'application/json' };
  const response = await fetch(REPLY_URL, { method: 'POST', headers, body });
  if (!response.ok) throw new Error(`the chat answered ${response.status}`);
}

/** `yes`, `always`, `no`, or `no: use the staging database` answers what is asked in the channel; all else is a task. */
const ANSWER = /^(yes|always|no)(?:[,:]\s*(.+))?$/is;
const DECISIONS = { yes: 'allow', always: 'allow_always', no: 'deny' } as const;

async function heard(message: Message): Promise<void> {
  const [, word, why] = ANSWER.exec(message.text.trim()) ?? [];
  if (word === undefined) return submit(message);
  const asked = await openQuestion(message.channel);
  if (asked === undefined) return reply(message.channel, 'Nothing is asked here now.');
  const decision = DECISIONS[word.toLowerCase() as keyof typeof DECISIONS];
  await client.resolveApproval(asked.id, { decision, ...(why && { message: why }) });
}

/** Asked of the API each time: somebody may have answered elsewhere. */
async function openQuestion(channel: string): Promise<Approval | undefined> {
  const sessionId = channels[channel]?.sessionId;
  return sessionId === undefined ? undefined : (await client.approvals({ sessionId })).data[0];
}

/** A chat sends a message again where it had no answer: the message's id makes it one task all the same. */
async function submit({ id, channel, text }: Message): Promise<void> {
  const place = channels[channel];
  const task = { prompt: text, metadata: { channel }, ...(place && { sessionId: place.sessionId }) };
  const { sessionId } = await client.createTask(task, `chat-${id}`);
  if (place !== undefined) return;
  channels[channel] = { sessionId, seq: 0 };
  keepState();
  void follow(channel);
}

/**
 * Goes on, over restarts of either side, behind the last event that was dealt with. Where the chat takes no reply the process ends: who
 * starts it again, has the reply sent again.
 */
async function follow(channel: string): Promise<void> {
  const place = channels[channel];
  if (place === undefined) return;
  const types = ['approval.requested', 'task.succeeded', 'task.failed', 'task.cancelled'];
  const { signal } = stopped;
  for await (const frame of client.events(place.sessionId, { after: place.seq, types, signal })) {
    if (frame.kind !== 'event') continue;
    const text = await sayingOf(frame.event, place.sessionId);
    if (text !== undefined) await reply(channel, text);
    place.seq = frame.event.seq;
    keepState();
  }
}

/** What the channel is told of an event; `undefined`: nothing. */
async function sayingOf({ type, taskId = '', sessionId, data }: Event, root: string) {
  if (type === 'approval.requested') {
    const open = (await client.approvals({ sessionId: root })).data;
    const asked = open.find(({ id }) => id === data.approvalId);
    return asked && `May I? ${asked.tool} ${asked.arguments}\nAnswer yes, always, no, or no: and why.`;
  }
  // What was delegated ends too: its parent tells of it.
  if (sessionId !== root) return undefined;
  const { status, result, error } = await client.task(taskId);
  return result?.text ?? `The task has ${status}: ${error?.message ?? 'nobody said why'}`;
}

/** What is refused is told in the channel. The first message of one, sent again, has the key of a task without a session: it was heard. */
async function refused(error: unknown, channel: string): Promise<void> {
  if (!(error instanceof ProblemError)) throw error;
  if (error.code !== 'idempotency_conflict') await reply(channel, error.detail);
}

/** One after the other: two first messages of a channel would make two sessions. */
let dealt = Promise.resolve();

function deal(message: Message): Promise<void> {
  const dealing = dealt.then(() => heard(message)).catch((error: unknown) => refused(error, message.channel));
  dealt = dealing.catch(() => undefined);
  return dealing;
}

const stopped = new AbortController();
const server = createServer(async (request, response) => {
  try {
    await deal((await json(request)) as Message);
    response.writeHead(202).end();
  } catch (error) {
    process.stderr.write(`${String(error)}\n`);
    // The chat sends it again.
    response.writeHead(500).end();
  }
});
server.listen(Number(PORT), '127.0.0.1', () => {
  process.stderr.write(`Listening on ${JSON.stringify(server.address())}\n`);
});
process.once('SIGTERM', () => {
  stopped.abort();
  server.close();
});
for (const channel of Object.keys(channels)) void follow(channel);
