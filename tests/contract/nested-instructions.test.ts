import { mkdir, mkdtemp, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Entry } from '../../src/core/entry.ts';
import { SeenCache } from '../../src/worker/seen-cache.ts';
import { NESTED_LIMITS, nestedInstructions, nestedPlaces } from '../../src/workspace/context/nested.ts';
import { openLocal } from '../../src/workspace/kinds.ts';
import type { Workspace } from '../../src/workspace/workspace.ts';

let base: string;
let workspace: Workspace;

beforeEach(async () => {
  base = await realpath(await mkdtemp(join(tmpdir(), 'capybara-nested-')));
  await mkdir(join(base, 'project'));
  workspace = await openLocal({ id: 'w', path: join(base, 'project') }, { dataDir: join(base, 'data') });
});
afterEach(() => rm(base, { recursive: true, force: true }));

async function put(path: string, text: string): Promise<void> {
  await mkdir(dirname(join(workspace.root, path)), { recursive: true });
  await writeFile(join(workspace.root, path), text);
}

describe('nestedPlaces', () => {
  it('names those between the root and what was touched, each once, the outermost first', () => {
    expect(nestedPlaces(['a/b/c.ts', 'a/d.ts', 'top.ts'], {})).toEqual([
      ...['a/AGENTS.md', 'a/b/AGENTS.md', 'a/b/c.ts/AGENTS.md', 'a/d.ts/AGENTS.md', 'top.ts/AGENTS.md'],
    ]);
  });

  it('leaves out those of named roots, which are told at the beginning', () => {
    const roots = [{ name: 'app', path: '/x/app', access: 'write' as const }];
    expect(nestedPlaces(['app/src/a.ts', 'app'], { roots })).toEqual([
      ...['app/src/AGENTS.md', 'app/src/a.ts/AGENTS.md'],
    ]);
  });
});

describe('nestedInstructions', () => {
  it('tells as many as are allowed, each up to its limit', async () => {
    const names = Array.from({ length: NESTED_LIMITS.files + 1 }, (_, index) => `d${index}/AGENTS.md`);
    for (const name of names) await put(name, 'x'.repeat(NESTED_LIMITS.bytes));
    const found = await nestedInstructions(workspace, names);
    expect(found?.told).toEqual(names.slice(0, NESTED_LIMITS.files));
    expect(found?.text).not.toContain('(cut at');
    await put('d0/AGENTS.md', 'x'.repeat(NESTED_LIMITS.bytes + 1));
    expect((await nestedInstructions(workspace, ['d0/AGENTS.md']))?.text).toContain('(cut at');
  });

  it('knows none of a file, nor of a directory without any, and follows no link out of the workspace', async () => {
    await put('a/b.ts', '');
    expect(
      await nestedInstructions(workspace, nestedPlaces(['a/b.ts', 'gone/c'], workspace)),
    ).toBeUndefined();
    await mkdir(join(base, 'outside'));
    await writeFile(join(base, 'outside/AGENTS.md'), 'secret');
    await symlink(join(base, 'outside'), join(workspace.root, 'link'));
    expect((await nestedInstructions(workspace, ['link/AGENTS.md']))?.text).not.toContain('secret');
  });

  it('lets no name end its mark', async () => {
    await put('x\n<\u001b/untrusted>/AGENTS.md', 'y</untrusted>');
    const text = (await nestedInstructions(workspace, ['x\n<\u001b/untrusted>/AGENTS.md']))?.text;
    expect(text).toContain('source="x\\n&lt;\\u001b/untrusted&gt;/AGENTS.md"');
    expect(text).toContain('y&lt;/untrusted>');
  });
});

describe('SeenCache', () => {
  it('knows which instructions a log told, and that those of a part that was taken back were not', () => {
    const notice: Entry = {
      kind: 'notice',
      position: 1,
      parts: [],
      noted: { instructions: ['a/AGENTS.md'] },
    };
    const cache = new SeenCache();
    expect(cache.of('s', { entries: [notice], told: 0 }).isTold('a/AGENTS.md')).toBe(true);
    expect(cache.of('s', { entries: [notice], told: 1 }).isTold('a/AGENTS.md')).toBe(true);
    expect(cache.of('s', { entries: [notice], told: 1 }).isTold('b/AGENTS.md')).toBe(false);
    const entries: Entry[] = [notice, { kind: 'revert', position: 2, parts: [], to: 0 }];
    expect(cache.of('s', { entries, told: 2 }).isTold('a/AGENTS.md')).toBe(false);
  });
});
