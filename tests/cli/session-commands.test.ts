/** `sessions search`, `archive`, `delete`, `rename`, `resume` and `export` against a scripted server. */
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Entry, Session } from '../../src/api/wire.ts';
import { confirmDeletion } from '../../src/cli/confirm-deletion.ts';
import { capybara, withScriptedApi } from '../support/commands.ts';
import {
  AT,
  aSession,
  assistant,
  aTask,
  doneTask,
  event,
  openStream,
  problem,
  type ScriptedApi,
  SESSION_ID,
  sendEvents,
  TASK_ID,
  toolResult,
} from './scripted-api.ts';

let api: ScriptedApi;
withScriptedApi((started) => {
  api = started;
  api.on(`GET /v1/sessions/${SESSION_ID}`, () => aSession());
});

const page = (...data: unknown[]) => ({ data, nextCursor: null });
const done = (stdout: string) => ({ code: 0, stdout, stderr: '' });
const refused = (stderr: string) => ({ code: 2, stdout: '', stderr });

test('search says where each session says it', async () => {
  const other: Partial<Session> = { archivedAt: AT, match: { where: 'title', entry: null, text: 'x' } };
  const said = aSession({ match: { where: 'answered', entry: 2, text: 'a\n\u001b[31mflaky\u202e test' } });
  api.on('GET /v1/sessions', () => page(said, aSession({ ...other, title: 'Old\u0007 flaky' })));
  expect(await capybara('sessions:search', 'flaky', 'test', '--limit', '2')).toEqual(
    done(
      `${SESSION_ID}  ${AT}  do it\n  answered: a flaky� test\n${SESSION_ID}  ${AT}  Old␇ flaky  (archived)\n`,
    ),
  );
  expect(api.received[0]?.query).toEqual({ q: 'flaky test', limit: '2' });
  api.on('GET /v1/sessions', () => page());
  expect(await capybara('sessions:search', '"a b"', '--archived')).toEqual(done('No sessions.\n'));
  expect(api.received[1]?.query).toEqual({ q: '"a b"', limit: '20', archived: 'true' });
  expect(JSON.parse((await capybara('sessions:search', 'x', '--json')).stdout)).toEqual(page());
  expect((await capybara('sessions:search')).stderr).toBe(
    'Expected QUERY: see `capybara sessions search --help`.\n',
  );
});

test('list leaves archived ones to be asked for', async () => {
  api.on('GET /v1/sessions', () => page(aSession({ archivedAt: AT })));
  expect((await capybara('sessions:list', '--archived')).stdout).toContain(`${SESSION_ID}  archived  ${AT}`);
  await capybara('sessions:list');
  expect(api.received.map(({ query }) => query.archived)).toEqual(['true', undefined]);
});

test('archive, and --undo', async () => {
  api.on(`POST /v1/sessions/${SESSION_ID}/archive`, () => aSession({ archivedAt: AT }));
  api.on(`POST /v1/sessions/${SESSION_ID}/unarchive`, () => aSession());
  expect(await capybara('sessions:archive', SESSION_ID)).toEqual(
    done(`${SESSION_ID} is archived: take it back with capybara sessions archive ${SESSION_ID} --undo\n`),
  );
  expect(await capybara('sessions:archive', SESSION_ID, '--undo')).toEqual(
    done(`${SESSION_ID} was not archived\n`),
  );
  const older = aSession({ id: `ses_${'0'.repeat(32)}`, archivedAt: '2020-01-01T00:00:00.000Z' });
  api.on('GET /v1/sessions', () => page(aSession({ id: TASK_ID }), older, aSession({ archivedAt: AT })));
  expect(await capybara('sessions:archive', 'last', '--undo')).toEqual(
    done(`${SESSION_ID} is back from the archive\n`),
  );
});

test('rename', async () => {
  api.on(`PATCH /v1/sessions/${SESSION_ID}`, ({ body }) => aSession(body as { title: string }));
  expect(await capybara('sessions:rename', SESSION_ID, 'The "flaky" test')).toEqual(
    done(`${SESSION_ID} is now "The \\"flaky\\" test"\n`),
  );
});

