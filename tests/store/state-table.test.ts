import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ROOT } from '../support/source-code.ts';
import { textBelow, transitionHeaders } from '../support/transitions.ts';

/** SQL functions that TypeScript calls: `db.transition('claim_turn', …)`, `db.rows(…)`, or by the schema's name. */
function publicFunctions(): string[] {
  const calls = textBelow('src', '.ts').matchAll(
    /\b(?:transition|rows)(?:<[^(]*>)?\(\s*'(\w+)'|\$\{schema\}\.(\w+)\(/g,
  );
  return [...new Set([...calls].map(([, called, named]) => called ?? named ?? ''))];
}

/** The table under `## States`, and that of what is beside the work: transition → what it says of it. */
function tableRows(): (readonly [name: string, change: string])[] {
  const page = readFileSync(join(ROOT, 'ARCHITECTURE.md'), 'utf8');
  const section = /^## States\n([\s\S]*?)(?=^## |$(?![\s\S]))/m.exec(page)?.[1] ?? '';
  const beside = readFileSync(join(ROOT, 'docs/transitions.md'), 'utf8');
  const rows = [...`${section}\n${beside}`.matchAll(/^\| `(\w+)` \| (.*?) \|$/gm)];
  return rows.map(([, name = '', change = '']) => [name, change.replaceAll('\\|', '|')] as const);
}

test('the tables list every transition once, with the states that its header names, and no other', () => {
  const all = transitionHeaders();
  const changing = publicFunctions().filter((name) => all.get(name)?.includes('→'));
  const rows = tableRows().toSorted(([a], [b]) => (a < b ? -1 : 1));
  expect(rows).toEqual(changing.sort().map((name) => [name, all.get(name)]));
});

test('what TypeScript calls and the table leaves out only reads', () => {
  const all = transitionHeaders();
  for (const name of publicFunctions()) {
    expect(all.has(name), `${name} has a header`).toBe(true);
    if (all.get(name)?.includes('→')) continue;
    const [body = ''] =
      new RegExp(`CREATE FUNCTION ${name}\\([\\s\\S]*?\\n(?:\\$\\$|END \\$\\$);`).exec(
        textBelow('src/store/transitions', '.sql'),
      ) ?? [];
    expect(body).toMatch(/SELECT/);
    expect(body).not.toMatch(/\b(INSERT|UPDATE|DELETE)\b/);
  }
});
