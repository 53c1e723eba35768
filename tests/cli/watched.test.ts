/** What a person who sits at a terminal sees of calls, and of how a task stands. */
import { stripVTControlCharacters } from 'node:util';
import { describe, expect, test } from 'vitest';
import type { Entry } from '../../src/api/wire.ts';
import { BRIEF_LINES, LIVE_LINES } from '../../src/cli/call-lines.ts';
import { editLines } from '../../src/cli/edit-lines.ts';
import { createLook } from '../../src/cli/look.ts';
import { Transcript } from '../../src/cli/render.ts';
import { Standing } from '../../src/cli/standing.ts';
import { createStyle } from '../../src/cli/terminal.ts';
import { widthOf } from '../../src/cli/text-width.ts';
import { WatchedCalls } from '../../src/cli/watched-calls.ts';
import { watchedShape } from '../../src/cli/watched-shape.ts';
import type { Frame } from '../../src/client/events.ts';
import { AT, assistant, aTask, event, SESSION_ID, TASK_ID, toolResult } from './scripted-api.ts';

const look = (columns = 40, isUnicode = true) =>
  createLook(createStyle({ isTty: true, noColor: true, isUnicode, columns: () => columns }), 'terminal');
const edit = (old_string: string, new_string: string) =>
  JSON.stringify({ path: 'a.ts', old_string, new_string });
const signed = (json: string) => editLines(json)?.map(({ sign, text }) => `${sign}${text}`);

describe('an edit', () => {
  test('is what went and what came, with what stays around it', () => {
    const old = 'a\nb\nc\nd\ne\nf\ng\nh\n';
    expect(signed(edit(old, old.replace('d', 'D')))).toEqual([...[' b', ' c', '-d', '+D', ' e', ' f']]);
    expect(signed(edit(old, `${old.replace('a\n', '')}i`))).toEqual([
      ...['-a', ' b', ' c', '@⋮', ' g', ' h', '+i'],
    ]);
    expect(signed(edit('x', ''))).toEqual(['-x']);
  });

  test('is taken from whatever its tool is given', () => {
    expect(signed('{"path":"a","content":"x\\n\\ny\\n"}')).toEqual(['+x', '+', '+y']);
    expect(
      signed(
        JSON.stringify({ input: '*** Begin Patch\n*** Update File: a\n@@ f\n-x\n+y\n z\n*** End Patch' }),
      ),
    ).toEqual(['@*** Update File: a', '@@@ f', '-x', '+y', ' z']);
    expect(signed(JSON.stringify({ patch: '--- a/x\n+++ b/x\n@@ -1 +1 @@\n-x\n+y\n' }))).toEqual([
      ...['@--- a/x', '@+++ b/x', '@@@ -1 +1 @@', '-x', '+y'],
    ]);
    const blocks = 'src/a.ts\n```\n<<<<<<< SEARCH\nx\n=======\ny\n>>>>>>> REPLACE\n```';
    expect(signed(JSON.stringify({ blocks }))).toEqual(['@src/a.ts', '-x', '+y']);
  });

  test.each(['{"command":"ls"}', '{"old', '7', 'null'])('is not %s', (json) => {
    expect(editLines(json)).toBeUndefined();
  });
});

function calls({ columns = 40, isOpen = false, isUnicode = true, clock = { ms: 0 } } = {}): WatchedCalls {
  return new WatchedCalls({ look: look(columns, isUnicode), isOpen, now: () => clock.ms });
}

const plain = (text: string) => stripVTControlCharacters(text);
const numbered = (count: number) => Array.from({ length: count }, (_, index) => `line ${index}`);

