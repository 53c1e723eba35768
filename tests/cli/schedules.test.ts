/** `schedules …` in this process, against a scripted server; what is shown, of schedules alone. */
import { realpathSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { Schedule } from '../../src/api/wire-schedules.ts';
import { addedText, readSchedule, scheduleText } from '../../src/cli/schedules.ts';
import { loadConfig } from '../../src/config.ts';
import { capybara, withScriptedApi } from '../support/commands.ts';
import { AT, aSession, aTask, type ScriptedApi, SESSION_ID, TASK_ID } from './scripted-api.ts';

let api: ScriptedApi;
let home: string;
withScriptedApi((started, place) => {
  api = started;
  home = place;
});

const schedules = (verb: string, ...argv: string[]) => capybara(`schedules:${verb}`, ...argv);

const ID = `sch_${'7'.repeat(32)}`;
const page = (...data: unknown[]) => ({ data, nextCursor: null });
const said = (stdout: string) => ({ stdout, stderr: '', code: 0 });
const REPOSITORY = 'https://github.com/you/app';

function aSchedule(change: Partial<Schedule> = {}): Schedule {
  return {
    ...{ id: ID, name: 'nightly', cron: '0 6 * * 1-5', every: null, timeZone: 'Europe/Berlin' },
    ...{ task: { prompt: 'Mend it.' }, overlap: 'skip', enabled: true, actsFor: 'Ana', createdAt: AT },
    ...{ nextDueAt: AT, lastTaskId: null, lastError: null, lastSkippedAt: null },
    ...{ disabledAt: null, disabledReason: null },
    ...change,
  };
}

const OFF = { enabled: false, nextDueAt: null, disabledAt: AT, disabledReason: 'revoked' } as const;

describe('schedules', () => {
  test('list', async () => {
    const error = { code: 'no_model', message: 'No\u001b[2J model.', at: AT };
    const list = page(
      aSchedule({ lastTaskId: TASK_ID }),
      aSchedule({ ...OFF, name: 'watch', cron: null, every: 5_400, lastError: error }),
    );
    api.on('GET /v1/schedules', () => list);
    const pad = (text: string) => text.padEnd(TASK_ID.length);
    expect(await schedules('list')).toEqual(
      said(
        `ID                                    NAME     WHEN                       NEXT                      ${pad('LAST TASK')}  LAST ERROR\n` +
          `${ID}  nightly  0 6 * * 1-5 Europe/Berlin  ${AT}  ${TASK_ID}  -\n` +
          `${ID}  watch    every 90m                  disabled (revoked)        ${pad('-')}  No model.\n`,
      ),
    );
    expect(JSON.parse((await schedules('list', '--json')).stdout)).toEqual(JSON.parse(JSON.stringify(list)));
    api.on('GET /v1/schedules', () => page());
    expect(await schedules('list')).toEqual(said('No schedules.\n'));
  });

  test('add', async () => {
    api.on('POST /v1/schedules', () => aSchedule());
    const flags = [
      '--cron',
      '0 6 * * 1-5',
      '--time-zone',
      'Europe/Berlin',
      '--workspace',
      `${REPOSITORY}#main`,
    ];
    const more = ['--mode', 'plan', '--limit', 'usd=2.5', '--overlap', 'queue', '--disabled'];
    expect(await schedules('add', 'nightly', 'Mend it.', ...flags, ...more)).toEqual(
      said(`${ID} (nightly) is due at ${AT}\nTo try it: capybara schedules run ${ID}\n`),
    );
    const workspace = { kind: 'git', url: REPOSITORY, ref: 'main' };
    expect(api.received[0]?.body).toEqual({
      ...{
        name: 'nightly',
        cron: '0 6 * * 1-5',
        timeZone: 'Europe/Berlin',
        overlap: 'queue',
        enabled: false,
      },
      task: { prompt: 'Mend it.', mode: 'plan', limits: { usd: '2.5' }, workspace },
    });
    expect(api.received[0]?.headers['idempotency-key']).toBeDefined();
  });

  test('add goes on with a session', async () => {
    api.on('GET /v1/sessions', () => page(aSession()));
    api.on('POST /v1/schedules', () => aSchedule());
    await schedules('add', 'watch', 'Look.', '--every', '30m', '--session', 'last');
    const task = { prompt: 'Look.', sessionId: SESSION_ID };
    expect(api.received.at(-1)?.body).toEqual({ name: 'watch', every: 1_800, task });
  });

  test('are found by name, by their beginning, or as the last one', async () => {
    api.on('GET /v1/schedules', ({ query }) => (query.name === 'other' ? page() : page(aSchedule())));
    api.on(`DELETE /v1/schedules/${ID}`, () => ({ id: ID }));
    for (const id of ['nightly', 'sch_77', 'last'])
      expect(await schedules('remove', id)).toEqual(said(`${ID} removed\n`));
    expect(await schedules('remove', 'other')).toEqual({
      ...{ code: 2, stdout: '' },
      stderr: 'There is no schedule "other": expected its name, sch_…, its beginning, or "last".\n',
    });
  });

  test('enable, disable and run', async () => {
    api.on(`GET /v1/schedules/${ID}`, () => aSchedule());
    api.on(`PATCH /v1/schedules/${ID}`, () => aSchedule());
    api.on(`POST /v1/schedules/${ID}/run`, () => aTask());
    expect(await schedules('enable', ID)).toEqual(said(`${ID} enabled: due at ${AT}\n`));
    expect(api.received.at(-1)?.body).toEqual({ enabled: true });
    expect(await schedules('disable', ID)).toEqual(said(`${ID} disabled\n`));
    expect(api.received.at(-1)?.body).toEqual({ enabled: false });
    expect(await schedules('run', ID)).toEqual(said(`${TASK_ID}\n`));
  });

  test('show', async () => {
    const tasks = [aTask()];
    api.on(`GET /v1/schedules/${ID}`, () => aSchedule());
    api.on('GET /v1/tasks', () => page(...tasks));
    expect(await schedules('show', ID)).toEqual(said(scheduleText({ ...aSchedule(), tasks })));
    expect(api.received.at(-1)?.query).toEqual({ scheduleId: ID, limit: '5' });
    expect(JSON.parse((await schedules('show', ID, '--json')).stdout)).toEqual({ ...aSchedule(), tasks });
  });
});

describe('a schedule is shown', () => {
  test('with when it is due, what it hands in, and what came of it', () => {
    const workspace = { kind: 'git', url: REPOSITORY } as const;
    const schedule = aSchedule({ task: { prompt: 'Mend\nit.', workspace } });
    expect(scheduleText({ ...schedule, tasks: [aTask()] })).toBe(
      `schedule  ${ID}\n` +
        'name      nightly\n' +
        'when      0 6 * * 1-5 Europe/Berlin\n' +
        `state     due at ${AT}\n` +
        'prompt    Mend it.\n' +
        `works on  ${REPOSITORY}\n` +
        'overlap   skip\n' +
        'acts for  Ana\n' +
        `created   ${AT}\n\n` +
        `${'LAST TASKS'.padEnd(TASK_ID.length)}  STATUS   CREATED\n${TASK_ID}  running  ${AT}\n`,
    );
  });

  test('with why it is disabled, and what went wrong', () => {
    const lastError = { code: 'x', message: 'No.', at: AT };
    const text = scheduleText({ ...aSchedule({ ...OFF, lastError, lastSkippedAt: AT }), tasks: [] });
    expect(text).toContain(
      `state     disabled at ${AT}: the key that it was made with is not good any more\n`,
    );
    expect(text).toContain(`skipped   ${AT}: others of it had not ended\nerror     ${AT}: No.\n`);
    expect(text).toContain(`\nTo enable it: capybara schedules enable ${ID}\n`);
  });

  test('with what it needs where no server runs', () => {
    expect(addedText(aSchedule(OFF), true)).toBe(
      `${ID} (nightly) is disabled\nIt is handed in while \`capybara up\` runs.\nTo try it: capybara schedules run ${ID}\n`,
    );
  });
});

describe('a schedule is not asked for', () => {
  const flags = { continue: false, disabled: false, every: '1h', workspace: 'empty' };
  const read = (change: object, url = 'http://h') => {
    const { config } = loadConfig({ env: { CAPYBARA_URL: url }, cwd: home, home });
    return readSchedule('x', 'y', { flags: { ...flags, ...change }, config, cwd: home });
  };
  test.each<readonly [object, string]>([
    [{ every: undefined }, 'give one of them'],
    [{ cron: '0 6 * * *' }, 'give one of them'],
    ...['', '0', '1.5h', '400d', '5 minutes'].map(
      (every) => [{ every }, 'such as 90s, 30m, 12h or 7d'] as const,
    ),
    [{ workspace: undefined }, 'works on no copy of a directory'],
    [{ session: 'last' }, 'leave out --continue and --workspace'],
  ])('with %j', (change, message) => {
    expect(() => read(change)).toThrow(message);
  });

  test.each([
    ['90', 90],
    ['90s', 90],
    ['366d', 31_622_400],
  ])('but every %s is', (every, seconds) => {
    expect(read({ every }).body).toMatchObject({ every: seconds });
  });

  test('and works in a directory of this machine where its Capybara is here', () => {
    const { body } = read({ workspace: undefined }, '');
    expect(body.task.workspace).toEqual({ kind: 'local', path: realpathSync(home) });
  });
});
