/** Files that go with a message because it names them: `@shot.png`, or a path that was dropped on the terminal. */
import { closeSync, openSync, readSync, realpathSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { CreateTask } from '../../api/wire.ts';
import { UserError } from '../../core/errors.ts';
import { mentionsIn } from '../../core/mentions.ts';
import { readAttached } from '../attached-files.ts';

/** What a model is shown as a picture or a document; any other file is for the agent to read. */
const SENT = /\.(png|jpe?g|gif|webp|pdf)$/i;
/** Of a terminal: quoted, or with its blanks escaped; or an address. */
const DROPPED =
  /(?<=^|\s)(?:'((?:\/|~\/|file:)[^'\n]+)'|"((?:\/|~\/|file:)[^"\n]+)"|((?:\/|~\/|file:\/\/)(?:\\.|[^\s\\])+))(?=$|\s)/g;

/** Absolute paths of files that are there, each once, in the order of the text. */
export function filesNamedIn(text: string, cwd: string): string[] {
  const mentioned = mentionsIn(text).map((readings) => readings.map(({ path }) => path));
  const dropped = [...text.matchAll(DROPPED)].map(([, one, two, bare]) => [
    one ?? two ?? bare?.replace(/\\(.)/g, '$1') ?? '',
  ]);
  // Some terminals escape nothing: then it is all of a line.
  const lines = text.split('\n').map((line) => [line.trim()]);
  const whole = lines.filter(([line = '']) => /^(?:\/|~\/|file:\/\/)/.test(line));
  const found = [...mentioned, ...dropped, ...whole].flatMap((readings) => {
    const paths = readings.map((path) => resolve(cwd, placeOf(path)));
    return paths.find((path) => SENT.test(path) && isFile(path)) ?? [];
  });
  return [...new Set(found)];
}

function placeOf(path: string): string {
  if (path.startsWith('file:')) return pathOfUrl(path);
  return path.replace(/^~(?=\/)/, homedir());
}

/** An address of another machine, or a wrong one, is left as it is: there is no such file. */
function pathOfUrl(url: string): string {
  try {
    return fileURLToPath(url);
  } catch {
    return url;
  }
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
}

/** Whoever wrote the directory made the links in it, and does not choose what of the person's files leaves this machine. */
function refuseLinkOut(path: string, cwd: string): void {
  if (!isWithin(path, resolve(cwd))) return;
  const target = realpathSync(path);
  if (!isWithin(target, realpathSync(cwd)))
    throw notSent(
      path,
      `leads by a link to ${target}, outside of this directory: name that file itself if it shall be sent`,
    );
}

function isWithin(path: string, directory: string): boolean {
  return path.startsWith(directory.endsWith(sep) ? directory : `${directory}${sep}`);
}

/** How the kinds begin that are sent, by their specifications: PDF, PNG, JPEG, GIF, WebP. */
const BEGINS = /^(?:%PDF-|\x89PNG\r\n|\xff\xd8\xff|GIF8[79]a|RIFF.{4}WEBP)/s;
const BEGINNING = 12;

function refuseOther(path: string): void {
  if (!BEGINS.test(beginningOf(path)))
    throw notSent(
      path,
      'is named like an image or a PDF and begins like neither: name one that is, or leave it out',
    );
}

function beginningOf(path: string): string {
  const file = openSync(path, 'r');
  try {
    const bytes = Buffer.alloc(BEGINNING);
    return bytes.toString('latin1', 0, readSync(file, bytes, 0, BEGINNING, 0));
  } finally {
    closeSync(file);
  }
}

function notSent(path: string, why: string): UserError {
  return new UserError('attachment_invalid', `${JSON.stringify(path)} ${why}.`);
}

/**
 * `pasted`: files that go too. Throws `UserError` where they are too many or too large, are no images or PDFs, or where a link leads out
 * of `cwd`.
 */
export function attachedTo(
  text: string,
  cwd: string,
  pasted: readonly string[] = [],
): Pick<CreateTask, 'attachments'> {
  const named = filesNamedIn(text, cwd);
  for (const path of named) {
    refuseLinkOut(path, cwd);
    refuseOther(path);
  }
  const files = [...named, ...pasted];
  return files.length === 0 ? {} : { attachments: readAttached(files, cwd, 'A message') };
}