describe('calls', () => {
  test('stand below the text while they run, with the end of what they say, and are a line when they are over', () => {
    const clock = { ms: 0 };
    const shown = calls({ clock });
    expect(shown.requested('c1', 'bash', '{"command":"npm test"}')).toBe('');
    expect(shown.requested('c2', 'bash', '{"command":"ls"}')).toBe('');
    expect(shown.output('c1', `${numbered(8).join('\r\n')}\n\u001b[2J`)).toBe('');
    clock.ms = 72_000;
    expect(shown.lines(20).map(plain)).toEqual([
      '▶ bash npm test 1m12s',
      ...numbered(8)
        .slice(-LIVE_LINES)
        .map((line) => `  ${line}`),
    ]);
    expect(shown.lines(3).map(plain)).toEqual(['▶ bash npm test 1m12s']);
    expect(shown.completed('c1', { position: 3, status: 'succeeded', durationMs: 999 })).toBe(
      '✓ bash npm test\n',
    );
    expect(shown.lines(20).map(plain)).toEqual(['▶ bash ls']);
    expect(plain(shown.completed('c2', { position: 3, status: 'unknown', durationMs: 1_000 }))).toBe(
      '? bash ls (its outcome is unknown) 1s\n',
    );
    expect(shown.lines(20)).toEqual([]);
  });

  test('are told as far as the line goes, and why they failed behind that', () => {
    const json = JSON.stringify({ command: `echo ${'x'.repeat(200)}` });
    const wide = calls({ columns: 140 });
    wide.requested('c1', 'bash', json);
    const [line = ''] = wide.lines(20).map(plain);
    expect([widthOf(line), line.slice(-2)]).toEqual([140, 'x…']);
    const result = toolResult(3, 'c1', 'exit 3\nno');
    const failed =
      plain(wide.completed('c1', { position: 3, status: 'failed', result })).split('\n')[0] ?? '';
    expect([widthOf(failed), failed.slice(-11)]).toEqual([140, 'x… (exit 3)']);
  });

  test('keep the columns of what has tabs', () => {
    const shown = calls({ isOpen: true });
    shown.requested('c1', 'read_file', '{"path":"a"}');
    const result = toolResult(3, 'c1', '9\tnine\n10\tten');
    const lines = plain(shown.completed('c1', { position: 3, status: 'succeeded', result })).split('\n');
    expect(lines.slice(-3)).toEqual(['  9       nine', '  10      ten', '']);
  });

  test('that change files show a diff; of what failed, the last lines', () => {
    const shown = calls();
    shown.requested('c1', 'edit_file', edit('x\ty', 'z'));
    expect(shown.completed('c1', { position: 3, status: 'succeeded' })).toBe(
      '✓ edit_file a.ts\n  - x       y\n  + z\n',
    );
    shown.requested('c2', 'write_file', JSON.stringify({ path: 'b', content: numbered(30).join('\n') }));
    const written = shown.completed('c2', { position: 3, status: 'succeeded' }).split('\n');
    expect(written.slice(-3)).toEqual([
      `  + line ${BRIEF_LINES - 1}`,
      `  … ${30 - BRIEF_LINES} more lines`,
      '',
    ]);
    shown.requested('c3', 'bash', '{"command":"npm test"}');
    const result = toolResult(3, 'c3', `${numbered(30).join('\n')}\n(exit code 1)`);
    const failed = plain(shown.completed('c3', { position: 3, status: 'failed', result })).split('\n');
    expect(failed).toEqual([
      ...[
        '✗ bash npm test (exit 1)',
        ...numbered(30)
          .slice(-BRIEF_LINES + 1)
          .map((line) => `  ${line}`),
      ],
      ...['  (exit code 1)', ''],
    ]);
    shown.requested('c4', 'edit_file', edit('x', 'y'));
    expect(plain(shown.completed('c4', { position: 3, status: 'denied' }))).toBe(
      '✗ edit_file a.ts (denied)\n',
    );
  });

  test('are opened where a person asked for it', () => {
    const shown = calls({ isOpen: true });
    expect(shown.readsResults).toBe(true);
    shown.requested('c1', 'bash', '{"command":"ls"}');
    const result = toolResult(3, 'c1', 'a\nb\u001b[2J');
    expect(shown.completed('c1', { position: 3, status: 'succeeded', result })).toBe(
      '✓ bash ls\n  command │ ls\n  a\n  b\n',
    );
  });

  test('are opened afterwards, the last one first', () => {
    const shown = calls();
    expect([shown.canOpen, shown.openLast()]).toEqual([false, undefined]);
    for (const [index, command] of ['ls', 'pwd'].entries()) {
      shown.requested(command, 'bash', JSON.stringify({ command }));
      shown.completed(command, { status: 'succeeded', position: index });
    }
    const last = shown.openLast();
    expect(last?.position).toBe(1);
    expect(last?.show(toolResult(1, 'pwd', '/here'))).toBe('✓ bash pwd\n  command │ pwd\n  /here\n');
    expect(shown.openLast()?.position).toBe(0);
    expect(shown.canOpen).toBe(false);
  });

  test('are never wider than the terminal, whatever they hold', () => {
    const wide = '漢字🎉'.repeat(40);
    for (const isOpen of [false, true]) {
      const shown = calls({ columns: 24, isOpen });
      const lines: string[] = [];
      shown.requested('c1', wide, edit(wide, `${wide}x`));
      shown.output('c1', wide);
      lines.push(...shown.lines(20));
      lines.push(
        ...shown.completed('c1', { position: 3, status: 'succeeded', durationMs: 80_000 }).split('\n'),
      );
      shown.requested('c2', 'bash', JSON.stringify({ command: wide }));
      const result = toolResult(3, 'c2', `${wide}\n${wide}`);
      lines.push(
        ...shown.completed('c2', { position: 3, status: 'failed', result, durationMs: 80_000 }).split('\n'),
      );
      for (const line of lines) expect(widthOf(plain(line))).toBeLessThanOrEqual(24);
    }
  });
});

