import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const ROOT = join(import.meta.dirname, '..', '..');
const SQL = join(ROOT, 'src', 'store', 'transitions');
const SRC = join(ROOT, 'src');

const read = (directory: string, ending: string) =>
  readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith(ending) && !name.includes('generated'))
    .map((name) => readFileSync(join(directory, name), 'utf8'))
    .join('\n');

/** SQL functions that TypeScript calls: `db.transition('claim_turn', …)`, `db.rows(…)`, or by the schema's name. */
function publicFunctions(): string[] {
  const calls = read(SRC, '.ts').matchAll(
    /\b(?:transition|rows)(?:<[^(]*>)?\(\s*'(\w+)'|\$\{schema\}\.(\w+)\(/g,
  );
  return [...new Set([...calls].map(([, called, named]) => called ?? named ?? ''))];
}

/**
 * From → to of each function, by its header: `-- claim_turn: turn `queued` → `running`, under a new attempt; …` up to the
 * first full stop or colon that ends a clause.
 */
function headers(): Map<string, string> {
  const found = new Map<string, string>();
  for (const [, name = '', text = ''] of read(SQL, '.sql').matchAll(
    /^-- (\w+): ((?:.*\n-- ?)*.*)\nCREATE FUNCTION \1\(/gm,
  )) {
    const sentence = text.replaceAll(/\n-- ?/g, ' ').split(/[.:](?:\s|$)/)[0] ?? '';
    found.set(name, sentence.trim());
  }
  return found;
}

/** The table under `## States`: transition → what it says of it. */
function tableRows(): Map<string, string> {
  const page = readFileSync(join(ROOT, 'ARCHITECTURE.md'), 'utf8');
  const section = /^## States\n([\s\S]*?)(?=^## |$(?![\s\S]))/m.exec(page)?.[1] ?? '';
  const rows = [...section.matchAll(/^\| `(\w+)` \| (.*?) \|$/gm)];
  return new Map(rows.map(([, name = '', change = '']) => [name, change.replaceAll('\\|', '|')]));
}

test('ARCHITECTURE.md lists every transition with the states that its header names, and no other', () => {
  const all = headers();
  const changing = publicFunctions().filter((name) => all.get(name)?.includes('→'));
  expect(Object.fromEntries(tableRows())).toEqual(
    Object.fromEntries(changing.sort().map((name) => [name, all.get(name)])),
  );
});

test('what TypeScript calls and the table leaves out only reads', () => {
  const all = headers();
  for (const name of publicFunctions()) {
    expect(all.has(name), `${name} has a header`).toBe(true);
    if (all.get(name)?.includes('→')) continue;
    const [body = ''] =
      new RegExp(`CREATE FUNCTION ${name}\\([\\s\\S]*?\\n(?:\\$\\$|END \\$\\$);`).exec(read(SQL, '.sql')) ??
      [];
    expect(body).toMatch(/SELECT/);
    expect(body).not.toMatch(/\b(INSERT|UPDATE|DELETE)\b/);
  }
});
