/** The text of a PDF, read by a process of its own with limits: `pdf-child.ts`. */
import { spawn } from 'node:child_process';
import { extname } from 'node:path';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { FileError, type NamedFile, withRegularFile } from './text-file.ts';

export const PDF_LIMITS = {
  bytes: 32 * 1024 * 1024,
  /** Of one reading. */
  pages: 50,
  chars: 120_000,
  ms: 20_000,
  heapMib: 256,
  /** All that the process may write to, of which Node itself takes about 650. */
  dataMib: 1_024,
} as const;

export type PdfLimits = { readonly [name in keyof typeof PDF_LIMITS]: number };

/** What the child says. */
export type PdfAnswer =
  | { readonly total: number; readonly pages: readonly string[] }
  | { readonly error: string };

export interface PdfRange {
  /** Counted from 1. */
  readonly first: number;
  readonly count: number;
}

/** As many pages of the range as fit, and how many the file has. Throws `FileError`. */
export async function readPdf(
  file: NamedFile,
  range: PdfRange,
  { signal, limits = PDF_LIMITS }: { readonly signal: AbortSignal; readonly limits?: PdfLimits },
): Promise<{ readonly total: number; readonly pages: readonly string[] }> {
  return withRegularFile(file, async (handle, size) => {
    if (size > limits.bytes) {
      throw refused(file, `it has ${size} bytes, more than the ${limits.bytes} that are read`);
    }
    const answer = await ask(file, { fd: handle.fd, range, signal, limits });
    if ('error' in answer) throw refused(file, answer.error);
    return answer;
  });
}

interface Question {
  readonly fd: number;
  readonly range: PdfRange;
  readonly signal: AbortSignal;
  readonly limits: PdfLimits;
}

async function ask(file: NamedFile, { fd, range, signal, limits }: Question): Promise<PdfAnswer> {
  const count = Math.min(range.count, limits.pages);
  const child = spawn('/bin/sh', commandFor(limits, [range.first, count, limits.chars]), {
    env: {},
    stdio: [fd, 'pipe', 'ignore'],
  });
  let end = 'ended without an answer: it is damaged, or takes more memory than is allowed';
  const stop = (why: string) => {
    end = why;
    child.kill('SIGKILL');
  };
  child.once('error', (error) => stop(`cannot be started (${error.message})`));
  const timer = setTimeout(() => stop(`took more than ${limits.ms / 1000} s`), limits.ms);
  const onAbort = () => stop('was stopped');
  if (signal.aborted) onAbort();
  else signal.addEventListener('abort', onAbort, { once: true });
  try {
    const chunks: Buffer[] = [];
    for await (const chunk of child.stdout as Readable) chunks.push(chunk);
    return JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch {
    throw refused(file, `the program that reads it ${end}`);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
    child.kill('SIGKILL');
  }
}

/** The shell sets what Node cannot: processor time, for a child whose worker is gone; and memory that is not heap. */
function commandFor({ ms, heapMib, dataMib }: PdfLimits, numbers: readonly number[]): string[] {
  const script = fileURLToPath(new URL(`./pdf-child${extname(import.meta.url)}`, import.meta.url));
  const ulimits = `ulimit -c 0; ulimit -t ${Math.ceil(ms / 1000)}; ulimit -d ${dataMib * 1024}`;
  const node = ['--permission', '--allow-fs-read=*', '--no-warnings', `--max-old-space-size=${heapMib}`];
  const program = [process.execPath, ...node, script, ...numbers.map(String)];
  return ['-c', `${ulimits}; exec "$0" "$@"`, ...program];
}

function refused({ shown }: NamedFile, why: string): FileError {
  return new FileError(`'${shown}' is a PDF whose text cannot be read: ${why}.`);
}
