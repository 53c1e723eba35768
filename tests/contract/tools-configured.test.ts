import { mkdtempSync, rmSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { createAgents } from '../../src/agents/agents.ts';
import { BackgroundProcesses } from '../../src/sandbox/background.ts';
import { createUnconfinedSandbox } from '../../src/sandbox/unconfined.ts';
import { builtinTools } from '../../src/tools/builtin.ts';
import { configuredTools } from '../../src/tools/configured.ts';
import { createRegistry } from '../../src/tools/registry.ts';
import type { ToolContext } from '../../src/tools/tool.ts';
import { openLocal } from '../../src/workspace/kinds.ts';
import { createSeenFiles } from '../../src/workspace/seen-files.ts';

const ON = { bash: { enabled: true, timeout: 30 }, filesystem: { enabled: true } };
const OFF = { enabled: false };

function namesOf(settings: Partial<typeof ON>): string[] {
  return configuredTools(builtinTools(), { ...ON, ...settings }).map(({ name }) => name);
}

describe('tools', () => {
  test('are all there where nothing is switched off', () => {
    expect(namesOf({})).toEqual(builtinTools().map(({ name }) => name));
  });

  test('of the shell, or for files, are not there where they are switched off', () => {
    const all = namesOf({});
    const withoutShell = namesOf({ bash: { ...OFF, timeout: 30 } });
    // A commit and a switch run hooks, which may stand in files that an agent writes.
    expect(withoutShell).toEqual(all.filter((name) => !/^bash|^vcs_(branch|commit|submit)$/.test(name)));
    const withoutFiles = namesOf({ filesystem: OFF });
    for (const name of ['read_file', 'write_file', 'edit_file', 'list_dir', 'glob', 'grep'])
      expect(withoutFiles).not.toContain(name);
    for (const name of ['vcs_status', 'vcs_diff', 'vcs_log', 'vcs_apply'])
      expect(withoutFiles).not.toContain(name);
    for (const name of ['bash', 'vcs_commit']) expect(withoutFiles).toContain(name);
  });

  test('that are switched off are shown to no agent', () => {
    const tools = createRegistry(configuredTools(builtinTools(), { ...ON, bash: { ...OFF, timeout: 30 } }));
    const profile = createAgents(tools).resolve({ model: 'a/b' });
    expect(profile.tools).toEqual(tools.tools.map(({ name }) => name));
    expect(profile.tools).not.toContain('bash');
    expect(tools.specs().map(({ name }) => name)).not.toContain('bash');
  });
});

describe('a command', () => {
  const base = mkdtempSync(join(tmpdir(), 'capybara-configured-'));
  const sandbox = createUnconfinedSandbox({ environment: process.env });
  afterAll(async () => {
    await sandbox.close();
    rmSync(base, { recursive: true });
  });

  test('may take as long as is set where its call says nothing, and its model is told so', async () => {
    const registry = createRegistry(
      configuredTools(builtinTools(), { ...ON, bash: { enabled: true, timeout: 1 } }),
    );
    const { parameters } = registry.specs().find(({ name }) => name === 'bash') ?? {};
    expect(JSON.stringify(parameters)).toContain('Seconds it may take; 1 where left out.');
    const project = join(base, 'project');
    await mkdir(project);
    const workspace = await openLocal({ id: 'w', path: project }, { dataDir: join(base, 'data') });
    const context: ToolContext = {
      ...{ workspace, sandbox, seen: createSeenFiles() },
      signal: new AbortController().signal,
      onOutput: () => {},
      readOutput: async () => undefined,
      background: new BackgroundProcesses(sandbox),
    };
    const run = (args: object) => registry.execute('bash', JSON.stringify(args), context);
    expect((await run({ command: 'sleep 100' })).text).toContain('timed out after 1 s');
    expect(await run({ command: 'sleep 1.2', timeout: 5 })).toMatchObject({ isError: false });
    expect((await run({ command: 'true', timeout: 601 })).text).toContain('InvalidArguments');
  });
});

describe('an agent', () => {
  const tools = createRegistry(builtinTools());

  test('that plans looks at version control, and changes nothing in it', () => {
    const { tools: names } = createAgents(tools).resolve({ model: 'a/b', agent: 'plan' });
    expect(names.filter((name) => name.startsWith('vcs_'))).toEqual(['vcs_diff', 'vcs_log', 'vcs_status']);
  });
  const rule = { decision: 'ask', tool: 'bash' } as const;

  test('has the rules that are for all and those for it, and those of the project by themselves', () => {
    const agents = createAgents(tools, {
      rules: [rule, { ...rule, agent: 'plan' }, { ...rule, agent: 'build' }],
    });
    expect(agents.resolve({ model: 'a/b' }).permissions).toEqual({ rules: [rule, rule] });
    const narrowed = agents.resolve({
      model: 'a/b',
      agent: 'plan',
      restrictions: [{ ...rule, agent: 'build' }, rule],
    });
    expect(narrowed.permissions).toEqual({ rules: [rule, rule], restrictions: [rule] });
  });

  test('has the paths and the time to answer that are set, and nothing where nothing is', () => {
    const agents = createAgents(tools, { allowedPaths: ['src'], approvalSeconds: 60 });
    expect(agents.resolve({ model: 'a/b' }).permissions).toEqual({
      allowedPaths: ['src'],
      approvalSeconds: 60,
    });
    expect(createAgents(tools).resolve({ model: 'a/b' })).not.toHaveProperty('permissions');
  });
});
