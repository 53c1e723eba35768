/** An agent works with tools of MCP servers, whatever becomes of a server, or of the worker that started it. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { newId } from '../../src/clock.ts';
import { MCP_LIMITS, type McpServer } from '../../src/mcp/client/server.ts';

import type { SignIn } from '../../src/mcp/oauth/sign-in.ts';
import { putMcpServer, removeMcpServer } from '../../src/store/mcp-servers.ts';
import { McpSignIns } from '../../src/store/mcp-sign-ins.ts';
import { Sealing } from '../../src/store/sealing.ts';
import { signInAt, startOAuthMcpServer } from '../support/oauth-mcp-server.ts';
import { isRunning } from '../support/running.ts';
import { call, say, sequence } from '../support/scripted-model/scripted-model.ts';
import { sealing } from '../support/sealing.ts';
import { addTeam } from '../support/store.ts';

import { queueKinds, SHORT_LEASE, type Task, useWorld, type World } from '../support/worker.ts';

const kinds = await queueKinds('tools of MCP servers on Redis');
const command = process.execPath;
const odd = (...args: string[]): McpServer => ({
  command,
  args: [join(import.meta.dirname, '../support/mcp-odd-server.mjs'), ...args],
});
const everything: McpServer = {
  command,
  args: [
    join(import.meta.dirname, '../../node_modules/@modelcontextprotocol/server-everything/dist/index.js'),
  ],
};
const limits = { ...MCP_LIMITS, connectSeconds: 20, callSeconds: 20 };

const CHILDREN = { children: 1, concurrentChildren: 1, depth: 1 };

const offeredIn = (world: World, { sessionId }: Task) => world.model.requestsOf(sessionId)[0]?.tools ?? [];
const resultsIn = (world: World, { sessionId }: Task, turn: number) =>
  world.model.requestsOf(sessionId)[turn]?.lastToolResults.map(({ text }) => text) ?? [];

describe.each(kinds)('tools of servers, on $kind,', (kind) => {
  const world = useWorld(kind);

  test('finish a task, while one of two servers is killed and started again', async () => {
    const servers = { odd: odd(), every: everything };
    await world.startWorker({ mcp: { servers, limits } });
    const both = [call('odd__pid'), call('every__echo', { message: 'one' })];
    const killed: number[] = [];
    const task = await world.submit({
      mcp: { servers: Object.keys(servers) },
      script: (request) => {
        const pid = Number(/pid (\d+)/.exec(request.lastToolResults[0]?.text ?? '')?.[1]);
        if (killed.length < 2 && Number.isInteger(pid)) {
          killed.push(pid);
          process.kill(pid, 'SIGKILL');
        }
        return (request.turn ?? 0) > 3 ? say('Done.') : both;
      },
    });
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    const pids = [1, 2, 3].map((turn) => resultsIn(world, task, turn)[0]);
    expect([killed.length, new Set(pids).size]).toEqual([2, 3]);
    for (const turn of [1, 2, 3]) expect(resultsIn(world, task, turn)[1]).toContain('Echo: one');
    const offered = offeredIn(world, task);
    expect(offered).toEqual(offered.toSorted());
    expect(offered).toEqual(expect.arrayContaining(['odd__count', 'every__get-sum', 'read_file']));
  });
});

describe('tools of servers', () => {
  const world = useWorld({ kind: 'postgres' });
  const servers = { odd: odd(), bad: odd('dies') };

  test('are asked about, but for those that merely read', async () => {
    await world.startWorker({ mcp: { servers, limits } });
    const script = sequence([[call('odd__count'), call('odd__env')], say('Done.')]);
    const task = await world.submit({ mode: 'safe', mcp: { servers: ['odd'] }, script });
    const [approval = ''] = await world.until('it asks', async () => {
      const ids = await world.approvals(task);
      return ids.length === 1 && (await world.task(task.taskId)).status === 'waiting' && ids;
    });
    await world.answer(approval, 'denied');
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    expect(resultsIn(world, task, 1)).toEqual([
      expect.stringContaining('calls 1'),
      'Denied: a person said no to this call.',
    ]);
  });

  test('that an agent is not to have are not there', async () => {
    await world.startWorker({ mcp: { servers, limits } });
    const task = await world.submit({
      mcp: { servers: ['odd'], only: ['odd__count', 'odd__env'], without: ['odd__env'] },
      script: sequence([call('odd__env'), say('Done.')]),
    });
    await world.taskEnds(task);
    expect(offeredIn(world, task).filter((name) => name.includes('__'))).toEqual(['odd__count']);
    expect(resultsIn(world, task, 1)).toEqual([
      expect.stringMatching(/^Error: UnknownTool: there is no tool 'odd__env'/),
    ]);
  });

  test('that are too many are told of once they are found, and can be called', async () => {
    await world.startWorker({ mcp: { servers: { many: odd('many') }, limits } });
    const task = await world.submit({
      mcp: { servers: ['many'] },
      script: sequence([call('find_tools', { query: 'count what is' }), call('many__count'), say('Done.')]),
    });
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    const shown = world.model
      .requestsOf(task.sessionId)
      .map(({ tools }) => tools.filter((name) => /__|^find/.test(name)));
    expect(shown).toEqual([['find_tools'], ...Array(2).fill(['find_tools', 'many__count'])]);
    expect(resultsIn(world, task, 1)).toEqual([
      '- many__count: Does count.\nYou can call these from now on.',
    ]);
    expect(resultsIn(world, task, 2)).toEqual([expect.stringContaining('calls 1')]);
  });

  test('of a server that does not start are missing, which is told once', async () => {
    await world.startWorker({ mcp: { servers, limits } });
    const task = await world.submit({
      mcp: { servers: ['odd', 'bad', 'gone'] },
      script: sequence([call('bad__count'), call('odd__count'), say('Done.')]),
    });
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    const notices = (await world.entries(task)).filter(({ kind }) => kind === 'notice');
    const texts = notices.flatMap(({ parts }) => parts.map((part) => ('text' in part ? part.text : '')));
    expect(texts.filter((text) => text.startsWith('MCP servers:'))).toEqual([
      "MCP servers: 'bad', 'gone' cannot be used now, and the tools are missing.",
    ]);
    expect(resultsIn(world, task, 1)).toEqual([
      expect.stringMatching(/^Error: McpServer: the MCP server 'bad' ended \(exit code 3\)/),
    ]);
    expect(resultsIn(world, task, 2)).toEqual([expect.stringContaining('calls 1')]);
  });

  test('that only open to who signed in are there once the team has, on each worker, for as long as it has', async () => {
    const server = await startOAuthMcpServer();
    try {
      const guarded = { url: server.url };
      await world.startWorker({ mcp: { servers: { guarded }, limits, sealing } });
      const submit = () =>
        world.submit({
          mcp: { servers: ['guarded'] },
          script: sequence([call('guarded__look'), say('Done.')]),
        });
      const before = await submit();
      await world.taskEnds(before);
      expect(resultsIn(world, before, 1)).toEqual([
        "Error: McpServer: the MCP server 'guarded' wants somebody to sign in: `capybara mcp login guarded`. The call was not made.",
      ]);
      const notices = (await world.entries(before)).filter(({ kind }) => kind === 'notice');
      expect(JSON.stringify(notices)).toContain(
        "MCP servers: 'guarded' (a person has to sign in there: `capybara mcp login guarded`) cannot be used now",
      );
      const secret = await signInAt(server.url);
      await new McpSignIns<SignIn>(world.db, sealing).put(
        { teamId: world.teamId, server: 'guarded' },
        { secret, userId: null },
      );
      server.expire();
      const after = await submit();
      await world.taskEnds(after);
      expect(resultsIn(world, after, 1)).toEqual([expect.stringContaining('signed in for look')]);
      expect(server.asked.refresh_token).toBe(1);
    } finally {
      await server.close();
    }
  });

  test('of a team are there as they are when a turn runs, and no other team sees them', async () => {
    const ofTeam = { allowed: 'all', sealing } as const;
    await world.startWorker({ mcp: { servers: { odd: odd() }, ofTeam, limits } });
    const us = { teamId: world.teamId, userId: newId() };
    const put = (name: string, settings: McpServer, team = us, by = sealing) =>
      putMcpServer(world.db, { ...team, id: newId(), name, settings }, by);
    const other = new Sealing([Buffer.alloc(32, 8).toString('base64')]);
    await put('mine', odd());
    await put('odd', odd('dies'));
    await put('shut', odd(), us, other);
    await put('theirs', odd(), await addTeam(world.db));
    const script = sequence([[call('mine__count'), call('odd__count'), call('shut__count')], say('Done.')]);
    const task = await world.submit({ mcp: { servers: ['odd'], team: true }, script });
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    const serversSeen = (index: number) => [
      ...new Set(
        world.model
          .requestsOf(task.sessionId)
          [index]?.tools.flatMap((name) => /^(.+)__/.exec(name)?.[1] ?? []),
      ),
    ];
    expect(serversSeen(0)).toEqual(['mine', 'odd']);
    expect(resultsIn(world, task, 1)).toEqual([
      expect.stringContaining('calls 1'),
      expect.stringContaining('calls 1'),
      expect.stringMatching(
        /^Error: McpServer: the MCP server 'shut' has settings that cannot be read where/,
      ),
    ]);
    await removeMcpServer(world.db, { ...us, name: 'mine' });
    await put('shut', odd());
    const again = {
      sessionId: task.sessionId,
      mcp: { servers: [], team: true, only: ['shut__count'] },
    } as const;
    const next = await world.submit({ ...again, script: () => say('Done.') });
    expect(await world.taskEnds(next)).toMatchObject({ status: 'succeeded' });
    expect(world.model.requestsOf(task.sessionId)[2]?.tools.filter((name) => name.includes('__'))).toEqual([
      'shut__count',
    ]);
    const texts = (await world.entries(task)).flatMap(({ kind, parts }) =>
      kind === 'notice' ? parts.map((part) => ('text' in part ? part.text : '')) : [],
    );
    expect(texts.filter((text) => text.startsWith('MCP servers:'))).toEqual([
      "MCP servers: 'shut' cannot be used now, and the tools are missing.",
      'MCP servers: all of them can be used again.',
    ]);
  });

  test('of a team are used where their kind is, and nothing is asked for where none is', async () => {
    await world.startWorker({ mcp: { servers: {}, ofTeam: { allowed: 'addresses', sealing }, limits } });
    const us = { teamId: world.teamId, userId: newId() };
    await putMcpServer(world.db, { ...us, id: newId(), name: 'prog', settings: odd() }, sealing);
    const task = await world.submit({ mcp: { servers: [], team: true }, script: sequence([say('Done.')]) });
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    expect(offeredIn(world, task).filter((name) => name.includes('__'))).toEqual([]);
  });

  test('of a project are there where they are allowed, never instead of others, and for those who work on it', async () => {
    await world.startWorker({ mcp: { servers: { odd: odd() }, hasProjects: true, limits } });
    const mcp = { servers: ['odd'], project: true } as const;
    const projectServers = { odd: odd('dies'), own: odd(), shut: { command: 'x', unknown: 1 } };
    const script = sequence([
      [call('own__count'), call('odd__count'), call('shut__count')],
      call('delegate_task', { prompt: 'Look.', agent: 'helper' }),
      say('Done.'),
    ]);
    const helper = { mcp, script: sequence([call('own__count'), say('Seen.')]) };
    const task = await world.submit({
      mcp,
      projectServers,
      local: true,
      script,
      delegates: { helper },
      limits: CHILDREN,
    });
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    expect(resultsIn(world, task, 1)).toEqual([
      expect.stringContaining('calls 1'),
      expect.stringContaining('calls 1'),
      expect.stringContaining("the MCP server 'shut' has settings that cannot be read where this runs"),
    ]);
    const [child] = await world.children(task);
    const seen = world.model.requestsOf(child?.sessionId ?? '')[1]?.lastToolResults.map(({ text }) => text);
    expect(seen).toEqual([expect.stringContaining('calls 1')]);
  });

  test('die with their worker, and a call in the middle is told as unknown, and not made again', async () => {
    const marks = join(world.dir, 'marks');
    const child = await world.startChild({ lease: SHORT_LEASE, mcp: { servers, limits } });
    const task = await world.submit({
      mcp: { servers: ['odd'] },
      script: sequence([call('odd__mark', { path: marks }), call('odd__count'), say('Done.')]),
    });
    await world.until('the call', async () => existsSync(marks) && readFileSync(marks, 'utf8') !== '');
    await world.startWorker({ lease: SHORT_LEASE, mcp: { servers, limits } });
    child.kill('SIGKILL');
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    const pids = readFileSync(marks, 'utf8').trimEnd().split('\n').map(Number);
    expect(pids).toHaveLength(1);
    await world.until('the server is gone', async () => !isRunning(pids[0] ?? 0));
    expect(await world.calls(task)).toEqual(['odd__mark unknown', 'odd__count succeeded']);
    expect(resultsIn(world, task, 2)).toEqual([expect.stringContaining('calls 1')]);
  });
});
