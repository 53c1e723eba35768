import { visible } from '../file-tree.ts';
import type { Definition } from './definitions.ts';
import type { MappedFile, Ranked } from './rank.ts';

/** Fewer than code has: a map keeps within its budget whatever the tokenizer. */
const CHARS_PER_TOKEN = 3;
/** Definitions shown of one file, so that no file takes the whole map. */
export const MAX_SHOWN = 12;

/** As many files as fit into so many tokens, the most important first, each with what others name of it most. */
export function renderMap({ files, uses }: Ranked, tokens: number): string {
  let left = tokens * CHARS_PER_TOKEN;
  const blocks: string[] = [];
  for (const file of files) {
    if (file.definitions.length === 0) continue;
    const block = blockOf(file, uses);
    if (block.length + 1 > left) break;
    left -= block.length + 1;
    blocks.push(block);
  }
  return blocks.join('\n');
}

function blockOf({ path, definitions }: MappedFile, uses: Ranked['uses']): string {
  const shown = mostUsed(definitions, uses);
  const lines = definitions.filter((each) => shown.has(each)).map(lineOf);
  const rest = definitions.length - shown.size;
  return [visible(path), ...lines, ...(rest > 0 ? [`  … ${rest} more`] : [])].join('\n');
}

/** What is inside another counts less, since many classes have methods of one name, and stands below that. */
function mostUsed(definitions: readonly Definition[], uses: Ranked['uses']): ReadonlySet<Definition> {
  const weight = ({ name, depth }: Definition) => (uses.get(name) ?? 0) / (1 + 10 * depth);
  const shown = new Set<Definition>();
  for (const each of [...definitions].sort((a, b) => weight(b) - weight(a))) {
    const way = [each, ...around(each, definitions)].filter((one) => !shown.has(one));
    if (shown.size + way.length <= MAX_SHOWN) for (const one of way) shown.add(one);
  }
  return shown;
}

/** What a definition stands in. */
function around(inner: Definition, definitions: readonly Definition[]): readonly Definition[] {
  const found: Definition[] = [];
  let depth = inner.depth;
  for (let at = definitions.indexOf(inner) - 1; at >= 0 && depth > 0; at--) {
    const before = definitions[at];
    if (before === undefined || before.depth >= depth) continue;
    found.push(before);
    depth = before.depth;
  }
  return found;
}

function lineOf({ signature, documentation, depth }: Definition): string {
  const said = documentation === '' ? '' : ` — ${visible(documentation)}`;
  return `${'  '.repeat(depth + 1)}${visible(signature)}${said}`;
}
