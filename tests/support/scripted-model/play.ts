import { randomBytes } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { setImmediate as flushed, setTimeout as sleep } from 'node:timers/promises';
import type { ScriptedRequest } from './request.ts';
import type { Action, ErrorOptions, ScriptedUsage, StopWord } from './step.ts';
import { WIRES } from './wires.ts';
import { errorBody, sendJson, type Writer } from './writer.ts';

export interface Stage {
  readonly request: ScriptedRequest;
  readonly response: ServerResponse;
  /** Aborted when the client has gone away. */
  readonly gone: AbortSignal;
  /** Settles when the server releases what hangs. */
  readonly released: () => Promise<unknown>;
}

type Outcome = 'answered' | 'failed' | 'cut' | 'abandoned';
type CallAction = Extract<Action, { type: 'call' }>;

/** Plays a step to its end and says how it ended. */
export async function play(actions: readonly Action[], stage: Stage): Promise<Outcome> {
  const exchange = { ...stage, usage: usageOf(actions, stage.request) };
  const writer = WIRES[stage.request.protocol].writer(exchange);
  let calls = 0;
  for (let at = 0; at < actions.length && !stage.gone.aborted; at += 1) {
    const group = callsFrom(actions, at);
    if (group.length > 0) {
      await playCalls(group, { writer, stage, first: calls });
      calls += group.length;
      at += group.length - 1;
      continue;
    }
    const end = await playOne(actions[at], writer, stage);
    if (end !== undefined) return end;
  }
  if (stage.gone.aborted) return 'abandoned';
  writer.finish(stopOf(actions));
  stage.response.end();
  return 'answered';
}

/** One action that is no call. Returns how the request ended, if this ended it. */
async function playOne(
  action: Action | undefined,
  writer: Writer,
  stage: Stage,
): Promise<Outcome | undefined> {
  switch (action?.type) {
    case 'say':
      return inPieces(action.text, (piece) => writer.text(piece), stage.gone);
    case 'think':
      await inPieces(action.text, (piece) => writer.reasoning(piece), stage.gone);
      writer.signature(action.signature);
      return undefined;
    case 'delay':
      await sleep(action.ms, undefined, { signal: stage.gone }).catch(ignoreGone);
      return undefined;
    case 'hang':
      await Promise.race([goneOf(stage.gone), stage.released(), ...untilOf(action)]);
      return undefined;
    case 'error':
      fail(action.status, action.options, { writer, stage });
      return 'failed';
    case 'cut':
      await flushed();
      stage.response.socket?.destroy();
      return 'cut';
    case 'raw':
      await action.handler(stage.response, stage.request);
      stage.response.end();
      return 'answered';
    default:
      return undefined;
  }
}

function untilOf({ until }: Extract<Action, { type: 'hang' }>): Promise<unknown>[] {
  return until === undefined ? [] : [until];
}

/** Only the client's going away ends a delay early. */
function ignoreGone(): void {}

async function goneOf(gone: AbortSignal): Promise<void> {
  if (gone.aborted) return;
  await new Promise<void>((resolve) => gone.addEventListener('abort', () => resolve(), { once: true }));
}

function fail(status: number, options: ErrorOptions, to: { writer: Writer; stage: Stage }): void {
  const { response, request } = to.stage;
  const message = options.message ?? `scripted error ${status}`;
  if (response.headersSent) {
    to.writer.fail(status, message);
    response.end();
    return;
  }
  const retryAfter: Record<string, string> =
    options.retryAfter === undefined ? {} : { 'retry-after': String(options.retryAfter) };
  const body = options.body ?? errorBody(request.protocol, status, message);
  sendJson(response, status, body, { ...retryAfter, ...options.headers });
}

/** Text of an answer goes out in pieces of this many characters, or in `MAX_PIECES` if that would be more. */
const PIECE = 8;
const MAX_PIECES = 200;

function piecesOf(text: string): string[] {
  const characters = Array.from(text);
  const size = Math.max(PIECE, Math.ceil(characters.length / MAX_PIECES));
  const count = Math.ceil(characters.length / size);
  return Array.from({ length: count }, (_, n) => characters.slice(n * size, (n + 1) * size).join(''));
}

async function inPieces(text: string, write: (piece: string) => void, gone: AbortSignal): Promise<undefined> {
  for (const piece of piecesOf(text)) {
    if (gone.aborted) return;
    write(piece);
    await flushed();
  }
}

function callsFrom(actions: readonly Action[], at: number): CallAction[] {
  const rest = actions.slice(at);
  const end = rest.findIndex((action) => action.type !== 'call');
  return rest.slice(0, end < 0 ? rest.length : end).filter((action) => action.type === 'call');
}

/** Parallel calls: all begin, then the pieces of their arguments take turns. */
async function playCalls(
  group: CallAction[],
  to: { writer: Writer; stage: Stage; first: number },
): Promise<void> {
  const prefix = WIRES[to.stage.request.protocol].callPrefix;
  group.forEach((action, n) => {
    to.writer.callStart(to.first + n, action.id ?? prefix + randomBytes(12).toString('hex'), action.name);
  });
  const pieces = group.map((action) => piecesOf(action.arguments));
  const rounds = Math.max(...pieces.map((list) => list.length));
  for (let round = 0; round < rounds && !to.stage.gone.aborted; round += 1) {
    pieces.forEach((list, n) => {
      const piece = list[round];
      if (piece !== undefined) to.writer.callDelta(to.first + n, piece);
    });
    await flushed();
  }
}

function stopOf(actions: readonly Action[]): StopWord {
  const told = actions.findLast((action) => action.type === 'stop');
  return told?.reason ?? (actions.some((action) => action.type === 'call') ? 'tool_calls' : 'stop');
}

/** A token is about four characters, as everyone estimates it; a script may say otherwise. */
const CHARACTERS_PER_TOKEN = 4;

function usageOf(actions: readonly Action[], request: ScriptedRequest): ScriptedUsage {
  const said = actions.map((action) => (action.type === 'say' || action.type === 'think' ? action.text : ''));
  const called = actions.map((action) => (action.type === 'call' ? action.name + action.arguments : ''));
  const thought = actions.map((action) => (action.type === 'think' ? action.text : ''));
  const told = actions.map((action) => (action.type === 'usage' ? action.usage : {}));
  return Object.assign(
    {
      input: tokensOf(JSON.stringify(WIRES[request.protocol].conversation(request.body))),
      output: tokensOf([...said, ...called].join('')),
      cached: 0,
      reasoning: tokensOf(thought.join('')),
    },
    ...told,
  );
}

function tokensOf(text: string): number {
  return Math.ceil(text.length / CHARACTERS_PER_TOKEN);
}
