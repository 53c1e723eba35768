/** File tools while something else puts symbolic links into the paths that they were told. */
import {
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { BackgroundProcesses } from '../../src/sandbox/background.ts';
import type { LeasedSandbox } from '../../src/sandbox/sandbox.ts';
import { builtinTools } from '../../src/tools/builtin.ts';
import { createRegistry } from '../../src/tools/registry.ts';
import { openLocal } from '../../src/workspace/kinds.ts';
import { createSeenFiles } from '../../src/workspace/seen-files.ts';
import type { Workspace } from '../../src/workspace/workspace.ts';
import { bubblewrap, makePlace, openBubblewrap, type SandboxPlace } from '../support/bubblewrap.ts';

const SECRET = 'only the worker may read this';
const registry = createRegistry(builtinTools());
let place: SandboxPlace;
let outside: string;
let sandbox: LeasedSandbox;
let background: BackgroundProcesses;
let workspace: Workspace;

beforeEach(async () => {
  place = makePlace('local');
  outside = join(place.path, 'outside');
  for (const directory of [outside, join(place.workspace, 'd')]) mkdirSync(directory);
  writeFileSync(join(outside, 'file'), SECRET);
  writeFileSync(join(place.workspace, 'd', 'file'), 'harmless');
  sandbox = openBubblewrap();
  background = new BackgroundProcesses(sandbox);
  workspace = await openLocal({ id: 'w', path: place.workspace }, { dataDir: join(place.path, 'data') });
});
afterEach(async () => {
  await background.stop('task');
  await sandbox.close();
  rmSync(place.path, { recursive: true, force: true });
});

/** As if a background command had been quick: behind each look at a path, its directory becomes a link. */
function linkedAfterTheLook(): Workspace {
  const resolve = async (path: string) => {
    const real = await workspace.resolve(path);
    const directory = join(place.workspace, 'd');
    if (!lstatSync(directory).isSymbolicLink()) {
      renameSync(directory, join(place.workspace, 'was'));
      symlinkSync(outside, directory);
    }
    return real;
  };
  return { ...workspace, resolve };
}

function call(name: string, args: object, within = workspace) {
  const context = {
    ...{ workspace: within, sandbox, background, seen: createSeenFiles() },
    ...{ signal: new AbortController().signal, onOutput: () => {}, readOutput: async () => undefined },
  };
  return registry.execute(name, JSON.stringify(args), context);
}

const patch = (lines: readonly string[]) => ['*** Begin Patch', ...lines, '*** End Patch', ''].join('\n');

describe('a link that comes into a path behind the look at it', () => {
  it.each([
    ['read_file', { path: 'd/file' }],
    ['list_dir', { path: 'd' }],
    ['grep', { pattern: 'worker', path: 'd' }],
    ['glob', { pattern: '*', path: 'd' }],
    ['write_file', { path: 'd/file', content: 'mine' }],
    ['write_file', { path: 'd/new', content: 'mine' }],
    ['write_file', { path: 'd/deep/new', content: 'mine' }],
    ['edit_file', { path: 'd/file', old_string: SECRET, new_string: 'mine' }],
    ['apply_patch', { patch: patch(['*** Add File: d/new', '+mine']) }],
    ['apply_patch', { patch: patch(['*** Delete File: d/file']) }],
  ])('%s goes nowhere by it', async (name, args) => {
    const outcome = await call(name, args, linkedAfterTheLook());
    expect(outcome).toMatchObject({ isError: true });
    expect(outcome.text).not.toContain(SECRET);
    expect(readdirSync(outside)).toEqual(['file']);
    expect(readFileSync(join(outside, 'file'), 'utf8')).toBe(SECRET);
  });
});

describe.runIf(bubblewrap !== undefined)('a search while a background command runs', () => {
  it('is confined like the command, and finds the same', async () => {
    const calls = [
      ['grep', { pattern: 'harm|less' }],
      ['grep', { pattern: 'harm', files_only: true }],
      ['grep', { pattern: '(' }],
      ['grep', { pattern: 'nowhere' }],
      ['glob', { pattern: '**/file' }],
    ] as const;
    const outcomes = () => Promise.all(calls.map(([name, args]) => call(name, args)));
    const alone = await outcomes();
    const run = vi.spyOn(sandbox, 'run');
    await call('bash', { command: 'sleep 60', background: true });
    const beside = await outcomes();
    expect(beside).toEqual(alone);
    expect(run).toHaveBeenCalledTimes(1 + calls.length);
  });

  it('stops where it has enough', async () => {
    writeFileSync(join(place.workspace, 'long'), 'line\n'.repeat(5_000));
    await call('bash', { command: 'sleep 60', background: true });
    const { text } = await call('grep', { pattern: 'line' });
    expect(text.split('\n')).toHaveLength(1_001);
    expect(text).toContain('(cut at 1000 lines');
  });
});
