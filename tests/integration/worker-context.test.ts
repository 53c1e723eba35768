import { expect, test } from 'vitest';
import { newId } from '../../src/clock.ts';
import { SUMMARY_REQUEST } from '../../src/core/compaction.ts';
import { DEFAULT_CONTEXT } from '../../src/core/profile.ts';
import { PRUNED, SUMMARY_FOLLOWS } from '../../src/core/view.ts';
import { createModels } from '../../src/model/providers.ts';
import { forkSession } from '../../src/store/forks.ts';
import { revertSession } from '../../src/store/revisions.ts';
import { readLog } from '../../src/store/session-log.ts';
import { readTodos } from '../../src/store/views-todos.ts';
import {
  call,
  error,
  type Script,
  type ScriptedRequest,
  say,
  usage,
} from '../support/scripted-model/scripted-model.ts';
import { type Task, useWorld } from '../support/worker.ts';

const world = useWorld({ kind: 'postgres' });
const PROMPT = 'Port the parser to Rust, and touch nothing else.';
/** A request has its system prompt and the tool in it too. */
const context = { ...DEFAULT_CONTEXT, maxTokens: 6_000 };
const wanted = { prompt: PROMPT, context, tools: ['look'], limits: { turns: 900 } };

/** As the provider counts: nobody else does it quite so. */
const counted = ({ body }: ScriptedRequest) => Math.ceil(JSON.stringify(body).length / 3.5);
const isSummary = ({ messages }: ScriptedRequest) => {
  const last = messages.at(-1);
  return last?.role === 'user' && last.text.includes(SUMMARY_REQUEST.slice(0, 40));
};
const told = ({ messages }: ScriptedRequest) => JSON.stringify(messages);

interface Reading {
  readonly times: number;
  readonly window?: number;
  /** Of each call, and of its output. */
  readonly tokens?: number;
  readonly tool?: 'look' | 'bash';
}

/** Reads so often, then says that it is done. Whoever counts more than the window refuses. */
function reads({ times, window = Number.POSITIVE_INFINITY, tokens = 250, tool = 'look' }: Reading) {
  let answers = 0;
  const script: Script = (request) => {
    const input = counted(request);
    if (input > window) return error(400, { message: 'prompt is too long' });
    if (isSummary(request)) return [say('# Goal\nA parser in Rust.'), usage({ input, output: 20 })];
    answers += 1;
    const spent = usage({ input, output: 10 });
    if (answers > times) return [say('Done.'), spent];
    const text = `${answers} `.padEnd(tokens * 3.5, 'x y ');
    const args = tool === 'look' ? { text } : { command: `seq ${answers} ${answers + tokens}` };
    return [call(tool, args, `look_${answers}`), spent];
  };
  return script;
}

async function events({ sessionId }: Task): Promise<string[]> {
  const rows = await world.db.sql<{
    type: string;
  }>`SELECT type FROM event WHERE session_id = ${sessionId} ORDER BY seq`;
  return rows.map(({ type }) => type);
}

async function turns({ taskId }: Task): Promise<string[]> {
  const rows = await world.db.sql<{ line: string }>`
    SELECT kind || ' ' || status AS line FROM turn WHERE task_id = ${taskId} ORDER BY number`;
  return rows.map(({ line }) => line);
}

const requestsOf = ({ sessionId }: Task) =>
  world.model.requests.filter((request) => request.sessionId === sessionId);

test('a session that would be several times too long stays within its window, and costs what the provider counted', async () => {
  await world.startWorker();
  const task = await world.submit({
    ...wanted,
    limits: { turns: 41 },
    script: reads({ times: 40, window: 6_000 }),
  });
  expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
  const requests = requestsOf(task);
  for (const request of requests) {
    expect(request.outcome).toBe('answered');
    expect(request.messages[0]).toEqual({ role: 'user', text: expect.stringContaining(PROMPT) });
  }
  const kinds = (await world.entries(task)).map(({ kind }) => kind);
  expect(kinds).toContain('compaction');
  expect(kinds.filter((kind) => kind === 'tool_result')).toHaveLength(40);
  const [tree] = await world.db.sql<{ used: number; turns: number }>`
    SELECT tokens_used::float8 AS used, turns FROM tree WHERE root_id = ${task.sessionId}`;
  const output = requests.reduce((sum, request) => sum + (isSummary(request) ? 20 : 10), 0);
  expect(tree).toEqual({
    used: requests.reduce((sum, request) => sum + counted(request), output),
    turns: 41,
  });
  // Prefixes: each request begins as the one before it, but where the log was made shorter.
  const breaks = requests.filter((request, index) => {
    const before = requests[index - 1];
    return before !== undefined && !isSummary(before) && !told(request).startsWith(told(before).slice(0, -1));
  });
  const shortened = (await events(task)).filter((type) => type === 'context.compacted').length;
  expect(shortened).toBeLessThan(8);
  expect(breaks.length).toBeLessThanOrEqual(shortened);
});

