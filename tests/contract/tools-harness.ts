import { mkdir, mkdtemp, readFile, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';
import { BackgroundProcesses } from '../../src/sandbox/background.ts';
import type { BackgroundLimits } from '../../src/sandbox/background-process.ts';
import type { LeasedSandbox } from '../../src/sandbox/sandbox.ts';
import { createUnconfinedSandbox } from '../../src/sandbox/unconfined.ts';
import { builtinTools } from '../../src/tools/builtin.ts';
import { createRegistry } from '../../src/tools/registry.ts';
import type { OutputPage, OutputRange, ToolOutcome } from '../../src/tools/tool.ts';
import { openLocal } from '../../src/workspace/kinds.ts';
import { createSeenFiles, type SeenFiles } from '../../src/workspace/seen-files.ts';
import type { Workspace } from '../../src/workspace/workspace.ts';

/** Outputs by the ids of their calls, as a worker would find them. */
export const storedOutputs = new Map<string, string>();

async function readOutput(callId: string, { offset, limit }: OutputRange): Promise<OutputPage | undefined> {
  const output = storedOutputs.get(callId);
  if (output === undefined) return undefined;
  return { text: output.slice(offset, offset + limit), more: output.length > offset + limit };
}

/** A project directory for each test, and the built-in tools over a real sandbox. */
export function useProject(limits: Partial<BackgroundLimits> = {}) {
  const registry = createRegistry(builtinTools());
  let sandbox: LeasedSandbox;
  let base = '';
  let workspace: Workspace;
  let seen: SeenFiles;
  let background: BackgroundProcesses;
  beforeAll(() => {
    sandbox = createUnconfinedSandbox({ environment: process.env });
  });
  afterAll(() => sandbox.close());
  beforeEach(async () => {
    seen = createSeenFiles();
    background = new BackgroundProcesses(sandbox, limits);
    base = await realpath(await mkdtemp(join(tmpdir(), 'capybara-tools-')));
    await mkdir(join(base, 'project'));
    workspace = await openLocal({ id: 'w', path: join(base, 'project') }, { dataDir: join(base, 'data') });
  });
  afterEach(async () => {
    await background.stop('task');
    await rm(base, { recursive: true, force: true });
  });

  return {
    base: () => base,
    background: () => background,
    path: (name: string) => join(workspace.root, name),
    /** Writes a file that the agent has not seen. */
    async put(name: string, content: string | Buffer = ''): Promise<void> {
      await mkdir(dirname(join(workspace.root, name)), { recursive: true });
      await writeFile(join(workspace.root, name), content);
      seen.note(join(workspace.root, name), undefined);
    },
    bytes: (name: string) => readFile(join(workspace.root, name)),
    text: (name: string) => readFile(join(workspace.root, name), 'utf8'),
    call(
      name: string,
      args: Record<string, unknown>,
      { signal = new AbortController().signal, onOutput = (_: string) => {} } = {},
    ): Promise<ToolOutcome> {
      const context = { workspace, sandbox, background, seen, signal, onOutput, readOutput };
      return registry.execute(name, JSON.stringify(args), context);
    },
  };
}