describe('delete', () => {
  test('happens with --yes, and says what stands in the way', async () => {
    api.on(`DELETE /v1/sessions/${SESSION_ID}`, () => ({ id: SESSION_ID, deleted: true }));
    expect(await capybara('sessions:delete', SESSION_ID, '--yes')).toEqual(done(`${SESSION_ID} deleted\n`));
    const sentence = `The session ${SESSION_ID} has a task that is not finished: cancel ${TASK_ID} first, or wait for it.`;
    api.on(`DELETE /v1/sessions/${SESSION_ID}`, (_, response) =>
      problem(response, 409, 'task_unfinished', sentence),
    );
    const { stderr, code } = await capybara('sessions:delete', SESSION_ID, '-y');
    expect([stderr, code === 0]).toEqual([`${sentence}\n`, false]);
  });

  test('asks for nothing without it, where nobody can be asked', async () => {
    expect(await capybara('sessions:delete', SESSION_ID)).toEqual(
      refused(
        `Deleting ${SESSION_ID} cannot be undone: say that it is meant with --yes, or put it away with capybara sessions archive ${SESSION_ID}.\n`,
      ),
    );
    expect(api.received.map(({ method }) => method)).toEqual(['GET']);
  });

  test('takes a yes for a yes, and nothing else', async () => {
    const asked: string[] = [];
    const answering = (typed: string | undefined) =>
      confirmDeletion(aSession({ title: 'a\u001b[2J b' }), async (question) => {
        asked.push(question);
        return typed;
      });
    for (const yes of ['y', ' Yes ']) await answering(yes);
    for (const no of ['', 'n', 'yo', undefined])
      await expect(answering(no)).rejects.toThrow('Nothing was deleted.');
    expect(asked[0]).toBe(`Delete ${SESSION_ID} (a b) for good? [y, N] `);
  });
});

describe('resume', () => {
  test('says how to go on where nothing is at work', async () => {
    api.on('GET /v1/tasks', () => page(doneTask()));
    expect(await capybara('sessions:resume', SESSION_ID)).toEqual(
      done(
        `${SESSION_ID} (do it) has nothing at work.\nGo on with it: capybara run --session ${SESSION_ID} "…"\n`,
      ),
    );
    api.on(`GET /v1/sessions/${SESSION_ID}`, () => aSession({ archivedAt: AT }));
    expect((await capybara('sessions:resume', SESSION_ID)).stdout).toContain(
      `Go on with it: capybara sessions archive ${SESSION_ID} --undo\n`,
    );
  });

  test('follows the task in hand, the oldest that is not finished', async () => {
    const later = aTask({ id: `task_${'9'.repeat(32)}`, status: 'queued' });
    api.on('GET /v1/tasks', () => page(later, aTask(), doneTask()));
    api.on(`GET /v1/tasks/${TASK_ID}`, () => doneTask());
    api.on(`GET /v1/sessions/${SESSION_ID}/events`, (_, response) => {
      sendEvents(openStream(response), [event(1, 'task.started'), event(2, 'task.succeeded')]);
    });
    api.on(`GET /v1/sessions/${SESSION_ID}/entries`, () => page());
    const { stdout, code } = await capybara('sessions:resume', SESSION_ID);
    expect(stdout).toContain('✓ Done in 12 s, 2 turns\n');
    expect(code).toBe(0);
  });
});

