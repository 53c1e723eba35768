import { EditError } from './line-edit.ts';

/** What the model is told of an edit of several files. */
export interface FileEdits {
  readonly path: string;
  readonly done: 'created' | 'edited' | 'deleted' | 'moved';
  /** Where it was moved to. */
  readonly to?: string;
  /** Lines, counted from 1, where the hunks were. */
  readonly at: readonly number[];
  readonly notes: readonly string[];
}

const WORDS = { created: 'Created', edited: 'Edited', deleted: 'Deleted', moved: 'Moved' } as const;
const NAMED_LINES = 10;

export function describeEdits(edits: Iterable<FileEdits>): string {
  return [...edits].map(describe).join('\n');
}

function describe({ path, done, to, at, notes }: FileEdits): string {
  const target = to === undefined ? '' : ` to ${to}`;
  const named = at.slice(0, NAMED_LINES).join(', ');
  const more = at.length > NAMED_LINES ? ` and ${at.length - NAMED_LINES} more` : '';
  const where = at.length === 0 ? '' : `: at ${at.length === 1 ? 'line' : 'lines'} ${named}${more}`;
  const remarks = notes.length === 0 ? '' : ` (${notes.join('; ')})`;
  return `${WORDS[done]} ${path}${target}${where}${remarks}.`;
}

/** The files that edits name. Of edits that cannot be read none: they will not be made, and the tool says why. */
export function namedIn(read: () => readonly string[]): readonly string[] {
  try {
    return read();
  } catch (error) {
    if (error instanceof EditError) return [];
    throw error;
  }
}
