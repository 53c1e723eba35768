/**
 * The files that settings may stand in, read and located: `.env` and `config.yaml`. Knows nothing of which settings there
 * are. An error names file and line and never quotes the file, which may hold secrets.
 */
import { readFileSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { parseEnv } from 'node:util';
import type { Document, LineCounter, Node, Pair } from 'yaml';
import { messageOf, UserError } from '../core/errors.ts';
import { mapAt } from './maps.ts';

/** Largest settings file that is read, in bytes. */
export const MAX_SETTINGS_BYTES = 256 * 1024;

/** One scalar of a YAML file, or a list: where it stands in the map, its value, and its line (from 1). */
export interface FileSetting {
  readonly path: readonly string[];
  readonly value: unknown;
  readonly line: number;
}

/** The text of a settings file; `undefined` where there is none. Throws `UserError` where it cannot be read. */
function readSettingsText(file: string, skipsDirectory: boolean): string | undefined {
  const stats = statSync(file, { throwIfNoEntry: false });
  if (!stats || (skipsDirectory && stats.isDirectory())) return undefined;
  if (!stats.isFile()) {
    throw new UserError('config_unreadable', `${file} is not a file: expected a file with settings.`);
  }
  if (stats.size > MAX_SETTINGS_BYTES) {
    throw new UserError(
      'config_too_large',
      `${file} has ${stats.size} bytes: a file with settings may have ${MAX_SETTINGS_BYTES}.`,
    );
  }
  return readFileSync(file, 'utf8').replace(/^\uFEFF/, '');
}

function readText(file: string, { skipsDirectory = false } = {}): string | undefined {
  try {
    return readSettingsText(file, skipsDirectory);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (error instanceof UserError) throw error;
    if (code === 'ENOTDIR') return undefined;
    const reason = code === 'EACCES' ? 'this user may not read it' : messageOf(error);
    throw new UserError('config_unreadable', `The settings in ${file} cannot be read: ${reason}.`);
  }
}

/** The variables of a `.env` file; `undefined` where there is none. */
export function readEnvFile(file: string): Readonly<Record<string, string>> | undefined {
  // Some call a directory of theirs so: a Python environment.
  const text = readText(file, { skipsDirectory: true });
  if (text === undefined) return undefined;
  const wrong = malformedEnvLine(text);
  if (wrong !== undefined) {
    throw new UserError(
      'config_malformed',
      `${file}, line ${wrong.line}: ${wrong.found}; expected NAME=value, a comment (#) or an empty line.`,
    );
  }
  const variables: Record<string, string> = {};
  for (const [name, value] of Object.entries(parseEnv(text))) {
    if (value !== undefined) variables[name] = value;
  }
  return variables;
}

const ASSIGNMENT = /^[ \t]*(?:export[ \t]+)?[\w.-]+[ \t]*=[ \t]*/;

/** `parseEnv` skips what it cannot read; a person who mistyped a line wants to hear of it. */
function malformedEnvLine(text: string): { line: number; found: string } | undefined {
  let rest = text;
  for (let line = 1; rest !== ''; ) {
    const end = `${rest}\n`.indexOf('\n');
    const current = rest.slice(0, end);
    const assignment = ASSIGNMENT.exec(current)?.[0];
    if (assignment === undefined && !/^\s*(#|$)/.test(current)) {
      return { line, found: 'this is not a setting' };
    }
    const length = assignment === undefined ? end : valueEnd(rest, assignment.length, end);
    if (length === undefined) return { line, found: 'a quote is opened and never closed' };
    line += rest.slice(0, length).split('\n').length;
    rest = rest.slice(length + 1);
  }
  return undefined;
}

/** Where the line ends on which a value ends: a quoted value may span lines. `undefined`: its quote never closes. */
function valueEnd(text: string, start: number, lineEnd: number): number | undefined {
  const quote = text.charAt(start);
  if (!['"', "'", '`'].includes(quote)) return lineEnd;
  const close = text.indexOf(quote, start + 1);
  if (close < 0) return undefined;
  const end = text.indexOf('\n', close);
  return end < 0 ? text.length : end;
}

/** Every scalar of a YAML file; `undefined` where there is none. */
export function readYamlFile(file: string): readonly FileSetting[] | undefined {
  const text = readText(file);
  return text === undefined ? undefined : readYaml(file, text);
}

/** Every scalar of a text that is YAML. `file`: what it is called. */
export function readYaml(file: string, text: string): readonly FileSetting[] {
  // Loaded only where there is such a file: it costs a start 20 ms.
  const yaml = createRequire(import.meta.url)('yaml') as typeof import('yaml');
  const lines = new yaml.LineCounter();
  const document = yaml.parseDocument(text.replace(/^\uFEFF/, ''), {
    lineCounter: lines,
    prettyErrors: false,
  });
  const problem = document.errors[0];
  if (problem) {
    const { line, col } = lines.linePos(problem.pos[0]);
    const what = problem.code.toLowerCase().replaceAll('_', ' ');
    throw new UserError(
      'config_malformed',
      `${file}, line ${line}, column ${col}: not valid YAML (${what}).`,
    );
  }
  if (document.contents === null) return [];
  return flatten({ file, yaml, document, lines }, document.contents, []);
}

interface Reading {
  readonly file: string;
  readonly yaml: typeof import('yaml');
  readonly document: Document;
  readonly lines: LineCounter;
}

function flatten(reading: Reading, node: Node, path: readonly string[]): FileSetting[] {
  const { yaml, document, lines, file } = reading;
  const line = node.range ? lines.linePos(node.range[0]).line : 1;
  if (yaml.isAlias(node)) {
    throw new UserError(
      'config_malformed',
      `${file}, line ${line}: aliases (*name) are not read in settings.`,
    );
  }
  if (yaml.isMap(node)) {
    return node.items.flatMap((item) => flattenPair(reading, item as Pair<Node, Node | null>, path));
  }
  if (yaml.isSeq(node) && isInMap(path)) return [{ path, value: plainOf(reading, node), line }];
  const value: unknown = node.toJS(document);
  const isScalar = value === null || ['string', 'number', 'boolean'].includes(typeof value);
  if (path.length === 0 || !isScalar) {
    const name = path.length === 0 ? 'the file' : path.join('.');
    const expected = path.length === 0 ? 'a map of settings (name: value)' : 'a text, a number or true/false';
    const found = yaml.isSeq(node) ? 'a list' : 'something else';
    throw new UserError(
      'config_malformed',
      `${file}, line ${line}: ${name} is ${found}; expected ${expected}.`,
    );
  }
  return [{ path, value, line }];
}

function flattenPair(
  reading: Reading,
  pair: Pair<Node, Node | null>,
  path: readonly string[],
): FileSetting[] {
  const name = String(pair.key.toJS(reading.document));
  const next = [...path, name];
  if (pair.value) return flatten(reading, pair.value, next);
  const line = pair.key.range ? reading.lines.linePos(pair.key.range[0]).line : 1;
  return [{ path: next, value: null, line }];
}

/** In one of the maps whose names people choose, in which lists may stand. */
function isInMap(path: readonly string[]): boolean {
  return mapAt(path[0] === 'profiles' ? path.slice(2) : path) !== undefined;
}

function plainOf({ document, file, yaml, lines }: Reading, node: Node): unknown {
  yaml.visit(node, {
    Alias: (_, alias) => {
      const line = alias.range ? lines.linePos(alias.range[0]).line : 1;
      throw new UserError(
        'config_malformed',
        `${file}, line ${line}: aliases (*name) are not read in settings.`,
      );
    },
  });
  return node.toJS(document);
}