test('what is asked for a summary is counted where the provider counts nothing', async () => {
  await world.startWorker();
  const reading = reads({ times: 40, window: 6_000 });
  const none = usage({ input: 0, output: 0, cached: 0, reasoning: 0 });
  const task = await world.submit({
    ...{ ...wanted, limits: { turns: 41 } },
    script: (request) => (isSummary(request) ? [say('# Goal\nA parser in Rust.'), none] : reading(request)),
  });
  await world.taskEnds(task);
  // Its task knew what the conversation came to before that was asked.
  const rows = await world.db.sql<{ more: number }>`
    SELECT g.input - (e.data->>'before')::float8 AS more FROM usage g
      JOIN event e ON e.root_id = g.root_id AND e.type = 'context.compacted' JOIN turn u ON u.id = g.turn_id AND u.number = e.turn
     WHERE g.session_id = ${task.sessionId} AND g.outcome = 'estimated'`;
  expect(rows.length).toBeGreaterThan(0);
  for (const { more } of rows) expect(Math.abs(more)).toBeLessThan(250);
});

test('an overflow fails the turn, makes the log shorter, and the answer is asked for once more', async () => {
  await world.startWorker();
  // Nobody told Capybara of so small a window.
  const task = await world.submit({
    ...{ ...wanted, context: DEFAULT_CONTEXT, limits: { turns: 7 } },
    script: reads({ times: 6, window: 2_600, tokens: 500 }),
  });
  expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
  const found = await turns(task);
  const at = found.indexOf('answer failed');
  expect(found.slice(at, at + 3)).toEqual(['answer failed', 'compaction done', 'answer done']);
  expect(found.filter((line) => line === 'answer done')).toHaveLength(7);
  expect((await events(task)).filter((type) => type === 'turn.failed')).toHaveLength(
    found.filter((line) => line === 'answer failed').length,
  );
  expect(requestsOf(task).at(-1)?.messages[0]).toMatchObject({ text: expect.stringContaining(PROMPT) });
});

test('a second overflow in a row fails the task and says why', async () => {
  await world.startWorker();
  let isTooLong = false;
  const reading = reads({ times: 4, tokens: 400 });
  const task = await world.submit({
    ...wanted,
    context: DEFAULT_CONTEXT,
    script: (request) => {
      isTooLong ||= request.answers === 4;
      return isTooLong && !isSummary(request)
        ? error(400, { message: 'prompt is too long' })
        : reading(request);
    },
  });
  expect(await world.taskEnds(task)).toMatchObject({
    status: 'failed',
    error_code: 'context_overflow',
    error_message: expect.stringContaining('It was made shorter, and is still too long.'),
  });
  expect((await turns(task)).slice(-3)).toEqual(['answer failed', 'compaction done', 'answer failed']);
});

test('a conversation that nothing can be taken out of fails with the reason', async () => {
  await world.startWorker();
  const task = await world.submit({ ...wanted, script: () => error(400, { message: 'prompt is too long' }) });
  expect(await world.taskEnds(task)).toMatchObject({ status: 'failed', error_code: 'context_overflow' });
});

test('a model that writes no summary is asked again, and then the task fails', async () => {
  await world.startWorker();
  const reading = reads({ times: 60 });
  const task = await world.submit({
    ...wanted,
    script: (request) => (isSummary(request) ? [say(' '), usage({ input: 1, output: 1 })] : reading(request)),
  });
  expect(await world.taskEnds(task)).toMatchObject({ status: 'failed', error_code: 'no_summary' });
  expect(requestsOf(task).filter(isSummary)).toHaveLength(3);
});