describe('a transcript on a screen', () => {
  const durable = (...args: Parameters<typeof event>): Frame => ({ kind: 'event', event: event(...args) });
  const delta = (
    offset: number,
    text: string,
    attemptId = 'a',
    channel: 'text' | 'reasoning' = 'text',
  ): Frame => ({
    kind: 'live',
    live: {
      ...{ type: 'message.delta', sessionId: SESSION_ID, taskId: TASK_ID, turn: 1 },
      data: { attemptId, channel, offset, text },
    },
  });

  test('keeps words apart from calls, and marks an answer that begins again', async () => {
    const entries: Entry[] = [assistant(2, 'I **run** it.', [['c1', 'bash', '{"command":"ls"}']])];
    const transcript = new Transcript({
      ...{ taskId: TASK_ID, style: look().style, shape: watchedShape(look(), false) },
      entryAt: async (position) => entries.find((entry) => entry.position === position),
    });
    let text = '';
    const shown: string[][] = [];
    const frames = [
      ...[delta(0, 'Hm.', 'a', 'reasoning'), delta(0, 'I **wo')],
      ...[{ kind: 'lost', reason: 'it broke' } as const, delta(0, 'I **r', 'b'), delta(5, 'un** it.', 'b')],
      ...[
        durable(2, 'message.completed', { position: 2 }),
        durable(3, 'tool.requested', { callId: 'c1', name: 'bash' }),
      ],
      durable(4, 'tool.completed', { callId: 'c1', status: 'succeeded', position: 3 }),
    ];
    for (const frame of frames) {
      text += await transcript.render(frame);
      shown.push([...transcript.lines(10)]);
    }
    expect(shown.map((lines) => lines.join('|'))).toEqual([
      ...['|Hm.', '|I **wo', '|I **wo', '|I **r', '|I run it.', '', '|▶ bash ls', ''],
    ]);
    expect(text.split('\n')).toEqual([
      ...['', 'Hm.', '', '… connection lost (it broke), trying again', '… connected again', '', 'I **wo', ''],
      ...['↻ the answer above was cut off; it begins again', '', 'I run it.', '', '✓ bash ls', ''],
    ]);
  });
});

describe('how a task stands', () => {
  function standing(isUnicode = true): Standing {
    return new Standing({ task: aTask(), look: look(80, isUnicode), now: () => Date.parse(AT) + 72_000 });
  }
  const used = { input: 12_340, output: 678, usd: '0.0213' };

  test('is a line: what it does, and what it has used with all below it', () => {
    const line = standing();
    expect(line.line(80)).toMatch(/^idle: queued +openai\/m · 0s$/);
    line.take(event(1, 'task.started', {}, 0), 'own');
    line.take(event(2, 'agent.state_changed', { state: 'thinking' }, 3), 'own');
    line.take(event(3, 'usage.recorded', used, 3), 'own');
    line.take({ ...event(4, 'usage.recorded', { ...used, usd: null }), sessionId: 'ses_child' }, 'below');
    line.take({ ...event(5, 'usage.recorded', used), sessionId: 'ses_else' }, 'other');
    expect(line.line(80)).toMatch(/^thinking +openai\/m · turn 3 · 24.7k in, 1.4k out · \$0\.0213 · 1m12s$/);
    expect(line.line(80)).toHaveLength(80);
    expect(line.line(50)).toMatch(/^thinking +24.7k in, 1.4k out · \$0\.0213 · 1m12s$/);
    expect(line.line(14)).toBe('thinking');
  });

  test('tells what it waits for, that nobody knows, and who answers now', () => {
    const line = standing(false);
    line.take(event(1, 'task.started'), 'own');
    line.take(event(2, 'agent.state_changed', { state: 'waiting' }), 'own');
    line.take(event(3, 'task.waiting', { on: 'approval' }), 'own');
    expect(line.line(80)).toMatch(/^waiting: an approval +openai\/m - turn 1 - 1m12s$/);
    line.lost();
    expect(line.line(80)).toMatch(/^no connection /);
    line.take(event(4, 'turn.retried', { fallback: 'b/\u001b[2Jtwo' }), 'own');
    expect(line.line(80)).toMatch(/^waiting: an approval +b\/two - turn 1/);
  });
});
