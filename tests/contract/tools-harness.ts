import { mkdir, mkdtemp, readFile, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';
import type { LeasedSandbox } from '../../src/sandbox/sandbox.ts';
import { createUnconfinedSandbox } from '../../src/sandbox/unconfined.ts';
import { builtinTools } from '../../src/tools/builtin.ts';
import { createRegistry } from '../../src/tools/registry.ts';
import type { ToolOutcome } from '../../src/tools/tool.ts';
import { openWorkspace } from '../../src/workspace/kinds.ts';
import type { Workspace } from '../../src/workspace/workspace.ts';

/** A project directory for each test, and the built-in tools over a real sandbox. */
export function useProject() {
  const registry = createRegistry(builtinTools());
  let sandbox: LeasedSandbox;
  let base = '';
  let workspace: Workspace;
  beforeAll(() => {
    sandbox = createUnconfinedSandbox({ environment: process.env });
  });
  afterAll(() => sandbox.close());
  beforeEach(async () => {
    base = await realpath(await mkdtemp(join(tmpdir(), 'capybara-tools-')));
    await mkdir(join(base, 'project'));
    workspace = await openWorkspace(
      { id: 'w', kind: 'local', path: join(base, 'project') },
      { dataDir: join(base, 'data') },
    );
  });
  afterEach(() => rm(base, { recursive: true, force: true }));

  return {
    base: () => base,
    path: (name: string) => join(workspace.root, name),
    async put(name: string, content: string | Buffer = ''): Promise<void> {
      await mkdir(dirname(join(workspace.root, name)), { recursive: true });
      await writeFile(join(workspace.root, name), content);
    },
    bytes: (name: string) => readFile(join(workspace.root, name)),
    text: (name: string) => readFile(join(workspace.root, name), 'utf8'),
    call(
      name: string,
      args: Record<string, unknown>,
      { signal = new AbortController().signal, onOutput = (_: string) => {} } = {},
    ): Promise<ToolOutcome> {
      return registry.execute(name, JSON.stringify(args), { workspace, sandbox, signal, onOutput });
    },
  };
}
