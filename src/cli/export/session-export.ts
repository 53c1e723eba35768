/** A session as a document: what was said, answered and done, for people to keep or to send. */
import { writeFile } from 'node:fs/promises';
import type { Entry, SessionDetails } from '../../api/wire.ts';
import type { Client } from '../../client/client.ts';
import { messageOf, UserError } from '../../core/errors.ts';
import { callSummary } from '../call-summary.ts';
import { jsonText } from '../json-text.ts';
import { htmlDocument } from './html.ts';
import { markdownDocument } from './markdown.ts';

export const FORMATS = ['md', 'json', 'html'] as const;
export type Format = (typeof FORMATS)[number];

const PAGE_SIZE = 200;

/** One item of a session's log, as every document shows it. */
export interface Section {
  readonly kind: 'said' | 'answered' | 'result' | 'notice';
  /** Who or what it is of: `Ana`, `Agent`, `bash npm test`. */
  readonly by: string;
  readonly at: string;
  readonly text: string;
  /** Of an answer: the calls that it asked for, a line each. */
  readonly calls: readonly string[];
  /** Of a result that is none: `failed`. */
  readonly status?: string;
  /** Files that came with it, by name. */
  readonly files: readonly string[];
}

export async function sessionDocument(client: Client, id: string, format: Format): Promise<string> {
  const session = await client.session(id);
  const entries = await entriesOf(client, id);
  if (format === 'json') return jsonText({ session, entries }, 2);
  const document = { session, sections: sectionsOf(entries) };
  return format === 'md' ? markdownDocument(document) : htmlDocument(document);
}

export interface SessionDocument {
  readonly session: SessionDetails;
  readonly sections: readonly Section[];
}

/** Throws `UserError` where it cannot be written, or would take the place of a file that is there. */
export async function writeDocument(
  file: string,
  text: string,
  { force }: { readonly force: boolean },
): Promise<void> {
  try {
    await writeFile(file, text, { mode: 0o600, flag: force ? 'w' : 'wx' });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') throw fileExists(file);
    throw new UserError('cannot_write', `The session cannot be written: ${messageOf(error)}.`, 1);
  }
}

export function fileExists(file: string): UserError {
  const message = `There is a file ${JSON.stringify(file)} already: name another, or add --force to write over it.`;
  return new UserError('file_exists', message);
}

export async function entriesOf(client: Client, id: string): Promise<Entry[]> {
  const found: Entry[] = [];
  let cursor: string | undefined;
  do {
    const page = await client.entries(id, { limit: PAGE_SIZE, cursor });
    found.push(...page.data);
    cursor = page.nextCursor ?? undefined;
  } while (cursor !== undefined);
  return found;
}

/** What the model alone is to know, its reasoning and what made the log shorter, is left out. */
function sectionsOf(entries: readonly Entry[]): Section[] {
  const calls = new Map<string, string>();
  const sections: Section[] = [];
  for (const entry of entries) {
    for (const part of entry.parts)
      if (part.type === 'tool') calls.set(part.callId, callSummary(part.name, part.arguments));
    const title = titleOf(entry, calls);
    if (title !== undefined) sections.push({ ...contentOf(entry), ...title });
  }
  return sections;
}

function contentOf({ at, parts }: Entry): Pick<Section, 'at' | 'text' | 'calls' | 'files'> {
  return {
    at,
    text: parts.flatMap((part) => (part.type === 'text' ? [part.text] : [])).join('\n\n'),
    calls: parts.flatMap((part) => (part.type === 'tool' ? [callSummary(part.name, part.arguments)] : [])),
    files: parts.flatMap((part) => (part.type === 'file' ? [part.name] : [])),
  };
}

/** `calls`: those before it, by the provider's ids. */
function titleOf(
  { kind, by, status, callId = '' }: Entry,
  calls: ReadonlyMap<string, string>,
): Pick<Section, 'kind' | 'by' | 'status'> | undefined {
  switch (kind) {
    case 'user':
      return { kind: 'said', by: by ?? 'User' };
    case 'assistant':
      return { kind: 'answered', by: 'Agent' };
    case 'tool_result': {
      const failed = status === undefined || status === 'succeeded' ? {} : { status };
      return { kind: 'result', by: calls.get(callId) ?? 'tool', ...failed };
    }
    case 'notice':
    case 'revert':
      return { kind: 'notice', by: 'Capybara' };
    case 'pruning':
    case 'compaction':
      return undefined;
  }
}
