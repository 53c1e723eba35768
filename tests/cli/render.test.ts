import { describe, expect, test } from 'vitest';
import type { Entry } from '../../src/api/wire.ts';
import { Transcript } from '../../src/cli/render.ts';
import { createStyle } from '../../src/cli/terminal.ts';
import { MAX_OUTPUT_COLUMNS, MAX_OUTPUT_LINES } from '../../src/cli/tool-lines.ts';
import type { Delta, Frame } from '../../src/client/events.ts';
import { assistant, event, SESSION_ID, TASK_ID, toolResult } from './scripted-api.ts';

const PIPED = { isTty: false, noColor: false };
const WATCHED = { isTty: true, noColor: true };

async function rendered(frames: Frame[], entries: Entry[] = [], style = WATCHED): Promise<string> {
  const transcript = new Transcript({
    taskId: TASK_ID,
    style: createStyle(style),
    entryAt: async (position) => entries.find((entry) => entry.position === position),
  });
  let text = '';
  for (const frame of frames) text += await transcript.render(frame);
  return text;
}

function durable(...args: Parameters<typeof event>): Frame {
  return { kind: 'event', event: event(...args) };
}

type Live = Extract<Frame, { kind: 'live' }>;

function delta(offset: number, text: string, change: Partial<Delta['data']> = {}, turn = 1): Live {
  const data = { attemptId: 'a', channel: 'text' as const, offset, text, ...change };
  return {
    kind: 'live',
    live: { type: 'message.delta', sessionId: SESSION_ID, taskId: TASK_ID, turn, data },
  };
}

function output(callId: string, text: string): Frame {
  const data = { callId, text };
  return {
    kind: 'live',
    live: { type: 'tool.output', sessionId: SESSION_ID, taskId: TASK_ID, turn: 1, data },
  };
}

const completed = durable(2, 'message.completed', { position: 2 });
const bash = assistant(2, 'I run it.', [['c1', 'bash', '{"command":"npm test","timeout":30}']]);
const requested = durable(3, 'tool.requested', { callId: 'c1', ordinal: 0, name: 'bash' });
const toolDone = durable(5, 'tool.completed', {
  callId: 'c1',
  status: 'succeeded',
  position: 3,
  durationMs: 4,
});

describe('an answer', () => {
  test('is printed as it streams, and once', async () => {
    const frames = [delta(0, 'I run'), delta(5, ' it.'), completed];
    expect(await rendered(frames, [assistant(2, 'I run it.')])).toBe('I run it.\n');
  });

  test('tells which MCP servers were away, and nothing else that the model alone was told', async () => {
    const notice = (position: number, text: string): Entry => ({
      ...assistant(position, text),
      kind: 'notice',
    });
    const away = notice(2, "MCP servers: 'a' cannot be used now, and the tools are missing.");
    const entries = [away, notice(3, 'The project has 3 files.'), assistant(4, 'Done.')];
    expect(await rendered([durable(2, 'message.completed', { position: 4 })], entries)).toBe(
      "Done.\n… MCP servers: 'a' cannot be used now, and the tools are missing.\n",
    );
  });

  test('comes from the log where nothing streamed', async () => {
    expect(await rendered([completed], [assistant(2, 'I run it.')])).toBe('I run it.\n');
  });

  test('is completed from the log where pieces were lost', async () => {
    const frames = [delta(0, 'I '), delta(5, ' it'), completed];
    expect(await rendered(frames, [assistant(2, 'I run it.')])).toBe('I run it.\n');
  });

  test('goes on where a tail that joins late gets the text so far again', async () => {
    const frames = [delta(0, 'I run'), delta(0, 'I run it'), delta(8, '.'), completed];
    expect(await rendered(frames, [assistant(2, 'I run it.')])).toBe('I run it.\n');
  });

  test('that another attempt begins again is marked, and late pieces of the first are dropped', async () => {
    const again = { attemptId: 'b' };
    const frames = [
      delta(0, 'I wou'),
      delta(0, 'I r', again),
      delta(5, 'ld'),
      delta(3, 'un.', again),
      completed,
    ];
    expect(await rendered(frames, [assistant(2, 'I run.')])).toBe(
      'I wou\n↻ the answer above was cut off; it begins again\nI run.\n',
    );
  });

  test('that turns out otherwise than it streamed is marked', async () => {
    expect(await rendered([delta(0, 'I wou'), completed], [assistant(2, 'I run.')])).toBe(
      'I wou\n↻ the answer above was cut off; it begins again\nI run.\n',
    );
  });

  test('gets no late pieces, and the next turn starts anew', async () => {
    const next = { attemptId: 'b' };
    const frames = [delta(0, 'One.'), completed, delta(4, '!'), delta(0, 'Two', next, 2)];
    expect(await rendered(frames, [assistant(2, 'One.')])).toBe('One.\nTwo');
  });

  test('does not break a surrogate pair that two pieces share', async () => {
    const frames = [delta(0, 'a\ud83d'), delta(2, '\ude00b'), completed];
    expect(await rendered(frames, [assistant(2, 'a😀b')])).toBe('a😀b\n');
  });

  test('shows its reasoning only to who watches', async () => {
    const frames = [delta(0, 'Hm. ', { channel: 'reasoning' }), delta(0, 'Yes.'), completed];
    expect(await rendered(frames, [assistant(2, 'Yes.')])).toBe('Hm. \nYes.\n');
    expect(await rendered(frames, [assistant(2, 'Yes.')], PIPED)).toBe('Yes.\n');
  });

  test('cannot drive the terminal', async () => {
    const evil = 'a\x1b[2Jb\x1b]0;title\x07c\x9bd\x1b\r\n\u202ee\x00';
    const frames = [delta(0, evil), completed];
    expect(await rendered(frames, [assistant(2, evil)])).toBe('abc\ufffdd␛\n\ufffde␀\n');
  });
});

