/** `bash` in the background, and the tools for what it began. */
import { describe, expect, it, vi } from 'vitest';
import { createAgents } from '../../src/agents/agents.ts';
import { MAX_WAIT_SECONDS } from '../../src/tools/background-tools.ts';
import { builtinTools } from '../../src/tools/builtin.ts';
import { configuredTools } from '../../src/tools/configured.ts';
import { createRegistry } from '../../src/tools/registry.ts';
import { useProject } from './tools-harness.ts';

const { call, path, put, text, background } = useProject({ processes: 3, bufferBytes: 1_000 });
const bash = (command: string) => call('bash', { command, background: true });
const RUNS = '(bg_1 is still running)';

/** Polls until the text is there; all that was said until then. */
async function said(wanted: string, id = 'bg_1', before = ''): Promise<string> {
  let all = before;
  for (let tries = 0; !all.includes(wanted) && tries < 20; tries++)
    all += (await call('bash_poll', { id, wait: 1 })).text;
  expect(all).toContain(wanted);
  return all;
}

describe('a background command', () => {
  it('is named, with what it says at first, and polled for what comes', async () => {
    const begun = await bash('echo listening; until [ -e go ]; do sleep 0.02; done; echo served');
    const [process] = background().open;
    expect(begun.processes).toEqual({ started: [process?.known] });
    expect(process?.known).toMatchObject({ number: 1, command: expect.stringContaining('echo listening') });
    expect(await said('listening\n', 'bg_1', begun.text)).toContain(RUNS);
    await put('go');
    const rest = await said('(bg_1 has ended: exit code 0)');
    expect(rest.replaceAll(RUNS, '')).toMatch(/^served\n+\(bg_1 has ended/);
  });

  it('whose end was told is told as ended again, and counts no more', async () => {
    const begun = await bash('echo out; until [ -e go ]; do sleep 0.02; done; exit 4');
    await put('go');
    const process = background().find('bg_1');
    await vi.waitFor(() => expect(process.end).toBeDefined(), 10_000);
    const last = await call('bash_poll', { id: 'bg_1' });
    expect(last.text).toMatch(/\(bg_1 has ended: exit code 4\)$/);
    const id = begun.processes?.started?.[0]?.id;
    expect(last.processes).toEqual({ ended: [{ id, end: 'exit 4' }] });
    expect(await call('bash_poll', { id: 'bg_1' })).toEqual({ text: '(bg_1 has ended: exit code 4)' });
    expect(background().open).toEqual([]);
  });

  it('gets what is typed, and the end of its input', async () => {
    await bash('while read -r line; do echo "<$line>"; done; echo over');
    const typed = await call('bash_input', { id: 'bg_1', text: 'a b\n' });
    await said('<a b>\n', 'bg_1', typed.text);
    const end = await call('bash_input', { id: 'bg_1', text: 'c', end: true });
    await said('(bg_1 has ended: exit code 0)', 'bg_1', end.text);
    expect((await call('bash_input', { id: 'bg_1', text: 'd' })).text).toBe(
      'Error: BackgroundError: bg_1 has ended; nobody reads what is typed.',
    );
  });

  it('is killed with the rest of its output', async () => {
    const begun = await bash('trap "echo bye; exit 0" TERM; echo up; while :; do sleep 0.02; done');
    await said('up\n', 'bg_1', begun.text);
    const killed = await call('bash_kill', { id: 'bg_1' });
    expect(killed.text).toMatch(/\(bg_1 has ended: it was killed\)$/);
    expect(killed.processes?.ended).toEqual([expect.objectContaining({ end: 'kill' })]);
    expect((await call('bash_kill', { id: 'bg_1' })).text).toBe('(bg_1 has ended: it was killed)');
  });

  it('shows its newest output, and says what was dropped', async () => {
    const printed = async (width: number, id: string) => {
      const begun = await bash(`sleep 0.1; printf %${width}s x; sleep 100`);
      const all = await said('x', id, begun.text);
      return all.replaceAll(`(${id} is still running)`, '');
    };
    expect(await printed(1_000, 'bg_1')).toMatch(/^ {999}x\n$/);
    expect(await printed(1_001, 'bg_2')).toMatch(/^\(1 bytes of older output were dropped\)\n {999}x\n$/);
  });

  it('that nobody knows is an error that says which there are', async () => {
    expect(await call('bash_poll', { id: 'bg_1' })).toEqual({
      text: "Error: BackgroundError: There is no background command 'bg_1'; there are none.",
      isError: true,
    });
    await bash('sleep 100');
    for (const name of ['bash_poll', 'bash_kill', 'bash_input'])
      expect((await call(name, { id: '1' })).text).toContain("no background command '1'; there are bg_1.");
  });

  it('is refused where there are as many as may be', async () => {
    for (const _ of [1, 2, 3]) expect((await bash('sleep 100')).isError).toBeUndefined();
    expect((await bash('sleep 100')).text).toContain('a session may have 3. End one with bash_kill');
    await call('bash_kill', { id: 'bg_2' });
    expect((await bash('sleep 100')).text).toBe('(bg_4 is still running)');
  });

  it('works in the workspace, whatever its call may take', async () => {
    const command = 'sleep 1.5; pwd > where; echo done; sleep 100';
    await call('bash', { command, background: true, timeout: 1 });
    await said('done');
    expect(await text('where')).toBe(`${path('.')}\n`);
  });

  it('is waited for no longer than may be', async () => {
    await bash('sleep 100');
    for (const wait of [-1, MAX_WAIT_SECONDS + 1])
      expect((await call('bash_poll', { id: 'bg_1', wait })).text).toContain('InvalidArguments');
    const abort = new AbortController();
    const polled = call('bash_poll', { id: 'bg_1', wait: MAX_WAIT_SECONDS }, { signal: abort.signal });
    abort.abort();
    expect((await polled).text).toBe(RUNS);
  });
});

describe('the tools for background commands', () => {
  const names = (tools: readonly { name: string }[]) =>
    tools.map(({ name }) => name).filter((name) => name.startsWith('bash'));

  it('are there where bash is', () => {
    const filesystem = { enabled: true };
    const on = configuredTools(builtinTools(), { bash: { enabled: true, timeout: 30 }, filesystem });
    const off = configuredTools(builtinTools(), { bash: { enabled: false, timeout: 30 }, filesystem });
    expect(names(on)).toEqual(['bash', 'bash_poll', 'bash_input', 'bash_kill']);
    expect(names(off)).toEqual([]);
    const agents = createAgents(createRegistry(on));
    const shown = (agent: string) =>
      agents.resolve({ agent, model: 'a/b' }).tools.filter((name) => name.startsWith('bash'));
    expect(shown('build')).toEqual(['bash', 'bash_input', 'bash_kill', 'bash_poll']);
    expect(shown('plan')).toEqual([]);
  });
});