describe('export', () => {
  const HOSTILE = '<script>alert(1)</script> & "x" \u001b[2J[a](https://evil.example) ```\n# no heading';
  const ENTRIES: Entry[] = [
    {
      position: 1,
      kind: 'user',
      taskId: TASK_ID,
      turn: 1,
      parts: [{ type: 'text', text: HOSTILE }],
      by: 'Ana <b>',
      at: AT,
    },
    assistant(2, 'Let me **look**.', [['c1', 'bash', '{"command":"cat `x`"}']]),
    toolResult(3, 'c1', HOSTILE),
    {
      position: 4,
      kind: 'notice',
      taskId: null,
      turn: null,
      parts: [{ type: 'text', text: 'A person merged.' }],
      at: AT,
    },
    {
      position: 5,
      kind: 'compaction',
      taskId: TASK_ID,
      turn: 2,
      parts: [{ type: 'text', text: 'a summary' }],
      at: AT,
    },
  ];
  const title = 'Mend <i>it</i> & *go*';
  let place: string;
  beforeEach(() => {
    place = mkdtempSync(join(tmpdir(), 'capybara-export-'));
    api.on(`GET /v1/sessions/${SESSION_ID}`, () => aSession({ title }));
    api.on(`GET /v1/sessions/${SESSION_ID}/entries`, ({ query }) =>
      query.cursor === '3' ? page(...ENTRIES.slice(3)) : { data: ENTRIES.slice(0, 3), nextCursor: '3' },
    );
  });
  afterEach(() => rmSync(place, { recursive: true }));
  const clean = '<script>alert(1)</script> & "x" [a](https://evil.example) ```';

  test('as Markdown keeps what was said from being read as its own', async () => {
    expect(await capybara('sessions:export', SESSION_ID)).toEqual(
      done(`# Mend \\<i\\>it\\</i\\> & \\*go\\*

${SESSION_ID}, begun ${AT}

## Ana \\<b\\>

*${AT}*

> ${clean}
> # no heading

## Agent

*${AT}*

Let me **look**.

- called \`bash cat 'x'\`

### Result of \`bash cat 'x'\` (failed)

*${AT}*

\`\`\`\`
${clean}
# no heading
\`\`\`\`

## Capybara

*${AT}*

> A person merged.
`),
    );
  });

  test('as Markdown folds away what Capybara says at length', async () => {
    const parts = [{ type: 'text', text: ['Project.', ...Array(6).fill('More.')].join('\n') }];
    api.on(`GET /v1/sessions/${SESSION_ID}/entries`, () => page({ ...ENTRIES[0], kind: 'notice', parts }));
    const { stdout } = await capybara('sessions:export', SESSION_ID);
    expect(stdout).toContain(
      `\n<details><summary>Capybara, ${AT}</summary>\n\n> Project.\n${'> More.\n'.repeat(6)}\n</details>\n`,
    );
  });

  test('as JSON is what the API has', async () => {
    const { stdout } = await capybara('sessions:export', SESSION_ID, '--format', 'json');
    expect(JSON.parse(stdout)).toEqual({ session: aSession({ title }), entries: ENTRIES });
  });

  test('as HTML runs nothing and loads nothing, in a file that is its owner’s', async () => {
    const file = join(place, 'session.html');
    expect(await capybara('sessions:export', SESSION_ID, '--format', 'html', '--output', file)).toEqual(
      done(`Wrote ${SESSION_ID} to ${file}.\n`),
    );
    expect(statSync(file).mode & 0o777).toBe(0o600);
    const html = readFileSync(file, 'utf8');
    expect(html).toContain(`<title>Mend &lt;i&gt;it&lt;/i&gt; &amp; *go*</title>`);
    expect(html).toContain(`content="default-src 'none'; style-src 'unsafe-inline'"`);
    expect(html).toContain('prefers-color-scheme: dark');
    expect(
      html.match(/<(script|img|link|iframe|a|base|form|object)\b|\bon\w+=|(?:href|src)=|url\(|@import/gi),
    ).toBeNull();
    const opened = [...html.matchAll(/<([a-z]+\d?)\b/g)].map(([, name]) => name);
    expect([...new Set(opened)].toSorted()).toEqual(
      'body code details div h1 h2 head header html li meta pre section style summary time title ul'.split(
        ' ',
      ),
    );
    expect(html).toContain(
      '&lt;script&gt;alert(1)&lt;/script&gt; &amp; &quot;x&quot; [a](https://evil.example)',
    );
    expect(['\u001b', 'a summary'].filter((text) => html.includes(text))).toEqual([]);
  });

  test('takes the place of no file unless that is said', async () => {
    for (const flag of ['--output', '--recording']) {
      const file = join(place, `kept${flag}`);
      writeFileSync(file, 'kept');
      const asked = ['sessions:export', SESSION_ID, flag, file] as const;
      const there = `There is a file ${JSON.stringify(file)} already: name another, or add --force to write over it.\n`;
      expect(await capybara(...asked)).toEqual(refused(there));
      expect(readFileSync(file, 'utf8')).toBe('kept');
      expect((await capybara(...asked, '--force')).code).toBe(0);
      expect(readFileSync(file, 'utf8')).not.toBe('kept');
    }
  });

  test('refuses a format that there is not, and a file that cannot be written', async () => {
    expect((await capybara('sessions:export', SESSION_ID, '--format', 'pdf')).stderr).toBe(
      '--format must be one of md, json, html; found "pdf": see `capybara sessions export --help`.\n',
    );
    const { stderr, code } = await capybara(
      'sessions:export',
      SESSION_ID,
      '--output',
      join(place, 'no', 'x.md'),
    );
    expect([stderr, code]).toEqual([expect.stringContaining('The session cannot be written: ENOENT'), 1]);
  });
});