test('a pause is told, with what ends it, and its end', async () => {
  const frames = [
    durable(2, 'task.resumed', {}),
    durable(3, 'task.paused', {}),
    durable(4, 'task.resumed', {}),
  ];
  expect(await rendered([...frames, durable(5, 'task.resumed', {})], [])).toBe(
    `… paused, until somebody types: capybara tasks resume ${TASK_ID}\n… resumed\n`,
  );
});

describe('tool calls', () => {
  test('are a line when they begin and one when they end', async () => {
    const frames = [completed, requested, durable(4, 'tool.started', { callId: 'c1' }), toolDone];
    expect(await rendered(frames, [bash])).toBe('I run it.\n▶ bash npm test\n✓ bash npm test\n');
  });

  test.each(['delegate_task', 'merge_child'])('tell what %s leaves to be settled', async (name) => {
    const answer = assistant(2, '', [['c1', name, '{"title":"right"}']]);
    const asked = durable(3, 'tool.requested', { callId: 'c1', ordinal: 0, name });
    const done = durable(5, 'tool.completed', { callId: 'c1', status: 'succeeded', position: 3 });
    const result = toolResult(3, 'c1', 'ok\n\nConflicts, which you have to settle (so):\n- a.js (both)');
    expect(await rendered([completed, asked, done], [answer, result])).toContain(
      `✓ ${name} right (1 conflict)\n`,
    );
  });

  test('show which images the model was shown', async () => {
    const file = {
      ...{ type: 'file' as const, mediaType: 'image/png' as const, name: 'a\nb\u001b[2J.png' },
      ...{ width: 800, height: 600, hash: '0', outputId: 'out_0' },
    };
    const sizes = [999, 1_000, 9_949, 9_950, 123_456, 999_499, 999_500, 3_932_160];
    const parts = [{ type: 'text' as const, text: 'seen' }, ...sizes.map((bytes) => ({ ...file, bytes }))];
    const result = { ...toolResult(3, 'c1', ''), parts };
    const data = { callId: 'c1', status: 'succeeded', position: 3 };
    const done = (files?: number) =>
      durable(5, 'tool.completed', files === undefined ? data : { ...data, files });
    const shown = ['999 bytes', '1 kB', '9.9 kB', '10 kB', '123 kB', '999 kB', '1 MB', '3.9 MB'];
    expect(await rendered([completed, requested, done(8)], [bash, result])).toBe(
      `I run it.\n▶ bash npm test\n✓ bash npm test\n${shown.map((size) => `  [image: a b.png, 800×600, ${size}]\n`).join('')}`,
    );
    expect(await rendered([completed, requested, done()], [bash, result])).not.toContain('image');
  });

  test('wait for the answer that has their arguments', async () => {
    const frames = [requested, completed, toolDone];
    expect(await rendered(frames, [bash])).toBe('I run it.\n▶ bash npm test\n✓ bash npm test\n');
  });

  test('that follow one another begin when the one before is done', async () => {
    const answer = assistant(2, '', [
      ['c1', 'read_file', '{"path":"a.ts"}'],
      ['c2', 'grep', '{"pattern":"x"}'],
    ]);
    const frames = [
      completed,
      durable(3, 'tool.requested', { callId: 'c1', name: 'read_file' }),
      durable(4, 'tool.requested', { callId: 'c2', name: 'grep' }),
      durable(5, 'tool.completed', { callId: 'c1', status: 'succeeded', position: 3 }),
      durable(6, 'tool.completed', { callId: 'c2', status: 'unknown', position: 4 }),
    ];
    expect(await rendered(frames, [answer])).toBe(
      '▶ read_file a.ts\n✓ read_file a.ts\n▶ grep x\n? grep x (its outcome is unknown)\n',
    );
  });

  test('that run together say which one ended', async () => {
    const answer = assistant(2, '', [
      ['c1', 'fetch', '{"url":"http://a"}'],
      ['c2', 'fetch', '{"url":"http://b"}'],
    ]);
    const frames = [
      completed,
      durable(3, 'tool.requested', { callId: 'c1', name: 'fetch' }),
      durable(4, 'tool.requested', { callId: 'c2', name: 'fetch' }),
      durable(5, 'tool.started', { callId: 'c1' }),
      durable(6, 'tool.started', { callId: 'c2' }),
      durable(7, 'tool.completed', { callId: 'c1', status: 'succeeded', position: 3 }),
      durable(8, 'tool.completed', { callId: 'c2', status: 'interrupted', position: 4 }),
    ];
    expect(await rendered(frames, [answer])).toBe(
      '▶ fetch http://a\n▶ fetch http://b\n✓ fetch http://a\n✗ fetch http://b (interrupted)\n',
    );
  });

  test.each([
    ['Not run: the task was ended before this call.', 'not run'],
    ['half of it\n[interrupted: the task was cancelled]', 'interrupted'],
  ])('that were interrupted say whether they had begun: %j', async (text, how) => {
    const interrupted = durable(5, 'tool.completed', { callId: 'c1', status: 'interrupted', position: 3 });
    const entries = [bash, toolResult(3, 'c1', text)];
    expect(await rendered([completed, requested, interrupted], entries)).toBe(
      `I run it.\n▶ bash npm test\n✗ bash npm test (${how})\n`,
    );
  });

  test.each([
    ['tests failed\nexit code 1', 'exit 1'],
    ['Error: NotFound: no such file a.ts', 'no such file a.ts'],
  ])('that fail say why: %j', async (text, why) => {
    const failed = durable(5, 'tool.completed', { callId: 'c1', status: 'failed', position: 3 });
    const entries = [bash, toolResult(3, 'c1', text)];
    expect(await rendered([completed, requested, failed], entries)).toBe(
      `I run it.\n▶ bash npm test\n✗ bash npm test (${why})\n`,
    );
  });

  test('show their output by lines to who watches', async () => {
    const frames = [completed, requested, output('c1', 'one\ntw'), output('c1', 'o\nthr\x1b[1mee'), toolDone];
    expect(await rendered(frames, [bash])).toBe(
      'I run it.\n▶ bash npm test\n  one\n  two\n  three\n✓ bash npm test\n',
    );
    expect(await rendered(frames, [bash], PIPED)).toBe('I run it.\n▶ bash npm test\n✓ bash npm test\n');
  });

  test('take one line each on a narrow terminal, and still say which call it is', async () => {
    const answer = assistant(2, '', [['c1', 'bash', '{"command":"node --test tests/日本語.test.js"}']]);
    const failed = durable(5, 'tool.completed', { callId: 'c1', status: 'failed', position: 3 });
    const frames = [completed, requested, output('c1', 'a\tlong line of output\n'), failed];
    const style = { isTty: true, noColor: true, columns: () => 20 };
    expect(await rendered(frames, [answer, toolResult(3, 'c1', 'exit code 1')], style)).toBe(
      '▶ bash node --test …\n  a    long line of…\n✗ bash node --tes… (exit 1)\n',
    );
  });

  test('show no more than the first lines and columns of their output', async () => {
    const long = 'x'.repeat(MAX_OUTPUT_COLUMNS);
    const lines = Array.from({ length: MAX_OUTPUT_LINES - 1 }, (_, index) => `${index}\n`).join('');
    const fits = await rendered([completed, requested, output('c1', `${lines}${long}\n`), toolDone], [bash]);
    expect(fits).toContain(`  ${long}\n✓ bash npm test\n`);
    const more = await rendered(
      [completed, requested, output('c1', `${long}x\n${lines}y\nz\n`), toolDone],
      [bash],
    );
    expect(more).toContain(`  ${long.slice(1)}…\n  0\n`);
    expect(more).toContain(`  ${MAX_OUTPUT_LINES - 2}\n  … 2 more lines\n✓ bash npm test\n`);
  });
});

