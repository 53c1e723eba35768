import { describe, expect, it } from 'vitest';
import { useProject } from './tools-harness.ts';

const { call, path, put } = useProject();
const bash = (command: string, more = {}) => call('bash', { command, ...more });

describe('bash', () => {
  it('gives the output of a command, run in the root', async () => {
    await put('here');
    expect(await bash('ls; pwd', { description: 'look around' })).toEqual({
      text: `here\n${path('.')}\n`,
      isError: false,
    });
    expect(await bash('true')).toEqual({ text: '(no output)', isError: false });
  });

  it('says the exit code where it is not 0, after the output', async () => {
    expect(await bash('echo bad >&2; exit 3')).toEqual({ text: 'bad\n(exit code 3)', isError: true });
    expect(await bash('printf x; false')).toEqual({ text: 'x\n(exit code 1)', isError: true });
    expect(await bash('false')).toEqual({ text: '(exit code 1)', isError: true });
  });

  it('says a time-out and a signal in words', async () => {
    const late = await bash('echo started; sleep 100', { timeout: 1 });
    expect(late.isError).toBe(true);
    expect(late.text).toMatch(
      /^started\n(Terminated\n)?\(timed out after 1 s and was killed, with all it started/,
    );
    expect(await bash('kill -KILL $$')).toEqual({
      text: '(the command was killed by signal SIGKILL)',
      isError: true,
    });
  });

  it('takes 1 to 600 seconds', async () => {
    for (const timeout of [0, 601, 1.5]) {
      expect((await bash('true', { timeout })).text).toContain('Error: InvalidArguments: ');
    }
    for (const timeout of [1, 600]) expect((await bash('true', { timeout })).isError).toBe(false);
    expect((await bash('')).text).toContain('command: Too small');
  });

  it('stops when it is cancelled, and hands on its output as it comes', async () => {
    const abort = new AbortController();
    let live = '';
    const onOutput = (text: string) => {
      live += text;
      if (live === 'up\n') abort.abort();
    };
    const outcome = await call('bash', { command: 'echo up; sleep 100' }, { signal: abort.signal, onOutput });
    expect(outcome.isError).toBe(true);
    expect(outcome.text).toContain('(the command was stopped before it ended');
    expect(live).toMatch(/^up\n/);
  });

  it('says how much output was dropped', async () => {
    const { text } = await bash('head -c 9000000 /dev/zero | tr "\\0" x');
    expect(text.slice(-60)).toMatch(/x\n\(611392 more bytes of output were dropped\)$/);
  });

  it('says what cannot be started', async () => {
    expect((await bash('echo \0')).text).toContain('Error: Error: The command contains a NUL character');
  });
});
