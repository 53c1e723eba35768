/** The MCP server without a process and without an API: what it makes of a Capybara that fails, and of its own ends. */
import { PassThrough } from 'node:stream';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { InMemoryTransport } from '@modelcontextprotocol/sdk/inMemory.js';
import { describe, expect, test, vi } from 'vitest';
import { type Client as Capybara, UnreachableError } from '../../src/client/client.ts';
import { patchPage } from '../../src/mcp/server/diff-tool.ts';
import type { Reach } from '../../src/mcp/server/reach.ts';
import { createMcpServer } from '../../src/mcp/server/server.ts';
import { serveStdio } from '../../src/mcp/server/stdio.ts';
import { progressLine } from '../../src/mcp/server/watch.ts';
import { event } from './scripted-api.ts';

/** A Capybara that fails so, whatever it is asked. */
function failing(error: Error): Reach {
  const fail = async () => Promise.reject(error);
  const client = { tasks: fail, task: fail, createTask: fail } as unknown as Capybara;
  return { client, clientUntil: () => client, recover: vi.fn(async () => {}) };
}

async function connected(reach: Reach) {
  const onBug = vi.fn();
  const client = new Client({ name: 'foreign', version: '1' });
  const [mine, theirs] = InMemoryTransport.createLinkedPair();
  await createMcpServer({ reach, onBug }).connect(theirs);
  await client.connect(mine);
  return { client, onBug };
}

describe('a failure', () => {
  test('that is a bug is told to whoever runs it, and to the client without a word of it', async () => {
    const bug = new TypeError('secret');
    const { client, onBug } = await connected(failing(bug));
    const told = 'MCP error -32603: This is a bug of Capybara: its log says more.';
    await expect(client.callTool({ name: 'list_tasks' })).rejects.toThrow(told);
    await expect(client.experimental.tasks.getTask('task_1')).rejects.toThrow(told);
    expect(onBug.mock.calls).toEqual([[bug], [bug]]);
    await client.close();
  });

  test('to reach Capybara is a result, and the next call looks where it has gone', async () => {
    const reach = failing(new UnreachableError('Nobody is there: try again.'));
    const { client, onBug } = await connected(reach);
    expect(await client.callTool({ name: 'list_tasks' })).toMatchObject({
      isError: true,
      content: [{ type: 'text', text: 'Nobody is there: try again. (server_unreachable)' }],
    });
    await expect(client.experimental.tasks.listTasks()).rejects.toMatchObject({ code: -32603 });
    expect([vi.mocked(reach.recover).mock.calls.length, onBug.mock.calls]).toEqual([2, []]);
    await client.close();
  });
});

describe('serving stdio', () => {
  const serve = (signal = new AbortController().signal) => {
    const [input, output] = [new PassThrough(), new PassThrough()];
    const [reach, onBug, onNonsense] = [failing(new Error('never asked')), vi.fn(), vi.fn()];
    const ended = serveStdio({ reach, onBug, onNonsense, input, output, signal });
    return { input, output, onNonsense, ended };
  };

  test('ends with its input, and tells of what is no message', async () => {
    const { input, output, onNonsense, ended } = serve();
    input.end('{"jsonrpc": "2.0", "id": 1, "method": "ping"}\nnonsense\n');
    await ended;
    expect(String(output.read())).toBe('{"result":{},"jsonrpc":"2.0","id":1}\n');
    expect(onNonsense).toHaveBeenCalledOnce();
  });

  test('ends when it is told to, and when nobody reads', async () => {
    const stop = new AbortController();
    const told = serve(stop.signal);
    stop.abort();
    await told.ended;
    const broken = serve();
    broken.output.destroy(new Error('EPIPE'));
    await broken.ended;
  });
});

test('a page of a patch ends behind a line, or in one that is longer', () => {
  const text = `${'a'.repeat(9)}\n${'b'.repeat(9)}\n${'c'.repeat(30)}`;
  const pages = [];
  for (let offset: number | null = 0; offset !== null; ) {
    const page = patchPage(text, { offset, maxCharacters: 15 });
    pages.push(page);
    offset = page.nextOffset;
  }
  expect(pages.map(({ patch }) => patch.length)).toEqual([10, 10, 15, 15]);
  expect(pages.map(({ patch }) => patch).join('')).toBe(text);
  expect(new Set(pages.map(({ version, characters }) => `${version} ${characters}`)).size).toBe(1);
  expect(patchPage('', { offset: 7, maxCharacters: 15 })).toMatchObject({ patch: '', nextOffset: null });
});

test.each<[Parameters<typeof event>, string]>([
  [[1, 'turn.started'], 'turn 1'],
  [[1, 'tool.started', { name: 'bash' }, 2], 'turn 2: bash started'],
  [[1, 'tool.completed', { name: 'bash', status: 'failed' }, 2], 'turn 2: bash failed'],
  [[1, 'tool.requested', { name: 'do\nas I say' }], 'turn 1: do_as_I_say requested'],
  [[1, 'approval.requested', { tool: 'bash', approvalId: 'apr_1' }], 'turn 1: bash needs an approval, apr_1'],
  [[1, 'task.waiting', { on: 'budget' }], 'waits on budget'],
  [[1, 'child.started', { title: 'anything' }], 'turn 1: child started'],
])('progress is told in a line: %j', (given, line) => {
  expect(progressLine(event(...given))).toBe(line);
});
