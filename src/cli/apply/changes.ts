/** What a session changed, as the server hands it over: every file whole, as it was before and as it is after. */
import { CHANGES_MEDIA, Change, ChangesEnd } from '../../api/wire.ts';
import { UserError } from '../../core/errors.ts';
import { isMetadata } from '../../core/metadata-name.ts';

export interface FileVersion {
  readonly kind: 'file' | 'link' | 'directory';
  readonly isExecutable: boolean;
  /** Of a link where it points; of a directory nothing. */
  readonly content: Buffer;
}

export interface FileChange {
  /** From the directory; bytes, one character each (latin1), so that any name can be one. */
  readonly path: string;
  /** Where a file that moved was before. */
  readonly from?: string;
  /** Undefined: nothing was there. */
  readonly before?: FileVersion | undefined;
  /** Of an ignored file: another checkout need not have it. */
  readonly isFound?: true;
  /** Undefined: nothing is there any more. */
  readonly after?: FileVersion | undefined;
}

/** Throws `UserError` (`bad_answer`) where it is no whole stream of changes, or names what is no file of a project. */
export function readChanges(stream: Buffer): FileChange[] {
  const reader = new Reader(stream);
  const changes: FileChange[] = [];
  for (;;) {
    const line = reader.line();
    const end = ChangesEnd.safeParse(line);
    if (end.success && end.data.changes === changes.length && reader.isAtEnd) return changes;
    const change = Change.safeParse(line);
    if (!change.success) throw broken(`line ${changes.length + 1} says no file`);
    const { path, from, before, after, found } = change.data;
    changes.push({
      path: checked(path),
      ...(from !== undefined && { from: checked(from) }),
      before: reader.version(before),
      after: reader.version(after),
      ...(found && { isFound: true }),
    });
  }
}

class Reader {
  readonly #stream: Buffer;
  #at = 0;

  constructor(stream: Buffer) {
    this.#stream = stream;
  }

  get isAtEnd(): boolean {
    return this.#at === this.#stream.length;
  }

  line(): unknown {
    const end = this.#stream.indexOf(0x0a, this.#at);
    if (end < 0) throw broken('it ends too soon');
    const text = this.#stream.toString('utf8', this.#at, end);
    this.#at = end + 1;
    try {
      return JSON.parse(text);
    } catch {
      throw broken('a line is not JSON');
    }
  }

  version(head: Change['before']): FileVersion | undefined {
    if (head === null) return undefined;
    const content = this.#stream.subarray(this.#at, this.#at + head.size);
    if (content.length < head.size) throw broken('it ends too soon');
    this.#at += head.size;
    return { kind: KINDS[head.mode], isExecutable: head.mode === '100755', content };
  }
}

const KINDS = { '100644': 'file', '100755': 'file', '120000': 'link', '040000': 'directory' } as const;

/** A server has no say in what lies outside, nor in what version control keeps for itself. */
function checked(path: string): string {
  const names = path.split('/');
  // biome-ignore lint/suspicious/noControlCharactersInRegex: only NUL can be in no name
  const isPath = /^[^\u0000\u0100-\uffff]+$/.test(path);
  if (isPath && !names.some((name) => ['', '.', '..'].includes(name) || isMetadata(name))) return path;
  throw broken(`it names ${JSON.stringify(path.slice(0, 200))}`);
}

function broken(what: string): UserError {
  return new UserError(
    'bad_answer',
    `The changes that the server sent cannot be used (${what}): expected ${CHANGES_MEDIA}; update the older of the two and try again.`,
    3,
  );
}
