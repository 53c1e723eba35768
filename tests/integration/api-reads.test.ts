import { randomBytes } from 'node:crypto';
import { mkdtempSync, realpathSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { MAX_SEARCH_LENGTH } from '../../src/api/session-routes.ts';
import {
  Approval,
  Entry,
  Event,
  type FilePart,
  Message,
  page,
  Rule,
  Session,
  SessionDetails,
  Task,
  TeamUsage,
  ToolCall,
  Worker,
} from '../../src/api/wire.ts';
import { Models } from '../../src/api/wire-models.ts';
import { newId } from '../../src/clock.ts';
import type { FilePart as ImagePart } from '../../src/core/entry.ts';
import { toPublicId } from '../../src/core/id.ts';
import { createModels } from '../../src/model/providers.ts';
import { putImage, putOutput } from '../../src/store/outputs.ts';
import { type NewCall, parkTurn, settleTurn } from '../../src/store/turns.ts';
import { expireApproval } from '../../src/store/workers.ts';
import { jpegOf, pngOf } from '../support/images.ts';
import { say, startScriptedModel } from '../support/scripted-model/scripted-model.ts';
import { aCall, HandWorker, type Person, startTestApi, type TestApi, USAGE, uuid } from './api-harness.ts';

let it: TestApi;
let worker: HandWorker;
let stranger: Person;

beforeAll(async () => {
  it = await startTestApi();
  worker = await new HandWorker(it.db).register();
  stranger = await it.addPerson('theirs', 'Bo');
});
afterAll(() => it.close());

const tool = (callId: string, name: string, json = '{}') => ({
  type: 'tool' as const,
  callId,
  name,
  arguments: json,
});

/** A session whose first turn asked for two calls: one is done, with its output stored, and one denied. */
async function sessionWithCalls(output = 'whole output'): Promise<{ sessionId: string; outputId: string }> {
  const { sessionId } = await it.submit({ prompt: 'Use tools' });
  const held = await worker.claim(uuid('session', sessionId));
  const read = aCall({ callId: 'a', name: 'read_file', effect: 'read' });
  const bash = aCall({ ordinal: 1, callId: 'b', denial: 'no' });
  await worker.answer(held, {
    before: [{ kind: 'notice', parts: [{ type: 'text', text: 'context' }] }],
    parts: [
      { type: 'reasoning', text: 'hm', signature: 'proof' },
      { type: 'text', text: 'Let me look.' },
      tool('a', 'read_file', '{"path":"x"}'),
      tool('b', 'bash', 'not json'),
    ],
    calls: [read, bash],
  });
  const parts = [{ type: 'text' as const, text: 'cut' }];
  const results = [
    {
      id: read.id,
      status: 'succeeded' as const,
      parts,
      durationMs: 7,
      outputHash: await putOutput(it.db, uuid('session', sessionId), output),
    },
    { id: bash.id, status: 'denied' as const, parts },
  ];
  await settleTurn(it.db, held, { results, end: { kind: 'continue' }, nextTurnId: newId() });
  return { sessionId, outputId: toPublicId('output', read.id) };
}

describe('a session', () => {
  test('shows the state of its task in hand, or of the last', async () => {
    const { id, sessionId } = await it.submit();
    const rootId = uuid('session', sessionId);
    const state = async () => Session.parse((await it.ask('GET', `/v1/sessions/${sessionId}`)).json).state;
    expect(await state()).toBe('idle');
    const held = await worker.claim(rootId);
    expect(await state()).toBe('thinking');
    const call = aCall({ status: 'awaiting_approval', approvalId: newId() });
    await worker.answer(held, { parts: [tool('c1', 'bash')], calls: [call] });
    expect(await state()).toBe('executing');
    await parkTurn(it.db, held, []);
    expect(await state()).toBe('waiting');
    await it.submit({ sessionId });
    expect(await state()).toBe('waiting');
    await it.ask('POST', `/v1/tasks/${id}/cancel`);
    expect(await state()).toBe('idle');
    await worker.finish(rootId);
    expect(await state()).toBe('completed');
  });

  test('shows the list of its agent, and a page of sessions shows none', async () => {
    const { sessionId } = await it.submit();
    const shown = async () =>
      SessionDetails.parse((await it.ask('GET', `/v1/sessions/${sessionId}`)).json).todos;
    expect(await shown()).toEqual([]);
    const held = await worker.claim(uuid('session', sessionId));
    const call = aCall({ callId: 'a', name: 'todo', effect: 'read' });
    await worker.answer(held, { parts: [tool('a', 'todo')], calls: [call] });
    const todos = [{ text: 'Look.', status: 'done' } as const, { text: 'Mend.', status: 'pending' } as const];
    const results = [{ id: call.id, status: 'succeeded' as const, parts: [], noted: { todos } }];
    await settleTurn(it.db, held, { results, end: { kind: 'continue' }, nextTurnId: newId() });
    expect(await shown()).toEqual(todos);
    const { json } = await it.ask('GET', '/v1/sessions?limit=1');
    expect([json.data[0].id, json.data[0].todos]).toEqual([sessionId, undefined]);
  });

  test('is found by its title or by what people said, in any case', async () => {
    const one = await it.submit({ prompt: 'Mend the Gearbox\nand mind the 100% torque_limit' });
    const found = async (q: string) => {
      const { json } = await it.ask('GET', `/v1/sessions?q=${encodeURIComponent(q)}`);
      return page(Session)
        .parse(json)
        .data.map(({ id }) => id);
    };
    for (const q of ['gearbox', 'TORQUE_LIMIT', '100%', 'mind mend'])
      expect(await found(q)).toEqual([one.sessionId]);
    for (const q of ['gear%box', 'torque-gearbox', 'a\0b', '"']) expect(await found(q)).toEqual([]);
    const long = await it.ask('GET', `/v1/sessions?q=${'x'.repeat(MAX_SEARCH_LENGTH + 1)}`);
    expect(long.status).toBe(400);
    expect(await found('x'.repeat(MAX_SEARCH_LENGTH))).toEqual([]);
  });

  test('is listed in pages, the newest first', async () => {
    const person = await it.addPerson('pages', 'Pat');
    const ids: string[] = [];
    for (const prompt of ['1', '2', '3']) {
      const { json } = await it.ask('POST', '/v1/tasks', { body: { prompt }, key: person.apiKey });
      ids.unshift(json.sessionId);
    }
    const first = await it.ask('GET', '/v1/sessions?limit=2', { key: person.apiKey });
    const rest = await it.ask('GET', `/v1/sessions?limit=2&cursor=${first.json.nextCursor}`, {
      key: person.apiKey,
    });
    expect([...first.json.data, ...rest.json.data].map(({ id }: Session) => id)).toEqual(ids);
    expect(rest.json.nextCursor).toBeNull();
  });
});

describe('what a session holds', () => {
  test('its entries, page by page, without what is only the provider’s', async () => {
    const { sessionId } = await sessionWithCalls();
    const entries: Entry[] = [];
    for (let cursor: string | null = '0'; cursor !== null; ) {
      const { json } = await it.ask('GET', `/v1/sessions/${sessionId}/entries?limit=2&cursor=${cursor}`);
      const part = page(Entry).parse(json);
      entries.push(...part.data);
      cursor = part.nextCursor;
      expect(JSON.stringify(json)).not.toContain('proof');
    }
    expect(entries.map(({ position, kind, turn }) => [position, kind, turn])).toEqual([
      [1, 'user', 1],
      [2, 'notice', 1],
      [3, 'assistant', 1],
      [4, 'tool_result', 1],
      [5, 'tool_result', 1],
    ]);
    expect(entries[0]?.parts).toEqual([{ type: 'text', text: 'Use tools' }]);
    expect(entries[2]).toMatchObject({ stopReason: 'tool_calls', parts: { length: 4 } });
    expect(entries[4]).toMatchObject({ callId: 'b', status: 'denied' });
  });

  test('its tool calls, with the arguments as the model wrote them', async () => {
    const { sessionId, outputId } = await sessionWithCalls();
    const path = `/v1/sessions/${sessionId}/tool-calls?limit=1`;
    const first = page(ToolCall).parse((await it.ask('GET', path)).json);
    const second = page(ToolCall).parse((await it.ask('GET', `${path}&cursor=${first.nextCursor}`)).json);
    expect(first.data).toMatchObject([
      { name: 'read_file', arguments: '{"path":"x"}', status: 'succeeded', durationMs: 7, outputId },
    ]);
    expect(second.data).toMatchObject([
      { name: 'bash', arguments: 'not json', status: 'denied', outputId: null, resultPosition: 5 },
    ]);
    expect(second.nextCursor).toBeNull();
  });

  test('its task, which counts a denied call among those that did not succeed', async () => {
    const { sessionId } = await sessionWithCalls();
    const { data } = page(Task).parse((await it.ask('GET', `/v1/tasks?sessionId=${sessionId}`)).json);
    expect(data).toMatchObject([{ usage: { toolCalls: 2, toolFailures: 1 } }]);
  });

  test('its events, as pages', async () => {
    const { sessionId } = await sessionWithCalls();
    const path = `/v1/sessions/${sessionId}/events`;
    const all = page(Event).parse((await it.ask('GET', path)).json).data;
    expect(all.map(({ seq }) => seq)).toEqual(all.map((_, index) => index + 1));
    expect(all.slice(0, 3).map(({ type }) => type)).toEqual([
      'session.created',
      'task.created',
      'task.started',
    ]);
    const some = page(Event).parse((await it.ask('GET', `${path}?after=2&limit=2`)).json);
    expect(some.data).toEqual(all.slice(2, 4));
    const more = page(Event).parse((await it.ask('GET', `${path}?cursor=${some.nextCursor}`)).json);
    expect(more.data).toEqual(all.slice(4));
    const byHeader = await it.ask('GET', `${path}?after=0`, { headers: { 'last-event-id': '4' } });
    expect(byHeader.json.data).toEqual(all.slice(4));
    expect((await it.ask('GET', `${path}?after=${all.length}`)).json.data).toEqual([]);
    for (const after of ['x', '-1', '1.5', '9'.repeat(16), `${all.length + 1}`, '9'.repeat(15)]) {
      const { status, json } = await it.ask('GET', `${path}?after=${after}`);
      expect([status, json.code]).toEqual([400, 'invalid_after']);
    }
  });

  test('cursors that are none are refused', async () => {
    const { sessionId } = await it.submit();
    for (const path of ['entries?cursor=x', 'tool-calls?cursor=1.2', 'tool-calls?cursor=1.2.x']) {
      const { json } = await it.ask('GET', `/v1/sessions/${sessionId}/${path}`);
      expect(json.code).toBe('invalid_cursor');
    }
  });
});

describe('an image that a call returned', () => {
  const pictures = [pngOf({ shade: 1 }), jpegOf()] as const;
  let sessionId: string;
  let entries: Entry[];

  beforeAll(async () => {
    ({ sessionId } = await it.submit({ prompt: 'Look' }));
    const held = await worker.claim(uuid('session', sessionId));
    const call = aCall({ callId: 'a', name: 'read_file', effect: 'read' });
    await worker.answer(held, { parts: [tool('a', 'read_file')], calls: [call] });
    const file = { type: 'file' as const, width: 2, height: 1 };
    const [png, jpeg] = [
      await putImage(it.db, uuid('session', sessionId), pictures[0]),
      await putImage(it.db, uuid('session', sessionId), pictures[1]),
    ];
    const parts = [
      { type: 'text' as const, text: 'two' },
      { ...file, mediaType: 'image/png' as const, name: 'a/b "é".png', bytes: 9, hash: png },
      { ...file, mediaType: 'image/jpeg' as const, name: 'x.html', bytes: 9, hash: jpeg },
    ];
    const results = [{ id: call.id, status: 'succeeded' as const, parts }];
    await settleTurn(it.db, held, { results, end: { kind: 'continue' }, nextTurnId: newId() });
    const { json } = await it.ask('GET', `/v1/sessions/${sessionId}/entries`);
    entries = page(Entry).parse(json).data;
  });

  const filesShown = () => entries.flatMap(({ parts }) => parts.filter((part) => part.type === 'file'));
  const download = async (path: string, headers = {}) => {
    const authorization = `Bearer ${it.me.apiKey}`;
    const response = await fetch(`${it.url}${path}`, { headers: { authorization, ...headers } });
    return { response, bytes: Buffer.from(await response.arrayBuffer()) };
  };

  test('stands in the log with what downloads it, and without its bytes', async () => {
    expect(filesShown()).toMatchObject([
      { mediaType: 'image/png', name: 'a/b "é".png', width: 2, height: 1, bytes: 9 },
      { mediaType: 'image/jpeg', name: 'x.html' },
    ]);
    expect(new Set(filesShown().map(({ outputId }) => outputId)).size).toBe(1);
    const { json } = await it.ask('GET', `/v1/sessions/${sessionId}/events`);
    const [done] = json.data.filter(({ type }: Event) => type === 'tool.completed');
    expect(done.data).toMatchObject({ callId: 'a', files: 2 });
  });

  test('is downloaded whole or in ranges, as what it is, for a person to save', async () => {
    const path = `/v1/outputs/${filesShown()[0]?.outputId}`;
    for (const [part, type] of [
      ['', 'image/png'],
      ['?part=1', 'image/png'],
      ['?part=2', 'image/jpeg'],
    ] as const) {
      const { response, bytes } = await download(path + part);
      expect(response.status).toBe(200);
      expect(response.headers.get('content-type')).toBe(type);
      expect(response.headers.get('x-content-type-options')).toBe('nosniff');
      expect(response.headers.get('content-disposition')).toMatch(/^attachment; filename=/);
      expect(bytes.equals(pictures[type === 'image/png' ? 0 : 1])).toBe(true);
    }
    const { response, bytes } = await download(path, { range: 'bytes=1-3' });
    expect([response.status, bytes.toString()]).toEqual([206, 'PNG']);
    expect(response.headers.get('content-disposition')).toContain("filename*=UTF-8''b%20%22%C3%A9%22.png");
  });

  test('is not there under another place, for another team, or where a call returned none', async () => {
    const path = `/v1/outputs/${filesShown()[0]?.outputId}`;
    for (const part of [0, 3, 1_000_000])
      expect((await it.ask('GET', `${path}?part=${part}`)).status).toBe(404);
    for (const part of ['-1', 'x', '1000001'])
      expect((await it.ask('GET', `${path}?part=${part}`)).status).toBe(400);
    for (const each of [path, `${path}?part=1`])
      expect((await it.ask('GET', each, { key: stranger.apiKey })).status).toBe(404);
    const { outputId } = await sessionWithCalls();
    expect((await it.ask('GET', `/v1/outputs/${outputId}?part=0`)).status).toBe(404);
  });

  test('that a notice only names has nothing to download', async () => {
    const { sessionId: other } = await it.submit({ prompt: 'Look' });
    const held = await worker.claim(uuid('session', other));
    const { outputId: _, ...file } = filesShown()[0] as FilePart & ImagePart;
    const parts = [{ type: 'text' as const, text: 'refused' }, file];
    await worker.answer(held, { before: [{ kind: 'notice', parts }] });
    const { json } = await it.ask('GET', `/v1/sessions/${other}/entries`);
    expect(page(Entry).parse(json).data[1]?.parts[1]).toEqual({ ...file, outputId: null });
  });
});

describe('a stored output', () => {
  const text = `${randomBytes(300_000).toString('base64')}é`;
  const bytes = Buffer.from(text);
  let path: string;

  beforeAll(async () => {
    path = `/v1/outputs/${(await sessionWithCalls(text)).outputId}`;
  });

  test('is sent whole', async () => {
    const answer = await it.ask('GET', path);
    expect(answer.text).toBe(text);
    expect(answer.headers.get('content-type')).toBe('text/plain; charset=utf-8');
    expect(answer.headers.get('content-length')).toBe(String(bytes.length));
    const head = await it.ask('HEAD', path);
    expect([head.status, head.headers.get('content-length')]).toEqual([200, String(bytes.length)]);
  });

  test.each([
    ['bytes=0-99', 0, 100],
    ['bytes=200000-', 200_000, undefined],
    ['bytes=-10', -10, undefined],
    ['bytes=70000-70000', 70_000, 70_001],
    ['bytes=399990-9999999', 399_990, undefined],
  ])('is sent in the range %s', async (range, from, to) => {
    const answer = await it.ask('GET', path, { headers: { range } });
    expect(answer.status).toBe(206);
    expect(answer.headers.get('content-range')).toMatch(new RegExp(`^bytes \\d+-\\d+/${bytes.length}$`));
    expect(answer.text).toBe(bytes.subarray(from, to).toString());
  });

  test('is sent from an offset', async () => {
    const answer = await it.ask('GET', `${path}?offset=65530&limit=20`);
    expect([answer.status, answer.text]).toEqual([206, text.slice(65_530, 65_550)]);
    expect((await it.ask('GET', `${path}?offset=5`)).text).toBe(text.slice(5));
  });

  test('has nothing beyond its end', async () => {
    for (const range of [`bytes=${bytes.length}-`, 'bytes=5-4', 'bytes=-0']) {
      const { status, json } = await it.ask('GET', path, { headers: { range } });
      expect([status, json.code]).toEqual([416, 'range_not_satisfiable']);
    }
    expect((await it.ask('GET', `${path}?offset=${bytes.length}`)).status).toBe(416);
    expect((await it.ask('GET', `${path}?limit=0`)).status).toBe(400);
  });

  test('is whole where the header is none of ours', async () => {
    for (const range of ['bytes=0-1,5-6', 'lines=1-2', 'bytes=-'])
      expect((await it.ask('GET', path, { headers: { range } })).status).toBe(200);
  });

  test('is not there where the model saw all of it', async () => {
    const { sessionId } = await sessionWithCalls();
    const { json } = await it.ask('GET', `/v1/sessions/${sessionId}/tool-calls`);
    const id = String(json.data[1].id).replace('call_', 'out_');
    expect((await it.ask('GET', `/v1/outputs/${id}`)).status).toBe(404);
  });
});

describe('an approval', () => {
  async function asked(
    change: Partial<NewCall> = {},
    body: Record<string, unknown> = {},
  ): Promise<{ id: string; sessionId: string }> {
    const { sessionId } = await it.submit(body);
    const held = await worker.claim(uuid('session', sessionId));
    const approvalId = newId();
    const call = aCall({ status: 'awaiting_approval', approvalId, ...change });
    await worker.answer(held, { parts: [tool('c1', 'bash', '{"command":"ls"}')], calls: [call] });
    await parkTurn(it.db, held, []);
    return { id: toPublicId('approval', approvalId), sessionId };
  }

  test('stands in the inbox until it is answered', async () => {
    const { id, sessionId } = await asked();
    const inbox = async (status: string) => {
      const { json } = await it.ask('GET', `/v1/approvals?sessionId=${sessionId}&${status}`);
      return page(Approval).parse(json).data;
    };
    expect(await inbox('')).toMatchObject([
      {
        id,
        sessionId,
        tool: 'bash',
        arguments: '{"command":"ls"}',
        status: 'open',
        message: null,
        resolvedBy: null,
      },
    ]);
    const answer = await it.ask('POST', `/v1/approvals/${id}`, { body: { decision: 'allow' } });
    expect(answer.status).toBe(200);
    expect(Approval.parse(answer.json)).toMatchObject({ id, status: 'allowed' });
    expect(await inbox('')).toEqual([]);
    const resolvedBy = /, by (.+);/.exec(
      (await it.ask('POST', `/v1/approvals/${id}`, { body: { decision: 'deny' } })).json.detail,
    )?.[1];
    expect(await inbox('status=allowed')).toMatchObject([{ id, resolvedBy }]);
    const { json } = await it.ask('GET', `/v1/sessions/${sessionId}/events`);
    const named = json.data.filter(({ type }: Event) => type.startsWith('approval.'));
    expect(named.map(({ data }: Event) => data.approvalId)).toEqual([id, id]);
  });

  test('counts the first answer and says whose it was', async () => {
    const { id } = await asked();
    const message = 'not\0today';
    const denied = await it.ask('POST', `/v1/approvals/${id}`, { body: { decision: 'deny', message } });
    expect(denied.json).toMatchObject({ status: 'denied', message: 'not\uFFFDtoday' });
    const late = await it.ask('POST', `/v1/approvals/${id}`, { body: { decision: 'allow' } });
    expect([late.status, late.json.code]).toEqual([409, 'already_resolved']);
    expect(late.json.detail).toBe('This was denied already, by Ana; the first answer counts.');
  });

  test('says what `allow_always` allows, where, and until when it can be answered', async () => {
    const always = { kind: 'command', value: 'ls' } as const;
    const { id, sessionId } = await asked({ always, approvalSeconds: 60 });
    const { json } = await it.ask('GET', `/v1/approvals?sessionId=${sessionId}`);
    const [approval] = page(Approval).parse(json).data;
    const scope = { kind: 'session', sessionId };
    expect(approval).toMatchObject({ id, always: { tool: 'bash', ...always, scope }, ruleId: null });
    const seconds = Date.parse(approval?.expiresAt ?? '') - Date.parse(approval?.createdAt ?? '');
    expect(Math.round(seconds / 1_000)).toBe(60);
    const body = { kind: 'local', path: mkdtempSync(join(it.dataDir, '..', 'capybara-rules-')) };
    const local = await asked({ always }, { workspace: body });
    const shown = await it.ask('GET', `/v1/approvals?sessionId=${local.sessionId}`);
    expect(shown.json.data[0].always.scope).toEqual({ kind: 'directory', path: realpathSync(body.path) });
    rmdirSync(body.path);
  });

  test('that is allowed always makes a rule, which is listed until it is revoked', async () => {
    const { id, sessionId } = await asked({ always: { kind: 'command', value: 'ls' } });
    const body = { decision: 'allow_always' };
    const allowed = Approval.parse((await it.ask('POST', `/v1/approvals/${id}`, { body })).json);
    expect(allowed).toMatchObject({ status: 'allowed', ruleId: expect.stringMatching(/^rule_/) });
    expect(Approval.parse((await it.ask('POST', `/v1/approvals/${id}`, { body })).json)).toEqual(allowed);
    const listed = async (key?: string) =>
      page(Rule).parse((await it.ask('GET', '/v1/rules', key === undefined ? {} : { key })).json).data;
    expect(await listed()).toMatchObject([
      {
        ...{
          id: allowed.ruleId,
          tool: 'bash',
          kind: 'command',
          value: 'ls',
          approvalId: id,
          createdBy: 'Ana',
        },
        scope: { kind: 'session', sessionId },
      },
    ]);
    const stranger = await it.addPerson(`team ${id}`, 'Eve');
    expect(await listed(stranger.apiKey)).toEqual([]);
    const path = `/v1/rules/${allowed.ruleId}`;
    const theirs = await it.ask('DELETE', path, { key: stranger.apiKey });
    expect([theirs.status, theirs.json.code]).toEqual([404, 'not_found']);
    expect((await it.ask('DELETE', `/v1/rules/rule_${'0'.repeat(32)}`)).status).toBe(404);
    expect((await it.ask('POST', path)).status).toBe(405);
    for (const _ of ['once', 'again']) {
      const revoked = await it.ask('DELETE', path);
      expect([revoked.status, revoked.json]).toEqual([200, { id: allowed.ruleId }]);
    }
    expect(await listed()).toEqual([]);
  });

  test('lists rules in pages, the newest first', async () => {
    const ids: string[] = [];
    for (const value of ['one', 'two', 'three']) {
      const { id } = await asked({ always: { kind: 'command', value } });
      const { json } = await it.ask('POST', `/v1/approvals/${id}`, { body: { decision: 'allow_always' } });
      ids.unshift(json.ruleId);
    }
    const first = page(Rule).parse((await it.ask('GET', '/v1/rules?limit=2')).json);
    const rest = page(Rule).parse((await it.ask('GET', `/v1/rules?limit=2&cursor=${first.nextCursor}`)).json);
    expect([...first.data, ...rest.data].map((rule) => rule.id)).toEqual(ids);
    expect([first.nextCursor, rest.nextCursor]).toEqual([ids[1], null]);
    const wrong = await it.ask('GET', '/v1/rules?cursor=x');
    expect([wrong.status, wrong.json.code]).toEqual([400, 'invalid_cursor']);
    for (const id of ids) await it.ask('DELETE', `/v1/rules/${id}`);
  });

  test('that can only be allowed once is not allowed always', async () => {
    const { id } = await asked();
    const answer = await it.ask('POST', `/v1/approvals/${id}`, { body: { decision: 'allow_always' } });
    expect([answer.status, answer.json.code]).toEqual([409, 'only_once']);
    const body = { decision: 'allow', message: 'once' };
    expect((await it.ask('POST', `/v1/approvals/${id}`, { body })).json.status).toBe('allowed');
  });

  test('that nobody answered in time says so', async () => {
    const { id } = await asked({ approvalSeconds: 0 });
    expect(await expireApproval(it.db)).toMatchObject({ wake: {} });
    const late = await it.ask('POST', `/v1/approvals/${id}`, { body: { decision: 'allow' } });
    expect(late.json).toMatchObject({
      code: 'already_resolved',
      detail: 'Nobody answered this in time: the call was denied.',
    });
  });

  test('is closed with its task', async () => {
    const { id, sessionId } = await asked();
    const { json } = await it.ask('GET', `/v1/tasks?sessionId=${sessionId}`);
    await it.ask('POST', `/v1/tasks/${json.data[0].id}/cancel`);
    const late = await it.ask('POST', `/v1/approvals/${id}`, { body: { decision: 'allow' } });
    expect([late.status, late.json.code]).toEqual([409, 'already_resolved']);
  });
});

describe('a message', () => {
  const said = (sessionId: string, text: string, headers = {}) =>
    it.ask('POST', `/v1/sessions/${sessionId}/messages`, { body: { text }, headers });

  test('reaches the task in hand, once per key', async () => {
    const { id, sessionId } = await it.submit();
    const headers = { 'idempotency-key': 'm1' };
    const first = await said(sessionId, 'and the docs', headers);
    expect([first.status, Message.parse(first.json)]).toEqual([
      201,
      { sessionId, taskId: id, text: 'and the docs' },
    ]);
    await worker.finish(uuid('session', sessionId));
    expect((await said(sessionId, 'and the docs', headers)).json).toEqual(first.json);
    expect((await said(sessionId, 'other', headers)).json.code).toBe('idempotency_conflict');
    const { json } = await it.ask('GET', `/v1/sessions/${sessionId}/entries`);
    const texts = json.data.filter(({ kind }: Entry) => kind === 'user').map(({ parts }: Entry) => parts[0]);
    expect(texts).toMatchObject([{ text: 'do it' }, { text: 'and the docs' }]);
  });

  test('needs something to say, and a task in hand', async () => {
    const { sessionId } = await it.submit();
    expect((await said(sessionId, ' ')).json.code).toBe('empty_prompt');
    await worker.finish(uuid('session', sessionId));
    const { status, json } = await said(sessionId, 'too late');
    expect([status, json.code]).toEqual([409, 'no_running_task']);
  });
});

describe('what can be used, what was used, who works', () => {
  test('models: providers, without their addresses', async () => {
    const models = createModels({
      anthropic: { apiKey: 'k' },
      env: { baseUrl: 'http://me:secret@localhost/v1' },
    });
    const other = await startTestApi(() => ({ models }));
    const { json, text } = await other.ask('GET', '/v1/models');
    expect(Models.parse(json).data.map(({ provider }) => provider)).toEqual(['anthropic', 'env']);
    expect(Models.parse(json).default).toBeNull();
    expect(text).not.toContain('secret');
    await other.close();
    const { json: mine } = await it.ask('GET', '/v1/models');
    expect(mine).toMatchObject({
      default: 'openai/m',
      data: [{ provider: 'openai', kind: 'openai', problem: null }],
    });
    expect(mine.data[0].models).toContainEqual({
      ...{ model: 'openai/gpt-5.5', contextTokens: 1_050_000, outputTokens: 128_000 },
      ...{ images: true, temperature: false, prices: expect.objectContaining({ input: 5 }), from: ['kept'] },
    });
    expect((await it.ask('GET', '/v1/models?ask=maybe')).status).toBe(400);
  });

  test('models: what the providers themselves say, where they are asked', async () => {
    const server = await startScriptedModel({ script: () => say('x'), apiKey: 'k', models: ['a', 'b'] });
    const models = createModels({
      work: { baseUrl: server.baseUrl, apiKey: 'k', models: { a: { contextTokens: 9 } } },
      wrong: { baseUrl: server.baseUrl, apiKey: 'planted' },
    });
    const other = await startTestApi(() => ({ models }));
    const { json, text } = await other.ask('GET', '/v1/models?ask=true');
    const [work, wrong] = Models.parse(json).data;
    expect(work?.models.map(({ model, contextTokens, from }) => [model, contextTokens, from])).toEqual([
      ['work/a', 9, ['settings', 'provider']],
      ['work/b', null, ['provider']],
    ]);
    expect(wrong).toMatchObject({
      models: [],
      problem: 'The key for provider wrong was refused (401): check providers.wrong.apiKey.',
    });
    expect(text).not.toContain('planted');
    await other.close();
    await server.close();
  });

  test('agents, and what the one of a task is told, to its team alone', async () => {
    const stranger = await it.addPerson('strangers', 'Sam');
    const agents = await it.ask('GET', '/v1/agents');
    const review = agents.json.data.find(({ name }: { name: string }) => name === 'review');
    expect(review).toMatchObject({
      ...{ model: null, fallbacks: [], strategy: null, effort: null },
      mode: 'plan',
      servers: [],
      writes: false,
      promptHash: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
    const { id, sessionId } = await it.submit({ agent: 'review' });
    const { json: profile } = await it.ask('GET', `/v1/tasks/${id}/profile`);
    expect(profile).toMatchObject({
      ...{ agent: 'review', mode: 'plan', model: 'openai/m', tools: review.tools, temperature: 0.7 },
      ...{ maxTokens: null, effort: null, promptHash: review.promptHash },
      prompt: expect.stringContaining('You are a reviewing agent of Capybara.'),
    });
    await worker.finish(uuid('session', sessionId));
    const { json: events } = await it.ask('GET', `/v1/sessions/${sessionId}/events`);
    const started = events.data.filter(({ type }: { type: string }) => type === 'turn.started');
    expect(started.map(({ data }: { data: object }) => data)).toMatchObject([{ profile: profile.hash }]);
    expect((await it.ask('GET', `/v1/tasks/${id}/profile`, { key: stranger.apiKey })).status).toBe(404);
  });

  test('usage: the team’s own, per model', async () => {
    const person = await it.addPerson('spending', 'Sam');
    const usage = async () =>
      TeamUsage.parse((await it.ask('GET', '/v1/usage', { key: person.apiKey })).json).data;
    expect(await usage()).toEqual([]);
    const { json } = await it.ask('POST', '/v1/tasks', { body: { prompt: 'x' }, key: person.apiKey });
    await worker.finish(uuid('session', json.sessionId));
    const { model: key, ...counts } = USAGE;
    expect(await usage()).toMatchObject([{ key, ...counts, requests: 1, usd: null, unpriced: 1 }]);
  });

  test('workers: those that have not ended, in pages', async () => {
    const { json } = await it.ask('GET', '/v1/workers?limit=1');
    const { data, nextCursor } = page(Worker).parse(json);
    expect(data).toMatchObject([{ id: toPublicId('worker', worker.id), version: '0', state: 'alive' }]);
    // Every team's key reads this: it does not say where they run.
    expect(Object.keys(json.data[0])).toEqual(['id', 'version', 'state', 'startedAt', 'leaseExpiresAt']);
    expect(nextCursor).toBeNull();
    expect((await it.ask('GET', `/v1/workers?cursor=${data[0]?.id}`)).json.data).toEqual([]);
  });
});

test('another team’s things are not there', async () => {
  const { sessionId, outputId } = await sessionWithCalls();
  const { json } = await it.ask('GET', `/v1/tasks?sessionId=${sessionId}`);
  const taskId = json.data[0].id;
  const asked: [string, string, object?][] = [
    ['GET', `/v1/tasks/${taskId}`],
    ['POST', `/v1/tasks/${taskId}/cancel`],
    ['GET', `/v1/sessions/${sessionId}`],
    ['GET', `/v1/sessions/${sessionId}/entries`],
    ['GET', `/v1/sessions/${sessionId}/tool-calls`],
    ['GET', `/v1/sessions/${sessionId}/events`],
    ['GET', `/v1/sessions/${sessionId}/why`],
    ['POST', `/v1/sessions/${sessionId}/messages`, { text: 'x' }],
    ['GET', `/v1/outputs/${outputId}`],
  ];
  const key = stranger.apiKey;
  for (const [method, path, body] of asked) {
    const theirs = await it.ask(method, path, { key, ...(body ? { body } : {}) });
    const nobodys = path.replace(/[0-9a-f]{32}/, '0'.repeat(32));
    const none = await it.ask(method, nobodys, { key, ...(body ? { body } : {}) });
    expect([theirs.status, theirs.json.code]).toEqual([404, 'not_found']);
    expect(theirs.json.detail.replace(/[0-9a-f]{32}/, '')).toBe(none.json.detail.replace(/0{32}/, ''));
  }
  for (const path of ['/v1/tasks', '/v1/sessions', '/v1/approvals', `/v1/tasks?sessionId=${sessionId}`])
    expect((await it.ask('GET', path, { key })).json.data).toEqual([]);
  const approvalId = `apr_${'0'.repeat(32)}`;
  const body = { decision: 'allow' };
  expect((await it.ask('POST', `/v1/approvals/${approvalId}`, { body, key })).status).toBe(404);
});

test('a client that leaves in the middle of an output is no error', async () => {
  const { outputId } = await sessionWithCalls(randomBytes(3_000_000).toString('base64'));
  const leaving = new AbortController();
  const response = await fetch(`${it.url}/v1/outputs/${outputId}`, {
    headers: { authorization: `Bearer ${it.me.apiKey}` },
    signal: leaving.signal,
  });
  const reader = response.body?.getReader();
  await reader?.read();
  leaving.abort();
  await reader?.closed.catch(() => {});
  expect((await it.ask('GET', '/healthz')).status).toBe(200);
});
