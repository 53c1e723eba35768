/** Files that go with a message because it names them: `@shot.png`, or a path that was dropped on the terminal. */
import { statSync } from 'node:fs';
import { homedir } from 'node:os';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { CreateTask } from '../../api/wire.ts';
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

/** `pasted`: files that go too. Throws `UserError` where they are too many, or too large. */
export function attachedTo(
  text: string,
  cwd: string,
  pasted: readonly string[] = [],
): Pick<CreateTask, 'attachments'> {
  const files = [...filesNamedIn(text, cwd), ...pasted];
  return files.length === 0 ? {} : { attachments: readAttached(files, cwd, 'A message') };
}
