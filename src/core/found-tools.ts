/** Tools that are too many to be told of all at once: a model finds those that it needs, and is told of them from then on. */
import type { Entry } from './entry.ts';

export const FIND_TOOLS = 'find_tools';

/** A tool set may take so much of what a request may hold; of a larger one those are told that were found. */
export const TOOLS_SHARE = 0.1;
/** Of English and of JSON, about. */
const CHARACTERS_PER_TOKEN = 4;
/** Told of one in a list. */
const ABOUT_LENGTH = 300;
export const MOST_FOUND = 20;

interface NamedTool {
  readonly name: string;
  readonly description: string;
}

/** `tokens`: that a request may hold. */
export function areTooMany(tools: readonly object[], tokens: number): boolean {
  return JSON.stringify(tools).length / CHARACTERS_PER_TOKEN > TOOLS_SHARE * tokens;
}

/** The best first: whose name has a word of the query, or a part of it, before those of whose description it is said. */
export function findTools<Tool extends NamedTool>(tools: readonly Tool[], query: string): readonly Tool[] {
  const words = query.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
  const scored = tools.map((tool) => ({ tool, score: scoreOf(tool, words) }));
  const found = scored.filter(({ score }) => score > 0).sort((a, b) => b.score - a.score);
  return found.slice(0, MOST_FOUND).map(({ tool }) => tool);
}

function scoreOf({ name, description }: NamedTool, words: readonly string[]): number {
  const inName = new Set(name.toLowerCase().split(/[^\p{L}\p{N}]+/u));
  const [wholeName, text] = [name.toLowerCase(), description.toLowerCase()];
  const scores = words.map((word) => {
    if (inName.has(word)) return 8;
    if (wholeName.includes(word)) return 4;
    return text.includes(word) ? 1 : 0;
  });
  return scores.reduce<number>((sum, score) => sum + score, 0);
}

export function sayFound(found: readonly NamedTool[], total: number): string {
  if (found.length === 0)
    return `None of the ${total} tools fits. Ask with other words: what it does, or the server's name.`;
  const lines = found.map(({ name, description }) => `- ${name}: ${oneLine(description)}`);
  return `${lines.join('\n')}\nYou can call these from now on.`;
}

function oneLine(text: string): string {
  const line = text.replace(/\s+/g, ' ').trim();
  return line.length > ABOUT_LENGTH ? `${line.slice(0, ABOUT_LENGTH)}…` : line;
}

/** The names that were found in a log, as far as it still stands. */
export function foundNames(entries: readonly Entry[]): ReadonlySet<string> {
  const asked = new Set<string>();
  const found = new Set<string>();
  for (const entry of entries) {
    if (entry.kind === 'assistant') {
      for (const part of entry.parts)
        if (part.type === 'tool' && part.name === FIND_TOOLS) asked.add(part.callId);
    }
    if (entry.kind !== 'tool_result' || !asked.has(entry.callId)) continue;
    const text = entry.parts.map((part) => (part.type === 'text' ? part.text : '')).join('\n');
    for (const [, name = ''] of text.matchAll(/^- ([A-Za-z0-9_-]+): /gm)) found.add(name);
  }
  return found;
}
