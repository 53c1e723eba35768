/** `keys`, `users`, `teams` and `audit` against a scripted server: what they ask, and what they say. */
import { describe, expect, test } from 'vitest';
import type { AuditRecord, Key, Team, User } from '../../src/api/wire-admin.ts';
import { capybara, withScriptedApi } from '../support/commands.ts';
import { AT, problem, type ScriptedApi, SESSION_ID } from './scripted-api.ts';

let api: ScriptedApi;
withScriptedApi((started) => {
  api = started;
});

const page = (...data: unknown[]) => ({ data, nextCursor: null });
const done = (stdout: string, stderr = '') => ({ code: 0, stdout, stderr });
const refused = (stderr: string) => ({ code: 2, stdout: '', stderr });

const ANA: User = { id: `usr_${'a'.repeat(32)}`, name: 'Ana', createdAt: AT, leftAt: null };
const BO: User = { id: `usr_${'b'.repeat(32)}`, name: 'Bo\u202e', createdAt: AT, leftAt: AT };
const KEY: Key = {
  ...{ id: `key_${'c'.repeat(32)}`, userId: ANA.id, userName: 'Ana', name: 'laptop', prefix: 'capy_abcd' },
  scopes: ['read', 'submit'],
  ...{ createdAt: AT, expiresAt: null, lastUsedAt: null },
};
const TEAM: Team = { id: `team_${'d'.repeat(32)}`, name: 'design', operates: false, createdAt: AT };

