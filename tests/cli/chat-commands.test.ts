/** What slash commands do, what is sent, what is heard, and what it looks like; against a scripted server. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Entry } from '../../src/api/wire.ts';
import { Answers } from '../../src/cli/chat/answers.ts';
import { CHAT_COMMANDS } from '../../src/cli/chat/commands/all.ts';
import type { ChatContext } from '../../src/cli/chat/commands/context.ts';
import { turnBeforeLast } from '../../src/cli/chat/commands/log.ts';
import { conversationText } from '../../src/cli/chat/conversation-text.ts';
import { Feed } from '../../src/cli/chat/feed.ts';
import { hintLines } from '../../src/cli/chat/hints.ts';
import { itemLines } from '../../src/cli/chat/item-lines.ts';
import { type Action, reduce } from '../../src/cli/chat/reduce.ts';
import { Sender } from '../../src/cli/chat/sender.ts';
import { attachedTo } from '../../src/cli/chat/sent-files.ts';
import { startChat } from '../../src/cli/chat/start-chat.ts';
import { type ChatState, type Item, NOTHING } from '../../src/cli/chat/state.ts';
import { statusLine } from '../../src/cli/chat/status-line.ts';
import type { Connection } from '../../src/cli/connection.ts';
import { ASCII, type Look, UNICODE } from '../../src/cli/look.ts';
import { loadHighlight } from '../../src/cli/markdown/highlight.ts';
import { markdownLines } from '../../src/cli/markdown/markdown.ts';
import { shortNumber } from '../../src/cli/summary.ts';
import { createStyle } from '../../src/cli/terminal.ts';
import { createTheme, THEMES } from '../../src/cli/themes.ts';
import { type ClientOptions, createClient } from '../../src/client/client.ts';
import { loadConfig } from '../../src/config.ts';
import {
  AT,
  aNode,
  anApproval,
  aSession,
  assistant,
  aTask,
  aTree,
  doneTask,
  event,
  openStream,
  problem,
  type ScriptedApi,
  SESSION_ID,
  sendEvents,
  startScriptedApi,
  TASK_ID,
  toolResult,
} from './scripted-api.ts';

let api: ScriptedApi;
let home: string;
let state: ChatState;
let shown: (string | undefined)[];
let chosen: string | undefined;
let offered: readonly string[];
let written: string;
let hasLeft: boolean;

beforeEach(async () => {
  api = await startScriptedApi();
  home = mkdtempSync(join(tmpdir(), 'capybara-chat-commands-'));
  state = reduce(NOTHING, { do: 'show', session: aSession() });
  [shown, chosen, offered, written, hasLeft] = [[], undefined, [], '', false];
});
afterEach(async () => {
  await api.close();
  rmSync(home, { recursive: true });
});

const tell = (action: Action) => {
  state = reduce(state, action);
};
const page = (...data: unknown[]) => ({ data, nextCursor: null });
const client = (options: ClientOptions = {}) => createClient({ url: api.url, apiKey: 'capy_hush' }, options);
const connection = (): Connection => ({
  ...{ client: client(), clientUntil: (signal) => client({ signal }), kind: 'configured' },
  ...{ recover: async () => {}, stop: async () => {} },
});
const aCall = (name: string): Item => ({
  ...{ kind: 'call', callId: name, taskId: null, name, arguments: '{}', status: 'succeeded' },
  ...{ output: '', result: '', files: [] },
});
const style = createStyle({ isTty: true, noColor: true, columns: () => 60 });
const look = (isColored = false): Look => ({
  ...{ theme: createTheme('terminal', isColored), style, signs: UNICODE, highlight: undefined },
});

function context(): ChatContext {
  return {
    ...{ client: client(), cwd: home, commands: CHAT_COMMANDS },
    config: loadConfig({ env: { HOME: home }, cwd: home, home }).config,
    ...{ state: () => state, look: () => look(), columns: () => 80, tell },
    show: (session) => shown.push(session?.id),
    choose: async (_, items) => {
      offered = items.map(({ value }) => value);
      return chosen;
    },
    queue: async (text) => {
      written = text;
    },
    input: {
      read: () => written,
      write: (text) => {
        written = text;
      },
    },
    without: (act) => act(),
    setTheme: (name) => {
      written = name;
    },
    leave: () => {
      hasLeft = true;
    },
  };
}

async function run(line: string): Promise<void> {
  const [, name, args = ''] = /^\/(\S+)\s*(.*)$/s.exec(line) ?? [];
  await CHAT_COMMANDS.find((each) => each.name === name)?.run(context(), args);
}
const complete = async (name: string, typed = '') => {
  const command = CHAT_COMMANDS.find((each) => each.name === name);
  return (await command?.complete?.(context(), typed))?.map(({ value }) => value);
};
const told = () =>
  state.items.flatMap((item) =>
    item.kind === 'told' ? item.lines : item.kind === 'note' ? [item.text] : [],
  );

describe('slash commands', () => {
  test('are these, each with a summary, and none twice', () => {
    expect(CHAT_COMMANDS.map(({ name }) => name).join(' ')).toBe(
      'agent apply clear compact diff editor exit export files fork git help mcp mode model provider queue session theme tools turns undo usage',
    );
    for (const { summary } of CHAT_COMMANDS) expect(summary).toMatch(/^[a-z].{3,50}[^.]$/);
  });

  test('/help tells of where one is, and of one of them', async () => {
    await run('/help');
    expect(told().join('\n')).toMatch(/\/clear +empty what the model sees[\s\S]*The agent is done\./);
    tell({ do: 'task', task: aTask(), isNew: false });
    await run('/help');
    expect(told().at(-1)).toContain('Ctrl-C stops this one');
    tell({ do: 'asked', open: [anApproval()] });
    await run('/help');
    expect(told().at(-2)).toBe('An agent asks whether it may make a call.');
    await run('/help /queue');
    expect(told().at(-1)).toBe('/queue TEXT  make it the next task, after the one in hand');
    expect(await complete('help')).toContain('undo');
  });

  test('/model, /provider and /agent choose for the next task', async () => {
    const models = [{ model: 'openai/m', contextTokens: 128_000, outputTokens: null, images: null }];
    const known = models.map((each) => ({ ...each, temperature: null, prices: null, from: ['settings'] }));
    api.on('GET /v1/models', () => ({
      data: [{ provider: 'openai', kind: 'openai', defaultModel: 'openai/m', models: known, problem: null }],
      ...{ default: 'openai/m', keptAsOf: '2026-01-01' },
    }));
    chosen = 'openai/m';
    await run('/model');
    expect(offered).toEqual(['openai/m']);
    expect(state.wishes).toEqual({ model: 'openai/m' });
    await run('/model other/x');
    expect(state.wishes.model).toBe('other/x');
    await run('/provider openai');
    expect(state.wishes.model).toBe('openai/m');
    expect(told().join('\n')).toContain('128k');
    await expect(run('/provider opnai')).rejects.toThrow(
      'There is no provider "opnai": did you mean openai?',
    );
    api.on('GET /v1/agents', () => ({
      data: [
        {
          ...{ name: 'plan', about: 'plans', model: null, fallbacks: [], strategy: null, effort: null },
          ...{
            mode: 'plan',
            writes: false,
            tools: ['read_file', 'grep'],
            servers: ['files', 'web'],
            promptHash: 'a',
          },
        },
      ],
    }));
    await run('/agent plan');
    await run('/tools');
    expect(state.wishes.agent).toBe('plan');
    expect(told().slice(-3)).toEqual(['plan can call:', '✓ read_file', '✓ grep']);
    state = {
      ...state,
      items: [...state.items, aCall('files__read'), aCall('files__ls'), aCall('files__read')],
    };
    await run('/mcp');
    expect(told().slice(-3)).toEqual([
      'plan may have tools of these MCP servers:',
      'files  files__read 2, files__ls 1',
      'web  nothing was called here',
    ]);
    await run('/tools off grep');
    await run('/tools off read_file grep');
    expect(state.wishes.withoutTools).toEqual(['grep', 'read_file']);
    await run('/tools on read_file');
    await run('/tools');
    expect(told().slice(-2)).toEqual(['✓ read_file', '✗ grep (off)']);
    await expect(run('/tools off gerp')).rejects.toThrow('The agent has no tool "gerp": did you mean grep?');
    await expect(run('/tools of grep')).rejects.toThrow('Expected /tools, /tools off NAME');
    expect([
      await complete('tools'),
      await complete('tools', 'off r'),
      await complete('tools', 'on '),
    ]).toEqual([...[['off', 'on'], ['off read_file'], ['on grep']]]);
    await run('/tools on');
    expect(state.wishes.withoutTools).toEqual([]);
    chosen = undefined;
    await run('/agent');
    expect(state.wishes.agent).toBe('plan');
    expect([await complete('model'), await complete('agent')]).toEqual([['openai/m'], ['plan']]);
  });

  test('/mode and /theme take what there is', async () => {
    await run('/mode auto');
    expect(state.wishes.mode).toBe('auto');
    await expect(run('/mode wild')).rejects.toThrow('There is no mode "wild": did you mean safe?');
    await run('/theme dark');
    expect(written).toBe('dark');
    await expect(run('/theme pink')).rejects.toThrow('There is no theme "pink"');
    expect(await complete('theme')).toEqual([...THEMES]);
  });

  test('/session lists, loads, keeps, branches and merges; /fork goes on at a turn', async () => {
    const other = aSession({ id: `ses_${'7'.repeat(32)}`, title: 'another' });
    api.on('GET /v1/sessions', () => page(aSession(), other));
    api.on(`GET /v1/sessions/${other.id}`, () => other);
    api.on(`POST /v1/sessions/${SESSION_ID}/fork`, () => other);
    api.on(`POST /v1/sessions/${SESSION_ID}/merge`, () => ({
      ...{ sessionId: SESSION_ID, from: other.id, entry: 9, files: 'merged', conflicts: [] },
    }));
    chosen = other.id;
    await run('/session list');
    expect([offered, shown]).toEqual([[other.id], [other.id]]);
    const title = 'before the change';
    api.on(`PATCH /v1/sessions/${SESSION_ID}`, () => aSession({ title }));
    await run(`/session save ${title}`);
    expect(api.received.at(-1)?.body).toEqual({ title });
    expect(told().at(-1)).toBe(`Kept as ${title}: /session load ${title}`);
    await expect(run('/session save')).rejects.toThrow('Every session is kept; expected a name');
    await run('/session load Another');
    await expect(run('/session load nobody')).rejects.toThrow('has the name "nobody": /session list');
    await run('/fork 3');
    expect(api.received.at(-1)?.body).toEqual({ turn: 3 });
    await run('/session branch mine');
    expect(api.received.at(-1)?.body).toEqual({ title: 'mine' });
    expect(shown).toEqual([other.id, other.id, other.id, other.id]);
    await run(`/session merge ${other.id}`);
    expect(told().at(-1)).toBe(`Merged ${other.id} into ${SESSION_ID}.`);
    await run('/session new');
    expect(shown.at(-1)).toBeUndefined();
    tell({ do: 'event', event: event(9, 'session.renamed', { title }) });
    await run('/session');
    expect(told().at(-2)).toBe(title);
    await expect(run('/session drop')).rejects.toThrow(
      'Expected /session list, load, new, save, branch, merge',
    );
    await expect(run('/fork x')).rejects.toThrow('Expected /fork and the number of a turn; found x.');
    tell({ do: 'show', session: undefined });
    await expect(run('/fork')).rejects.toThrow('There is no session yet');
  });

  const log = (): Entry[] => [
    { position: 1, kind: 'user', taskId: TASK_ID, turn: 1, parts: [{ type: 'text', text: 'do it' }], at: AT },
    assistant(2, 'I look.', [['c', 'bash', '{"command":"ls"}']]),
    toolResult(3, 'c', 'exit 1'),
    assistant(4, 'Done.'),
    {
      position: 5,
      kind: 'user',
      taskId: TASK_ID,
      turn: 3,
      parts: [{ type: 'text', text: 'more' }],
      at: AT,
      by: 'Ana',
    },
    assistant(6, 'More.'),
  ];

  test('/undo takes back what was said last, /clear all, and the files of the latter stay', async () => {
    api.on(`GET /v1/sessions/${SESSION_ID}/entries`, () => page(...log()));
    const reverted = { sessionId: SESSION_ID, to: 4, entry: 7, files: 'put_back' };
    api.on(`POST /v1/sessions/${SESSION_ID}/revert`, () => reverted);
    await run('/undo');
    expect(api.received.at(-1)?.body).toEqual({ turn: 2 });
    expect(told()).toEqual(['The session and its files are back at the end of turn 2.']);
    await run('/clear');
    expect(api.received.at(-1)?.body).toEqual({ entry: 0, files: 'left' });
    api.on(`POST /v1/sessions/${SESSION_ID}/compact`, () => ({ sessionId: SESSION_ID, entry: 8 }));
    await run('/compact');
    expect(turnBeforeLast(log().slice(0, 4))).toBe(0);
    expect(() => turnBeforeLast([])).toThrow('Nothing was said yet');
    await expect(run('/undo x')).rejects.toThrow('the number of a turn');
    await run('/turns');
    expect(told().join('\n')).toContain('More.');
  });

  test('/export writes what counts, and over nothing', async () => {
    api.on(`GET /v1/sessions/${SESSION_ID}/entries`, () => page(...log()));
    await run('/export talk.md');
    expect(readFileSync(join(home, 'talk.md'), 'utf8')).toBe(
      `# do it\n\n\`${SESSION_ID}\`\n\n## Message\n\ndo it\n\nI look.\n\n- \`bash ls\`\n\nDone.\n\n## Ana\n\nmore\n\nMore.\n`,
    );
    await expect(run('/export talk.md')).rejects.toThrow('there is such a file already. Name another.');
    await expect(run('/export')).rejects.toThrow('Expected a file');
    const revert: Entry = { position: 7, kind: 'revert', taskId: null, turn: null, parts: [], to: 4, at: AT };
    expect(conversationText(aSession(), [...log(), revert])).not.toContain('more');
  });

  test('/diff, /usage, /git, /queue, /exit', async () => {
    api.on(`GET /v1/sessions/${SESSION_ID}/diff`, (_, response) => {
      response.writeHead(200, { 'content-type': 'text/x-diff' }).end('--- a\n+++ b\n+new\u001b[2J\n');
    });
    await run('/diff');
    expect(told()).toEqual(['--- a', '+++ b', '+new']);
    tell({ do: 'task', task: doneTask(), isNew: false });
    api.on(`GET /v1/tasks/${TASK_ID}`, () => doneTask({ usage: { ...doneTask().usage, toolCalls: 2 } }));
    await run('/usage');
    expect(told().at(-1)).toBe('tools: 2 of 2 calls succeeded (100 %)');
    await expect(run('/git log')).rejects.toThrow(/^git log: .*not a git repository/);
    await run('/git --version');
    expect(told().at(-1)).toMatch(/^git version/);
    await run('/queue then that');
    expect(written).toBe('then that');
    await run('/exit');
    expect(hasLeft).toBe(true);
  });

  test('/editor takes what an editor wrote', async () => {
    const editor = join(home, 'editor.sh');
    writeFileSync(editor, '#!/bin/sh\necho "and more" >> "$1"\n', { mode: 0o755 });
    const before = process.env.VISUAL;
    process.env.VISUAL = editor;
    await run('/editor begins ');
    process.env.VISUAL = before ?? '';
    expect(written).toBe('begins and more');
  });
});

describe('what is said', () => {
  const sender = (session = true) => {
    if (!session) tell({ do: 'show', session: undefined });
    return new Sender({
      ...{
        connection: connection(),
        attached: (text) => attachedTo(text, home),
        state: () => state,
        tell,
        signal: new AbortController().signal,
      },
      request: { body: { prompt: '-', mode: 'plan', workspace: { kind: 'empty' } } },
      show: ({ id }) => shown.push(id),
    });
  };

  test('first begins a session', async () => {
    api.on('POST /v1/tasks', () => aTask());
    api.on(`GET /v1/sessions/${SESSION_ID}`, () => aSession());
    const first = sender(false);
    await first.say('do it');
    expect(api.received[0]?.body).toEqual({ prompt: 'do it', mode: 'plan', workspace: { kind: 'empty' } });
    expect([shown, first.me]).toEqual([[SESSION_ID], 'Ana']);
  });

  test('while the agent works goes to the task in hand; where that has just ended, it is the next task', async () => {
    tell({ do: 'task', task: aTask(), isNew: false });
    api.on(`POST /v1/sessions/${SESSION_ID}/messages`, () => ({
      ...{ sessionId: SESSION_ID, taskId: TASK_ID, text: 'and this' },
    }));
    await sender().say('and this');
    expect(state.sent).toMatchObject([{ text: 'and this', when: 'now' }]);
    api.on(`POST /v1/sessions/${SESSION_ID}/messages`, (_, response) =>
      problem(response, 409, 'no_running_task', 'It has ended.'),
    );
    api.on('POST /v1/tasks', () => aTask({ id: `task_${'3'.repeat(32)}`, status: 'queued' }));
    await sender().say('then this');
    expect(api.received.at(-1)?.body).toMatchObject({ sessionId: SESSION_ID, prompt: 'then this' });
  });

  test('next is as the last task was, but for what was chosen; another agent has its own model and mode', async () => {
    tell({ do: 'task', task: doneTask({ agent: 'review' }), isNew: false });
    api.on('POST /v1/tasks', () => doneTask({ agent: 'review' }));
    await sender().queue('go on');
    expect(api.received.at(-1)?.body).toEqual({
      ...{ sessionId: SESSION_ID, prompt: 'go on', agent: 'review', model: 'openai/m', mode: 'plan' },
    });
    tell({ do: 'wish', wishes: { agent: 'build' } });
    await sender().queue('go on');
    expect(api.received.at(-1)?.body).toEqual({
      ...{ sessionId: SESSION_ID, prompt: 'go on', agent: 'build', mode: 'plan' },
    });
  });

  test('and refused is not kept as sent', async () => {
    api.on('POST /v1/tasks', (_, response) =>
      problem(response, 400, 'unknown_model', 'There is no such model.'),
    );
    await expect(sender().say('x')).rejects.toThrow('There is no such model.');
    expect(state.sent).toEqual([]);
  });
});

test('a chat with a server that is silent is left before it begins', async () => {
  const left = new AbortController();
  api.on('GET /v1/sessions', () => left.abort());
  const { config } = loadConfig({ env: { HOME: home }, cwd: home, home });
  const screen = { draw: () => {}, rows: 24, onResize: () => () => {} };
  const { signal } = left;
  const terminal = { out: () => {}, err: () => {}, style, screen, gone: signal, ask: async () => undefined };
  const options = {
    id: 'last',
    flags: { continue: false },
    config,
    cwd: home,
    terminal,
    json: false,
    signal,
  };
  const started = startChat(options, (_, use) => use(connection()));
  await expect(started).rejects.toMatchObject({ name: 'AbortError' });
});

describe('answers', () => {
  test('count once; `always` is asked about again, and where another was faster that is told', async () => {
    let now = 5;
    const answers = new Answers({
      connection: connection(),
      state: () => state,
      tell,
      style,
      signal: new AbortController().signal,
      now: () => now,
    });
    const asked = anApproval();
    expect(answers.shownAt(asked)).toBe(Number.POSITIVE_INFINITY);
    tell({ do: 'asked', open: [asked] });
    expect(answers.isSure).toBe(false);
    now = 9;
    expect(answers.shownAt(asked)).toBe(5);
    await answers.give(asked, { decision: 'allow_always' });
    expect([answers.isSure, api.received]).toEqual([true, []]);
    api.on(`POST /v1/approvals/${asked.id}`, () => ({ ...asked, status: 'allowed', ruleId: 'rule_1' }));
    expect(await answers.confirms('y')).toBe(true);
    expect(api.received[0]?.body).toEqual({ decision: 'allow_always' });
    expect(told().join('\n')).toContain('Take it back with: capybara rules revoke rule_1');
    await answers.give(asked, { decision: 'allow_always' });
    expect([await answers.confirms('no'), answers.isSure]).toEqual([false, false]);
    api.on(`POST /v1/approvals/${asked.id}`, (_, response) =>
      problem(response, 409, 'approval_resolved', 'Ben answered it.'),
    );
    await answers.give(asked, { decision: 'deny' });
    expect(told().at(-1)).toBe('Ben answered it.');
  });
});

test('a session is heard from where its log ends, and again after the connection broke', async () => {
  api.on(`GET /v1/sessions/${SESSION_ID}/tree`, () => aTree([aNode()], { seq: 4 }));
  api.on('GET /v1/tasks', () => page(aTask()));
  const entries = [assistant(1, 'One.')];
  api.on(`GET /v1/sessions/${SESSION_ID}/entries`, () => page(...entries));
  api.on('GET /v1/approvals', () => page(anApproval(), anApproval({ id: 'apr_2', status: 'denied' })));
  api.on(`GET /v1/tasks/${TASK_ID}`, () => doneTask());
  const opened: string[] = [];
  api.on(`GET /v1/sessions/${SESSION_ID}/events`, ({ headers }, response) => {
    opened.push(String(headers['last-event-id']));
    const stream = openStream(response);
    if (opened.length === 1) {
      entries.push(assistant(2, 'Two.'));
      sendEvents(stream, [event(5, 'message.completed', { position: 2 })]);
      stream.end();
    } else sendEvents(stream, [event(6, 'task.succeeded')]);
  });
  const stop = new AbortController();
  const feed = new Feed({
    ...{ connection: connection(), sessionId: SESSION_ID, signal: stop.signal },
    tell: (action) => {
      tell(action);
      if (action.do === 'event' && action.event.seq === 6) stop.abort();
    },
  });
  await feed.run();
  expect(opened).toEqual(['4', '5']);
  expect(feed.flow.root?.children).toHaveLength(1);
  expect(state.items.map((item) => ('text' in item ? item.text : item.kind))).toEqual([
    ...['One.', 'asked', 'Two.', 'connection lost (the server closed the stream), trying again'],
    ...['connected again', 'ended'],
  ]);
});

test('a task that is over before its first event was looked at ends behind what was said', async () => {
  api.on(`GET /v1/sessions/${SESSION_ID}/tree`, () => aTree([aNode()], { seq: 4 }));
  api.on('GET /v1/tasks', () => page());
  api.on(`GET /v1/sessions/${SESSION_ID}/entries`, () =>
    page(...(state.tasks.size > 0 ? [assistant(1, 'Said.')] : [])),
  );
  api.on('GET /v1/approvals', () => page());
  api.on(`GET /v1/tasks/${TASK_ID}`, () => doneTask());
  api.on(`GET /v1/sessions/${SESSION_ID}/events`, (_, response) => {
    tell({ do: 'task', task: aTask(), isNew: true });
    sendEvents(openStream(response), [event(5, 'task.created'), event(6, 'task.succeeded')]);
  });
  const stop = new AbortController();
  await new Feed({
    ...{ connection: connection(), sessionId: SESSION_ID, signal: stop.signal },
    tell: (action) => {
      tell(action);
      if (action.do === 'event' && action.event.seq === 6) stop.abort();
    },
  }).run();
  expect(state.items.map(({ kind }) => kind)).toEqual(['answer', 'ended']);
});

describe('what it looks like', () => {
  const lines = (item: Item, change: Partial<Parameters<typeof itemLines>[1]> = {}) =>
    itemLines(item, {
      ...{ ...look(), columns: 40, sessionId: SESSION_ID, me: 'Ana', isOpen: false, ...change },
    }).map((line) => stripVTControlCharacters(line).trimEnd());
  const calls = (json: string, change: object = {}): Item => ({
    ...{ kind: 'call', callId: 'c', taskId: null, name: 'bash', arguments: json, status: 'succeeded' },
    ...{ output: '', result: '', files: [], ...change },
  });

  test('of others’ words: their name, and nothing that moves a cursor', () => {
    const said = { kind: 'said', taskId: null, text: 'a\u001b[2Jb\nnext', files: [] } as const;
    expect(lines({ ...said, by: 'Ana' })).toEqual(['❯ ab', '  next']);
    expect(lines({ ...said, by: 'Ben\u001b[31m' })).toEqual(['Ben', '❯ ab', '  next']);
    expect(lines({ ...said, by: 'Ana' }, { signs: ASCII })).toEqual(['> ab', '  next']);
  });

  test('of a call: a line, which opens into what went and what came', () => {
    expect(lines(calls('{"command":"ls"}'))).toEqual(['✓ bash ls']);
    expect(lines(calls('{"command":"ls"}', { status: 'failed', result: 'exit 1' }))).toEqual([
      '✗ bash ls (exit 1)',
    ]);
    expect(lines(calls('{}', { status: 'started', output: 'a\nb\n' }))).toEqual(['▶ bash', '  a', '  b']);
    const edit = '{"path":"a","old_string":"x","new_string":"y"}';
    expect(lines(calls(edit, { result: 'Edited.' }), { isOpen: true }).slice(1)).toEqual([
      ...['  - x', '  + y', '  Edited.'],
    ]);
    expect(lines(calls('{"command":"ls"}', { result: 'one' }), { isOpen: true })).toEqual([
      ...['✓ bash ls', '  command │ ls', '  one'],
    ]);
  });

  test('of a question: all of the call, and then what became of it', () => {
    const approval = anApproval();
    expect(lines({ kind: 'asked', approval })).toEqual([
      '? bash needs an approval',
      '  command │ rm -rf build',
    ]);
    expect(lines({ kind: 'asked', approval: { ...approval, status: 'denied' } })).toEqual([
      '? denied bash rm -rf build',
    ]);
  });

  test('of an end', () => {
    expect(lines({ kind: 'ended', task: doneTask() }, { columns: 80 })[0]).toBe(
      '✓ Done in 12 s, 2 turns · 0 tokens in, 0 out',
    );
    const error = { code: 'limit_usd', message: 'The limit was reached.' };
    expect(
      lines({ kind: 'ended', task: doneTask({ status: 'failed', error }) }, { columns: 80 }).join(' '),
    ).toContain('The limit was reached (limit_usd)');
  });

  test('of no line is wider than the screen, whatever it holds', () => {
    const wide = '漢字🎉'.repeat(40);
    const items: Item[] = [
      { kind: 'said', taskId: null, text: wide, files: [], by: wide },
      ...(['answer', 'thought', 'notice'] as const).map((kind) => ({ kind, text: wide })),
      calls(JSON.stringify({ command: wide }), { status: 'failed', result: wide, output: wide }),
      { kind: 'asked', approval: anApproval({ arguments: JSON.stringify({ command: wide }) }) },
      { kind: 'note', text: wide, tone: 'bad' },
    ];
    for (const item of items)
      for (const isOpen of [false, true])
        for (const line of lines(item, { columns: 20, isOpen }))
          expect([...line].reduce((sum, each) => sum + (each > '\u2fff' ? 2 : 1), 0)).toBeLessThanOrEqual(20);
  });

  test('of how things stand', () => {
    const options = {
      ...look(),
      columns: 80,
      tree: aTree([aNode()]),
      fallback: { agent: 'build', model: undefined },
    };
    expect(statusLine(NOTHING, { ...options, tree: undefined }).trimEnd()).toBe('build · default model');
    const working = reduce(state, { do: 'task', task: aTask(), isNew: false });
    expect(statusLine(working, options)).toMatch(
      /^build · openai\/m · auto · waiting: 1 delegated task +240 tokens · \$0\.19 · 1m12s$/,
    );
    expect(statusLine(working, options)).toHaveLength(80);
    expect(stripVTControlCharacters(statusLine(working, { ...options, columns: 20 }))).toBe(
      'build · openai/m · …',
    );
    expect([812, 12_340, 999_499, 1_234_567].map(shortNumber)).toEqual(['812', '12.3k', '999k', '1.2M']);
  });

  test('of what is asked above the input', () => {
    const hints = { ...look(), columns: 70, pressed: undefined, isSure: false };
    expect(hintLines(NOTHING, hints)[1]).toContain('/help');
    const asked = reduce(state, { do: 'asked', open: [anApproval(), anApproval({ id: 'apr_2' })] });
    expect(hintLines(asked, hints)).toEqual([
      '',
      '? Allow bash rm -rf build? and 1 more y, always, n, or n and why',
    ]);
    expect(hintLines(asked, { ...hints, columns: 40 }).slice(1)).toEqual([
      '? Allow bash rm -rf build? and 1 more',
      '  y, always, n, or n and why',
    ]);
    expect(hintLines(asked, { ...hints, isSure: true }).join('\n')).toContain(
      '/home/me/project.\n? Allow that always?',
    );
    expect(hintLines(asked, { ...hints, pressed: 'leave' }).at(-1)).toBe('Ctrl-C again leaves the chat.');
  });

  test('of markdown and code: colours where they are wanted, and the same words without', () => {
    const text =
      '# Title\n\n- **bold** `code`\n\n```ts\nconst a = "<b>"; // note\n```\n\n[here](https://evil.example)';
    const drawn = (isColored: boolean, highlight = loadHighlight()) =>
      markdownLines(text, { columns: 60, theme: createTheme('terminal', isColored), highlight }).join('\n');
    expect(drawn(true)).toContain(
      '\u001b[35mconst\u001b[39m a = \u001b[32m"<b>"\u001b[39m; \u001b[2m// note\u001b[22m',
    );
    expect(drawn(true)).toContain('https://evil.example');
    expect(drawn(true)).not.toContain('\u001b]8;');
    expect(stripVTControlCharacters(drawn(true))).toBe(stripVTControlCharacters(drawn(false)));
    expect(drawn(false)).not.toContain('\u001b[3');
    expect(
      markdownLines('a\u001b]0;title\u0007b', { columns: 20, theme: look().theme }).join(''),
    ).not.toContain('title');
  });
});
