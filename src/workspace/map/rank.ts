/** Which files and definitions of a project matter most: those that others name, and what they name (PageRank over names). */
import type { Definition } from './definitions.ts';

export interface MappedFile {
  readonly path: string;
  readonly definitions: readonly Definition[];
  /** Names that stand in it, each once. */
  readonly names: readonly string[];
}

const DAMPING = 0.85;
const ROUNDS = 20;
/** A name that many files define says little of where it leads. */
const MOST_DEFINERS = 8;
/** Of how much more what the prompt names is looked at. */
const FOCUSED = 50;
/** Fewer readers begin with tests and examples: they name much, and little names them. */
const ASIDE = /(^|\/)(tests?|specs?|__tests__|examples?|vendor|third_party)\//i;
const ASIDE_SHARE = 0.2;
/** A name that is a word of a language as well, and stands in comments, says little. */
const TELLING = /.[A-Z_\d]/;
const WORD_SHARE = 0.1;

export interface Ranked {
  /** The most important first. */
  readonly files: readonly MappedFile[];
  /** In how many other files a name stands. */
  readonly uses: ReadonlyMap<string, number>;
}

/** `focus`: what the work is about, in a person's words. The same files and words give the same order. */
export function ranked(files: readonly MappedFile[], focus = ''): Ranked {
  const definers = definersOf(files, Number.POSITIVE_INFINITY);
  const outermost = definersOf(files, 0);
  const links = files.map((file, index) => linksOf(file, index, outermost));
  const start = startOf(files, focus);
  const ranks = pageRank(links, start);
  const order = files.map((file, index) => ({ file, rank: ranks[index] ?? 0 }));
  order.sort((a, b) => b.rank - a.rank || (a.file.path < b.file.path ? -1 : 1));
  return { files: order.map(({ file }) => file), uses: usesOf(files, definers) };
}

type Definers = ReadonlyMap<string, readonly number[]>;

/** `depth`: of definitions that count. A method's name is that of many, and seldom leads to its file. */
function definersOf(files: readonly MappedFile[], depth: number): Definers {
  const found = new Map<string, number[]>();
  for (const [index, { definitions }] of files.entries())
    for (const name of new Set(definitions.filter((each) => each.depth <= depth).map((each) => each.name))) {
      const known = found.get(name);
      if (known === undefined) found.set(name, [index]);
      else known.push(index);
    }
  return found;
}

type Links = ReadonlyMap<number, number>;

/** To the files that define what stands in it, each by how much. */
function linksOf({ names }: MappedFile, own: number, definers: Definers): Links {
  const links = new Map<number, number>();
  for (const name of names) {
    const targets = definers.get(name) ?? [];
    if (targets.length > MOST_DEFINERS || targets.includes(own)) continue;
    const weight = TELLING.test(name) ? 1 : WORD_SHARE;
    for (const target of targets) links.set(target, (links.get(target) ?? 0) + weight / targets.length);
  }
  return links;
}

function usesOf(files: readonly MappedFile[], definers: Definers): ReadonlyMap<string, number> {
  const uses = new Map<string, number>();
  for (const { names } of files)
    for (const name of names) if (definers.has(name)) uses.set(name, (uses.get(name) ?? 0) + 1);
  return uses;
}

/** Where a reader begins: anywhere, and sooner with what the words name. */
function startOf(files: readonly MappedFile[], focus: string): readonly number[] {
  const words = new Set(focus.match(/[\p{L}_][\p{L}\p{N}_./-]{2,}/gu) ?? []);
  const weights = files.map(({ path, definitions }) => {
    const base = path.slice(path.lastIndexOf('/') + 1);
    const isNamed = [path, base, base.replace(/\.[^.]*$/, '')].some((name) => words.has(name));
    const defines = definitions.some(({ name }) => TELLING.test(name) && words.has(name));
    const share = 1 + (isNamed ? FOCUSED : 0) + (defines ? FOCUSED : 0);
    return ASIDE.test(path) ? share * ASIDE_SHARE : share;
  });
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => weight / sum);
}

function pageRank(links: readonly Links[], start: readonly number[]): readonly number[] {
  const totals = links.map((each) => [...each.values()].reduce((sum, weight) => sum + weight, 0));
  let ranks = [...start];
  for (let round = 0; round < ROUNDS; round++) {
    const idle = ranks.reduce((sum, rank, index) => sum + (totals[index] === 0 ? rank : 0), 0);
    const next = start.map((share) => share * (1 - DAMPING + DAMPING * idle));
    for (const [index, each] of links.entries()) {
      const share = (DAMPING * (ranks[index] ?? 0)) / (totals[index] || 1);
      for (const [target, weight] of each) next[target] = (next[target] ?? 0) + share * weight;
    }
    ranks = next;
  }
  return ranks;
}
