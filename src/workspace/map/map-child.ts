/**
 * A program: the map of a project, whose files it is told on its standard input, as JSON on its standard output. It runs alone
 * because what it parses is anybody's: whoever starts it sets the limits, and ends it where it takes too long. First it says what the
 * files are, by one hash; then, unless it was ended because that is known, the map.
 */
import { createHash } from 'node:crypto';
import { closeSync, constants, fstatSync, openSync, readFileSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Language, Parser } from 'web-tree-sitter';
import { holdFile, placeOf } from '../held-directories.ts';
import { definitionsIn } from './definitions.ts';
import { type Grammar, grammarOf } from './grammars.ts';
import { type MappedFile, ranked } from './rank.ts';
import { renderMap } from './render.ts';
import type { MapAnswer, MapQuestion } from './repo-map.ts';

/** Names of one file that are looked at. */
const MAX_NAMES = 2_000;

const question: MapQuestion = JSON.parse(readFileSync(0, 'utf8'));
const end = performance.now() + question.ms;
const languages = new Map<Grammar, Language>();

interface Source {
  readonly path: string;
  readonly grammar: Grammar;
  readonly text: string;
}

const sources = question.paths.flatMap(readSource);
say({ hash: hashOf(sources) });
await Parser.init();
const files = await mapped();
const { tokens, focus, shown } = question;
const { files: order, uses } = ranked(files, focus);
const wanted =
  shown === undefined ? order : order.filter(({ path }) => shown.some((each) => isBelow(path, each)));
say({ map: renderMap({ files: wanted, uses }, tokens), files: files.length, of: sources.length });

function say(answer: MapAnswer): void {
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}

function isBelow(path: string, directory: string): boolean {
  return directory === '.' || path === directory || path.startsWith(`${directory}/`);
}

/** None of what is no regular file, or too large; nor once half of the time is over. */
function readSource(path: string): Source[] {
  const grammar = grammarOf(path);
  if (grammar === undefined || performance.now() > end - question.ms / 2) return [];
  try {
    const text = textOf(path);
    return text === undefined ? [] : [{ path, grammar, text }];
  } catch {
    return [];
  }
}

function textOf(path: string): string | undefined {
  const { root, fileBytes } = question;
  const held = holdFile({ root, path: join(root, path) });
  let file: number | undefined;
  try {
    file = openSync(placeOf(held), constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
    const found = fstatSync(file);
    if (!found.isFile() || found.size > fileBytes) return undefined;
    const bytes = Buffer.alloc(found.size);
    const length = readSync(file, bytes, 0, found.size, 0);
    return bytes.includes(0) ? undefined : bytes.subarray(0, length).toString('utf8');
  } finally {
    if (file !== undefined) closeSync(file);
    held.directory.close();
  }
}

function hashOf(read: readonly Source[]): string {
  const hash = createHash('sha256');
  for (const { path, text } of read) hash.update(`${path}\0${Buffer.byteLength(text)}\0${text}`);
  return hash.digest('hex');
}

async function mapped(): Promise<MappedFile[]> {
  const parser = new Parser();
  const found: MappedFile[] = [];
  for (const source of sources) {
    if (performance.now() > end) break;
    const file = await mapFile(parser, source);
    if (file !== undefined) found.push(file);
  }
  return found;
}

async function mapFile(parser: Parser, { path, grammar, text }: Source): Promise<MappedFile | undefined> {
  parser.setLanguage(await languageOf(grammar));
  const stop = Math.min(end, performance.now() + question.fileMs);
  const tree = parser.parse(text, null, { progressCallback: () => performance.now() > stop });
  if (tree === null) {
    parser.reset();
    return undefined;
  }
  const definitions = definitionsIn(tree.rootNode, grammar);
  tree.delete();
  return { path, definitions, names: namesIn(text) };
}

async function languageOf(grammar: Grammar): Promise<Language> {
  const known = languages.get(grammar);
  if (known !== undefined) return known;
  const name = `@vscode/tree-sitter-wasm/wasm/tree-sitter-${grammar}.wasm`;
  const language = await Language.load(fileURLToPath(import.meta.resolve(name)));
  languages.set(grammar, language);
  return language;
}

function namesIn(text: string): string[] {
  const names = new Set<string>();
  for (const [name] of text.matchAll(/[A-Za-z_$][\w$]{2,79}/g)) {
    names.add(name);
    if (names.size >= MAX_NAMES) break;
  }
  return [...names];
}