describe('what else happens', () => {
  test.each<[Parameters<typeof event>, string]>([
    [
      [3, 'turn.retried', { code: 'rate_limited', message: 'Slow down.', dueAt: '2026-01-02T03:04:10.000Z' }],
      '↻ Slow down (rate_limited); trying again in 5 s\n',
    ],
    [
      [3, 'turn.retried', { code: 'x', message: '', dueAt: null }],
      '↻ no reason was given (x); trying again\n',
    ],
    [
      [
        3,
        'turn.retried',
        { code: 'provider_auth', message: 'No.', fallback: 'b/two', dueAt: '2026-01-02T03:04:10.000Z' },
      ],
      '↻ No (provider_auth); going on with b/two\n',
    ],
    [
      [3, 'turn.retried', { code: 'provider_limit', message: 'Full.', dueAt: '2026-01-02T03:04:10.000Z' }],
      '↻ Full (provider_limit); going on in 5 s\n',
    ],
    [[3, 'turn.recovered'], '↻ its worker was lost: another one goes on\n'],
    [[3, 'task.waiting', { on: 'children' }], '… waiting on children\n'],
    [[3, 'task.waiting', { on: 'retry' }], ''],
    [
      [3, 'approval.requested', { approvalId: 'apr_1', tool: 'bash', callId: 'c' }],
      '? bash needs an approval: apr_1\n',
    ],
    [[3, 'task.failed', { code: 'c', message: 'the ending lines say it' }], ''],
    [[3, 'agent.state_changed', { state: 'thinking' }], ''],
  ])('%j', async (args, text) => {
    expect(await rendered([durable(...args)])).toBe(text);
  });

  test('a notice is one line', async () => {
    const notice: Entry = { ...assistant(2, 'Mind\nthis.'), kind: 'notice' };
    expect(await rendered([completed], [notice])).toBe('… Mind this.\n');
  });

  test('a lost connection is told, and that it is back', async () => {
    const frames: Frame[] = [delta(0, 'I r'), { kind: 'lost', reason: 'it broke' }, delta(3, 'un.')];
    expect(await rendered(frames)).toBe(
      'I r\n… connection lost (it broke), trying again\n… connected again\nun.',
    );
  });

  test('other tasks of the session are passed over', async () => {
    const other: Frame = { kind: 'event', event: { ...event(2, 'task.failed'), taskId: 'task_other' } };
    const live: Frame = { kind: 'live', live: { ...delta(0, 'x').live, taskId: 'task_other' } };
    expect(await rendered([other, live])).toBe('');
  });

  test('colours are for a terminal without NO_COLOR', async () => {
    const colored = await rendered([completed, requested, toolDone], [bash], { isTty: true, noColor: false });
    expect(colored).toBe('I run it.\n\x1b[1m▶\x1b[22m bash npm test\n\x1b[32m✓\x1b[39m bash npm test\n');
  });
});