test('a worker that is new to a session reads what is told, and all of it where a person went back to before a summary', async () => {
  const first = await world.startWorker();
  const task = await world.submit({ ...wanted, script: reads({ times: 24 }) });
  await world.taskEnds(task);
  const entries = await world.entries(task);
  const summary = entries.find((entry) => entry.kind === 'compaction');
  if (summary === undefined) throw new Error('there is no summary');
  const cold = await readLog(world.db, task.sessionId, 0);
  expect(cold.map(({ kind, position }) => [kind, position])).toEqual(
    entries.map(({ kind, position }) => [kind, position]),
  );
  const { after, to } = (entries.findLast(({ kind }) => kind === 'compaction') as typeof summary).replaces;
  for (const [index, entry] of cold.entries()) {
    const isOut =
      entry.position > after && entry.position <= to && /assistant|result|notice/.test(entry.kind);
    expect(entry.parts).toEqual(isOut ? [] : entries[index]?.parts);
  }
  await first.stop();

  await world.startWorker();
  const next = await world.submit({
    ...wanted,
    sessionId: task.sessionId,
    prompt: 'And now?',
    script: () => [say('Fine.')],
  });
  await world.taskEnds(next);
  const going = told(requestsOf(next).at(-1) as ScriptedRequest);
  expect(going).toContain(SUMMARY_FOLLOWS);
  expect(going).not.toContain('look_1"');

  // Behind the first answer's result: long before the summary, and before any output was taken out.
  const parts = [{ type: 'text' as const, text: 'Back.' }];
  const { teamId, userId } = await owner(task);
  const at = entries.find(({ kind }) => kind === 'tool_result')?.position ?? 0;
  await revertSession(world.db, {
    ...{ teamId, userId, sessionId: task.sessionId, id: newId(), to: at, snapshot: null, parts },
  });
  const back = await world.submit({
    ...wanted,
    sessionId: task.sessionId,
    prompt: 'Again.',
    script: () => [say('Fine.')],
  });
  await world.taskEnds(back);
  const request = told(requestsOf(back).at(-1) as ScriptedRequest);
  expect(request).toContain('look_1"');
  expect(request).not.toContain(SUMMARY_FOLLOWS);
  expect(request).not.toContain(PRUNED);

  // Of a fork before and behind the summary.
  for (const [place, isSummarised] of [
    [at, false],
    [summary.position, true],
  ] as const) {
    const id = newId();
    await forkSession(world.db, {
      ...{ teamId, userId, id, title: 'A fork', from: task.sessionId, at: place },
      workspace: {
        id: newId(),
        kind: 'empty',
        source: null,
        rules: null,
        projectServers: null,
        lineage: newId(),
        base: null,
        head: null,
      },
      notice: [{ type: 'text', text: 'A copy.' }],
    });
    const fork = await world.submit({
      ...wanted,
      sessionId: id,
      prompt: 'Go on.',
      script: () => [say('Fine.')],
    });
    await world.taskEnds(fork);
    expect(told(requestsOf(fork).at(-1) as ScriptedRequest).includes(SUMMARY_FOLLOWS)).toBe(isSummarised);
  }
});

test('the model’s window counts where it is smaller than what is configured, and old output goes first', async () => {
  const models = { scripted: { contextTokens: 8_000, outputTokens: 2_000 } };
  await world.startWorker({ models: createModels({ env: { baseUrl: world.model.baseUrl, models } }) });
  const task = await world.submit({
    ...wanted,
    context: DEFAULT_CONTEXT,
    tools: ['bash'],
    script: reads({ times: 12, window: 6_000, tokens: 300, tool: 'bash' }),
  });
  expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
  expect(await turns(task)).toContain('compaction done');
  // Old output is enough: nobody is asked for a summary, and what was read stays in the log.
  expect((await world.entries(task)).map(({ kind }) => kind)).toContain('pruning');
  expect(requestsOf(task).some(isSummary)).toBe(false);
  expect(told(requestsOf(task).at(-1) as ScriptedRequest)).toContain(PRUNED);
});

async function owner({ sessionId }: Task): Promise<{ teamId: string; userId: string }> {
  const [row] = await world.db.sql<{ teamId: string; userId: string }>`
    SELECT team_id AS "teamId", user_id AS "userId" FROM session WHERE id = ${sessionId}`;
  if (row === undefined) throw new Error('there is no session');
  return row;
}

test('a list of what is to be done outlives the call that handed it in', async () => {
  await world.startWorker();
  const todos = [
    { text: 'Read the parser.', status: 'in_progress' },
    { text: 'Port it.', status: 'pending' },
  ];
  const reading = reads({ times: 24, window: 6_000 });
  let listed = false;
  const task = await world.submit({
    ...{ ...wanted, tools: ['look', 'todo'] },
    script(request) {
      if (listed) return reading(request);
      listed = true;
      // Of two in one answer the later one counts.
      return [call('todo', { items: [] }, 'todo_1'), call('todo', { items: todos }, 'todo_2')];
    },
  });
  expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
  expect(await readTodos(world.db, [task.sessionId])).toEqual(new Map([[task.sessionId, todos]]));
  const { messages } = requestsOf(task).at(-1) as ScriptedRequest;
  const summary = messages.find((message) => message.text.includes(SUMMARY_FOLLOWS));
  expect(summary?.text).toMatch(
    /# Goal\nA parser in Rust\.\n\nYour list .*:\n- in_progress: Read the parser\.\n- pending: Port it\.$/,
  );
  expect(JSON.stringify(messages)).not.toContain('todo_2');
});
