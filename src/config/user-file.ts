/** Changes the user's own `config.yaml`, and leaves what stands in it beside as it is: comments, order, other settings. */
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import type { Document } from 'yaml';
import { messageOf, UserError } from '../core/errors.ts';
import { withFileLock } from './file-lock.ts';
import { MAX_SETTINGS_BYTES, readYamlFile } from './files.ts';

type Path = readonly string[];

/** What a change may do with the settings. */
export interface Settings {
  has(path: Path): boolean;
  get(path: Path): unknown;
  set(path: Path, value: unknown): void;
  remove(path: Path): void;
}

const OWNER_ONLY = 0o600;
/** `servers`: a command line and an address hold keys too. */
const SECRETS = /^(apiKey|headers|servers|credentials|databaseUrl|databaseDirectUrl|redisUrl)$/;

/** How often a change begins again because somebody else was faster. */
const ATTEMPTS = 5;

/**
 * Reads, changes and writes it as a whole: who reads it sees the old one or the new one, and a change that somebody else made
 * meanwhile is not lost. With a key in it, it is its owner's alone. Throws `UserError` where it cannot be read, is no YAML, or cannot
 * be written. `check` sees the whole text that would be written, and throws what speaks against it.
 */
export function changeUserFile(
  file: string,
  change: (settings: Settings) => void,
  check: (text: string) => void = () => {},
): void {
  // A link stays one: people keep such files elsewhere.
  const target = existsSync(file) ? realpathSync(file) : file;
  const yaml = createRequire(import.meta.url)('yaml') as typeof import('yaml');
  withFileLock(target, () => changeLocked(file, target, { change, check, yaml }));
}

interface Change {
  readonly change: (settings: Settings) => void;
  readonly check: (text: string) => void;
  readonly yaml: typeof import('yaml');
}

/** An editor takes no lock: what it has written meanwhile is not lost either. */
function changeLocked(file: string, target: string, { change, check, yaml }: Change): void {
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    const before = textOf(target);
    const { text, mode } = changed(target, before, { change, yaml });
    if (Buffer.byteLength(text) > MAX_SETTINGS_BYTES) throw tooLarge(file);
    check(text);
    try {
      if (replace(target, { text, mode, before })) return;
    } catch (error) {
      throw notWritten(file, messageOf(error));
    }
  }
  throw notWritten(file, 'others change it all the time');
}

function changed(
  target: string,
  before: string | undefined,
  { change, yaml }: Pick<Change, 'change' | 'yaml'>,
): { readonly text: string; readonly mode: number } {
  // Says what is wrong with it in the words of every other command.
  readYamlFile(target);
  const document = yaml.parseDocument(before ?? '');
  change(settingsIn(document, yaml));
  const stats = statSync(target, { throwIfNoEntry: false });
  const mode = stats === undefined || holdsSecret(document, yaml) ? OWNER_ONLY : stats.mode & 0o777;
  return { text: document.toString({ lineWidth: 0 }), mode };
}

function textOf(target: string): string | undefined {
  return existsSync(target) ? readFileSync(target, 'utf8') : undefined;
}

function settingsIn(document: Document, yaml: typeof import('yaml')): Settings {
  return {
    has: (path) => document.hasIn(path),
    get: (path) => {
      const found = document.getIn(path);
      return yaml.isNode(found) ? found.toJS(document) : found;
    },
    set: (path, value) => {
      const there = document.getIn(path, true);
      // What stands beside it in its line stays.
      if (yaml.isScalar(there) && typeof value !== 'object') {
        there.value = value;
        return;
      }
      for (let length = 0; length < path.length; length += 1) makeMap(document, path.slice(0, length), yaml);
      document.setIn(path, document.createNode(value));
    },
    remove: (path) => {
      document.deleteIn(path);
      const parent = path.slice(0, -1);
      const left = document.getIn(parent);
      if (parent.length > 0 && yaml.isMap(left) && left.items.length === 0) document.deleteIn(parent);
    },
  };
}

/** `providers:` with nothing behind it is no map yet. */
function makeMap(document: Document, path: Path, yaml: typeof import('yaml')): void {
  if (yaml.isMap(path.length === 0 ? document.contents : document.getIn(path))) return;
  if (path.length === 0) document.contents = document.createNode({}) as typeof document.contents;
  else document.setIn(path, document.createNode({}));
}

function holdsSecret(document: Document, yaml: typeof import('yaml')): boolean {
  let found = false;
  yaml.visit(document, {
    Pair: (_, { key }) => {
      if (SECRETS.test(String(yaml.isScalar(key) ? key.value : key))) found = true;
    },
  });
  return found;
}

/** False where it is no longer what it was. */
function replace(
  target: string,
  {
    text,
    mode,
    before,
  }: { readonly text: string; readonly mode: number; readonly before: string | undefined },
): boolean {
  mkdirSync(dirname(target), { recursive: true, mode: 0o700 });
  const written = `${target}.${process.pid}.new`;
  try {
    const file = openSync(written, 'wx', mode);
    try {
      // All of it, or an error: a full disk takes a part of one write.
      writeFileSync(file, text);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    if (textOf(target) !== before) return false;
    renameSync(written, target);
    return true;
  } finally {
    rmSync(written, { force: true });
  }
}

function notWritten(file: string, why: string): UserError {
  return new UserError('config_not_written', `${file} cannot be written (${why}): nothing was changed.`, 1);
}

function tooLarge(file: string): UserError {
  return new UserError(
    'config_too_large',
    `${file} would have more than the ${MAX_SETTINGS_BYTES} bytes that it may have.`,
  );
}
