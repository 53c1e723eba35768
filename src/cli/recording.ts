/** Writes what a session's model answered, to be played again by a provider of kind replay. */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { access, constants, open, writeFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import type { Entry as WireEntry } from '../api/wire.ts';
import type { Client } from '../client/client.ts';
import type { Entry, Part, Pruned, Replaced, ResultPart, TextPart } from '../core/entry.ts';
import { messageOf, UserError } from '../core/errors.ts';
import { recordingOf } from '../core/recording.ts';
import { plural } from './tool-lines.ts';

const PAGE_SIZE = 200;

/** `1 answer`, `3 answers`. */
export function answersText(answers: number): string {
  return `${answers} ${plural(answers, 'answer')}`;
}

/** Before anything is paid for. Throws `UserError` where the file could not be written in the end. */
export async function checkWritable(file: string): Promise<void> {
  try {
    await access(dirname(resolve(file)), constants.W_OK);
    if (existsSync(file)) await (await open(file, 'r+')).close();
  } catch (error) {
    throw new UserError('cannot_write', `The recording could not be written: ${messageOf(error)}.`, 1);
  }
}

/** Returns how many answers it holds. Throws `UserError` where the file cannot be written. */
export async function writeRecording(client: Client, sessionId: string, file: string): Promise<number> {
  const recording = recordingOf((await entriesOf(client, sessionId)).map(entryOf), (text) =>
    createHash('sha256').update(text).digest('hex'),
  );
  try {
    await writeFile(file, `${JSON.stringify(recording, null, 1)}\n`, { mode: 0o600 });
  } catch (error) {
    throw new UserError('cannot_write', `The recording cannot be written: ${messageOf(error)}.`, 1);
  }
  return recording.turns.length;
}

async function entriesOf(client: Client, sessionId: string): Promise<WireEntry[]> {
  const found: WireEntry[] = [];
  let cursor: string | undefined;
  do {
    const page = await client.entries(sessionId, { limit: PAGE_SIZE, cursor });
    found.push(...page.data);
    cursor = page.nextCursor ?? undefined;
  } while (cursor !== undefined);
  return found;
}

function entryOf(entry: WireEntry): Entry {
  const { position } = entry;
  const parts = entry.parts as unknown;
  switch (entry.kind) {
    case 'assistant':
      return { kind: 'assistant', position, parts: parts as Part[], stopReason: entry.stopReason ?? 'stop' };
    case 'tool_result':
      return {
        ...{ kind: 'tool_result', position, parts: parts as ResultPart[] },
        ...{ callId: entry.callId ?? '', status: entry.status ?? 'succeeded' },
      };
    case 'revert':
      return { kind: 'revert', position, parts: parts as TextPart[], to: entry.to ?? 0 };
    case 'user':
      return { kind: 'user', position, parts: parts as TextPart[] };
    case 'notice':
      return { kind: 'notice', position, parts: parts as ResultPart[] };
    case 'pruning':
      return { kind: 'pruning', position, parts: parts as TextPart[], replaces: entry.replaces as Pruned };
    case 'compaction':
      return {
        kind: 'compaction',
        position,
        parts: parts as TextPart[],
        replaces: entry.replaces as Replaced,
      };
  }
}
