/** Commands that may reach some hosts: what the model is offered, what is asked of a person, what is reached. */
import { rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseEgressHost } from '../../src/core/egress.ts';
import { judge } from '../../src/core/permission.ts';
import { createBubblewrapSandbox } from '../../src/sandbox/bubblewrap.ts';
import type { LeasedSandbox } from '../../src/sandbox/sandbox.ts';
import { builtinTools } from '../../src/tools/builtin.ts';
import { configuredTools } from '../../src/tools/configured.ts';
import { createRegistry } from '../../src/tools/registry.ts';
import type { ToolContext } from '../../src/tools/tool.ts';
import { bubblewrap, makePlace, type SandboxPlace } from '../support/bubblewrap.ts';

const hostsOf = (...texts: string[]) => texts.map((text) => parseEgressHost(text) ?? expect.unreachable());
const ON = { bash: { enabled: true, timeout: 30 }, filesystem: { enabled: true } };
const namesOf = (tools: readonly { readonly name: string }[]) => tools.map(({ name }) => name);

describe('bash_online', () => {
  it('is there where hosts are allowed, and names them; not without a shell', () => {
    expect(namesOf(builtinTools())).not.toContain('bash_online');
    const tools = builtinTools({ commands: { hosts: hostsOf('registry.npmjs.org', 'private:a.local:81') } });
    const online = tools.find(({ name }) => name === 'bash_online');
    expect(online?.description).toContain('registry.npmjs.org, private:a.local:81.');
    expect(namesOf(configuredTools(tools, { ...ON, bash: { enabled: false, timeout: 30 } }))).not.toContain(
      'bash_online',
    );
  });

  it('is external wherever it runs: asked about in mode safe, at most once', () => {
    const registry = createRegistry(builtinTools({ commands: { hosts: hostsOf('example.com') } }));
    expect([registry.effectOf('bash_online', true), registry.effectOf('bash', true)]).toEqual([
      'external',
      'workspace',
    ]);
    const parts = [{ kind: 'command', text: 'npm install', publishes: false }] as const;
    const call = { tool: 'bash_online', effect: 'external', parts, confined: true, managed: true } as const;
    expect(judge(call, 'safe')).toEqual({ decision: 'ask' });
    expect(judge(call, 'auto')).toEqual({ decision: 'allow' });
    expect(judge(call, 'plan').decision).toBe('deny');
    const rules = [{ decision: 'allow', tool: 'bash', pattern: 'npm *' }] as const;
    expect(judge(call, 'safe', { rules })).toEqual({ decision: 'ask' });
    const own = [{ decision: 'allow', tool: 'bash_online', pattern: 'npm *' }] as const;
    expect(judge(call, 'safe', { rules: own })).toEqual({ decision: 'allow' });
  });
});

describe.runIf(bubblewrap !== undefined)('bash_online, confined,', () => {
  let place: SandboxPlace;
  let sandbox: LeasedSandbox;
  let server: Server;
  let port: number;
  beforeAll(async () => {
    place = makePlace('strict');
    sandbox = createBubblewrapSandbox({
      environment: process.env,
      profile: 'strict',
      program: bubblewrap ?? '',
    });
    server = createServer((_, response) => response.end('hello\n'));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    port = (server.address() as AddressInfo).port;
  });
  afterAll(async () => {
    server.close();
    await sandbox.close();
    rmSync(place.path, { recursive: true, force: true });
  });

  it('reaches what it may, which bash does not', async () => {
    const { workspace: root, scratch } = place;
    const workspace = { id: 'w', kind: 'empty', root, shown: root, scratch, resolve: async () => root };
    const context = { workspace, sandbox, signal: new AbortController().signal, onOutput: () => {} };
    const hosts = hostsOf(`private:127.0.0.1:${port}`);
    const registry = createRegistry(configuredTools(builtinTools({ commands: { hosts } }), ON));
    const command = `exec 3<>/dev/tcp/127.0.0.1/3128; printf 'GET http://127.0.0.1:${port}/ HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3`;
    const run = (tool: string) =>
      registry.execute(tool, JSON.stringify({ command }), context as unknown as ToolContext);
    expect(await run('bash_online')).toMatchObject({
      isError: false,
      text: expect.stringContaining('hello\n'),
    });
    expect(await run('bash')).toMatchObject({
      isError: true,
      text: expect.stringContaining('Connection refused'),
    });
    const { text } = await registry.execute(
      'bash_online',
      JSON.stringify({ command: command.replaceAll(`${port}`, '1') }),
      context as unknown as ToolContext,
    );
    expect(text).toContain(
      `Commands here may not reach 127.0.0.1 at port 1; they may reach: private:127.0.0.1:${port}.`,
    );
  });
});