describe('keys', () => {
  test('create prints the key alone, and says elsewhere what it is for', async () => {
    api.on('POST /v1/keys', () => ({ ...KEY, apiKey: 'capy_abcdefgh' }));
    expect(await capybara('keys:create', 'laptop')).toEqual(
      done('capy_abcdefgh\n', `Key ${KEY.id} of Ana, for read, submit: keep it, it is not shown again.\n`),
    );
    expect(api.received[0]?.body).toEqual({ name: 'laptop' });
    const { stdout, stderr } = await capybara('keys:create', 'laptop', '--json');
    expect([JSON.parse(stdout), stderr]).toEqual([{ ...KEY, apiKey: 'capy_abcdefgh' }, '']);
  });

  test('create takes whose it is, what for and how long', async () => {
    api.on('GET /v1/users', () => page(BO, ANA));
    api.on('POST /v1/keys', () => ({ ...KEY, expiresAt: AT, apiKey: 'capy_x' }));
    const flags = ['--scope', 'read', '--scope', 'submit', '--expires-in-days', '90'];
    expect((await capybara('keys:create', 'ci', '--user', 'Ana', ...flags)).stderr).toBe(
      `Key ${KEY.id} of Ana, for read, submit, until ${AT}: keep it, it is not shown again.\n`,
    );
    const body = { name: 'ci', userId: ANA.id, scopes: ['read', 'submit'], expiresInDays: 90 };
    expect(api.received.at(-1)?.body).toEqual(body);
    await capybara('keys:create', 'ci', '--user', ANA.id);
    expect(api.received.at(-1)?.body).toEqual({ name: 'ci', userId: ANA.id });
    await capybara('keys:create', 'ci', '--user', 'usr_a');
    expect(api.received.at(-1)?.body).toEqual({ name: 'ci', userId: ANA.id });
  });

  test('create refuses what cannot be, and asks for nothing', async () => {
    expect(await capybara('keys:create', 'x', '--scope', 'all')).toEqual(
      refused(
        '--scope must be one of read, submit, approve, admin; found "all": see `capybara keys create --help`.\n',
      ),
    );
    for (const days of ['0', '3651', '1e30', '99999999999999999999'])
      expect(await capybara('keys:create', 'x', '--expires-in-days', days)).toEqual(
        refused(expect.stringMatching(/^--expires-in-days must be an integer.*; found ".*": see `capybara/)),
      );
    expect(await capybara('keys:create')).toEqual(
      refused('Expected NAME: see `capybara keys create --help`.\n'),
    );
    api.on('GET /v1/users', () => page(ANA));
    expect(await capybara('keys:create', 'x', '--user', 'An\u001b[1ma')).toEqual(
      refused('Nobody in your team is called "Ana": see `capybara users list`.\n'),
    );
    expect(api.received.map(({ method }) => method)).toEqual(['GET']);
  });

  test('list', async () => {
    const used = { ...KEY, expiresAt: AT, lastUsedAt: AT };
    api.on('GET /v1/keys', () => ({ data: [KEY, used], nextCursor: 'more' }));
    expect(await capybara('keys:list', '--limit', '2')).toEqual(
      done(
        'ID                                    KEY        NAME    WHOSE  FOR          EXPIRES                   LAST USED\n' +
          `${KEY.id}  capy_abcd  laptop  Ana    read submit  never                     never\n` +
          `${KEY.id}  capy_abcd  laptop  Ana    read submit  ${AT}  ${AT}\n` +
          '\nOlder ones are not shown: see --limit.\n',
      ),
    );
    expect(api.received[0]?.query).toEqual({ limit: '2' });
    api.on('GET /v1/keys', () => page());
    expect((await capybara('keys:list')).stdout).toBe('No keys.\n');
    expect(JSON.parse((await capybara('keys:list', '--json')).stdout)).toEqual(page());
  });

  test('revoke', async () => {
    api.on('GET /v1/keys', () => page(KEY));
    api.on(`DELETE /v1/keys/${KEY.id}`, () => ({ id: KEY.id }));
    expect(await capybara('keys:revoke', 'key_cc')).toEqual(done(`${KEY.id} revoked\n`));
    expect(await capybara('keys:revoke', 'laptop')).toEqual(
      refused(
        '"laptop" is not the id of a key: expected key_… or its beginning, as `capybara keys list` shows it.\n',
      ),
    );
    const sentence = 'Without this nobody could administrate the team.';
    api.on(`DELETE /v1/keys/${KEY.id}`, (_, response) => problem(response, 409, 'last_admin', sentence));
    expect(await capybara('keys:revoke', KEY.id)).toEqual(refused(`${sentence}\n`));
  });
});

describe('users', () => {
  test('list, add, remove', async () => {
    api.on('GET /v1/users', () => page(BO, ANA));
    expect(await capybara('users:list')).toEqual(
      done(
        'ID                                    NAME  CAME                      LEFT\n' +
          `${BO.id}  Bo\ufffd   ${AT}  ${AT}\n` +
          `${ANA.id}  Ana   ${AT}  –\n`,
      ),
    );
    api.on('POST /v1/users', () => ANA);
    expect(await capybara('users:add', 'Ana')).toEqual(
      done(`${ANA.id}\nMake them a key: capybara keys create NAME --user ${ANA.id}\n`),
    );
    expect(api.received.at(-1)?.body).toEqual({ name: 'Ana' });
    api.on(`DELETE /v1/users/${ANA.id}`, () => ({ id: ANA.id }));
    expect(await capybara('users:remove', 'Ana')).toEqual(done(`${ANA.id} has left\n`));
    expect(JSON.parse((await capybara('users:remove', ANA.id, '--json')).stdout)).toEqual({ id: ANA.id });
  });
});

describe('teams', () => {
  test('list, create', async () => {
    api.on('GET /v1/teams', () => ({ data: [TEAM, { ...TEAM, name: 'ops', operates: true }] }));
    expect(await capybara('teams:list')).toEqual(
      done(
        'ID                                     NAME    RUNS CAPYBARA  CREATED\n' +
          `${TEAM.id}  design  no             ${AT}\n` +
          `${TEAM.id}  ops     yes            ${AT}\n`,
      ),
    );
    api.on('POST /v1/teams', () => ({ ...TEAM, userId: ANA.id, keyId: KEY.id, apiKey: 'capy_abc' }));
    expect(await capybara('teams:create', 'design', '--user', 'Ana')).toEqual(
      done(
        'capy_abc\n',
        `Team ${TEAM.id} with ${ANA.id}; the key is for everything: keep it, it is not shown again.\n`,
      ),
    );
    expect(api.received.at(-1)?.body).toEqual({ name: 'design', userName: 'Ana' });
    expect(await capybara('teams:create', 'design')).toEqual(
      refused('Expected --user: see `capybara teams create --help`.\n'),
    );
  });
});

test('audit says who asked for what, of all or of one', async () => {
  const record: AuditRecord = {
    ...{ id: `aud_${'e'.repeat(32)}`, at: AT, userId: ANA.id, userName: 'Ana', keyId: KEY.id },
    ...{ keyName: 'laptop', action: 'POST /v1/tasks', subject: SESSION_ID, status: 201 },
  };
  api.on('GET /v1/audit', () => page(record, { ...record, subject: null, status: null }));
  api.on('GET /v1/users', () => page(ANA));
  expect(await capybara('audit', '--user', 'Ana', '--about', SESSION_ID)).toEqual(
    done(
      'WHEN                      WHO  KEY     ASKED FOR       ABOUT                                 ANSWER\n' +
        `${AT}  Ana  laptop  POST /v1/tasks  ${SESSION_ID}  201\n` +
        `${AT}  Ana  laptop  POST /v1/tasks  –                                     not answered\n`,
    ),
  );
  expect(api.received.at(-1)?.query).toEqual({ limit: '50', userId: ANA.id, subject: SESSION_ID });
  api.on('GET /v1/audit', () => page());
  expect((await capybara('audit')).stdout).toBe('Nothing was asked for.\n');
});
