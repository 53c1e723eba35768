import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';
import { BackgroundProcesses } from '../../src/sandbox/background.ts';
import { createBubblewrapSandbox } from '../../src/sandbox/bubblewrap.ts';
import { installGitSetup } from '../../src/sandbox/git-setup.ts';
import type { LeasedSandbox } from '../../src/sandbox/sandbox.ts';
import { createUnconfinedSandbox } from '../../src/sandbox/unconfined.ts';
import { builtinTools } from '../../src/tools/builtin.ts';
import { createRegistry } from '../../src/tools/registry.ts';
import { openLocal } from '../../src/workspace/kinds.ts';
import { createSeenFiles } from '../../src/workspace/seen-files.ts';
import type { Workspace } from '../../src/workspace/workspace.ts';
import { bubblewrap, makePlace, type SandboxPlace } from '../support/bubblewrap.ts';

export const KINDS = ['unconfined', ...(bubblewrap === undefined ? [] : ['strict' as const])] as const;
export type Kind = (typeof KINDS)[number];

/** A workspace for each test, managed where it is confined, and the built-in tools over a real sandbox. */
export function useWorkspace(kind: Kind) {
  const registry = createRegistry(builtinTools());
  const profile = kind === 'strict' ? 'strict' : 'local';
  let home: SandboxPlace;
  let place: SandboxPlace;
  let sandbox: LeasedSandbox;
  let workspace: Workspace;

  beforeAll(() => {
    home = makePlace(profile);
    const environment = {
      PATH: process.env.PATH,
      HOME: home.workspace,
      USER: 'person',
      TMPDIR: home.workspace,
    };
    const shared = { environment, git: installGitSetup(join(home.path, 'git')) };
    sandbox =
      kind === 'unconfined'
        ? createUnconfinedSandbox(shared)
        : createBubblewrapSandbox({ ...shared, profile, program: bubblewrap ?? '' });
  });
  afterAll(async () => {
    await sandbox.close();
    rmSync(home.path, { recursive: true, force: true });
  });
  beforeEach(async () => {
    place = makePlace(profile);
    const local = await openLocal({ id: 'w', path: place.workspace }, { dataDir: join(place.path, 'data') });
    workspace = { ...local, kind: kind === 'strict' ? 'empty' : 'local', scratch: place.scratch };
    mkdirSync(place.scratch);
  });
  afterEach(() => rmSync(place.path, { recursive: true, force: true }));

  return {
    root: () => workspace.root,
    base: () => place.path,
    /** Has the workspace begin in a directory of its own below. */
    async enter(directory: string): Promise<void> {
      const local = await openLocal(
        { id: 'w', path: join(place.workspace, directory) },
        { dataDir: join(place.path, 'data') },
      );
      workspace = { ...local, kind: workspace.kind, scratch: place.scratch };
    },
    /** As a person would, who has no co-author: the output, and how it ended. */
    async shell(script: string, env: Record<string, string> = {}): Promise<string> {
      const command = {
        script,
        cwd: place.workspace,
        writable: [place.workspace],
        scratch: place.scratch,
        timeoutMs: 60_000,
      };
      const { output, end } = await sandbox.run(
        { ...command, env: { GIT_CONFIG_COUNT: '0', ...env } },
        new AbortController().signal,
      );
      if (end.type !== 'exit' || end.code !== 0)
        throw new Error(`${script}: ${output} ${JSON.stringify(end)}`);
      return output;
    },
    async call(name: string, args: Record<string, unknown> = {}, signal = new AbortController().signal) {
      const context = {
        ...{ workspace, sandbox, signal, seen: createSeenFiles() },
        onOutput: () => {},
        background: new BackgroundProcesses(sandbox),
        readOutput: async () => undefined,
      };
      return registry.execute(name, JSON.stringify(args), context);
    },
  };
}
