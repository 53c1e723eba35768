import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { TeamUsage, UsageRow } from '../../src/api/wire.ts';
import { momentOf, readUsage, usageCsv, usageText } from '../../src/cli/usage.ts';
import { createClient } from '../../src/client/client.ts';
import { type ScriptedApi, startScriptedApi } from './scripted-api.ts';

let api: ScriptedApi;
beforeEach(async () => {
  api = await startScriptedApi();
});
afterEach(() => api.close());

const NOTHING = { requests: 0, tokens: 0, usd: null };

function row(change: Partial<UsageRow> = {}): UsageRow {
  return {
    ...{
      key: 'openai/m',
      name: null,
      input: 12_000,
      output: 340,
      cached: 6_000,
      cacheWritten: 0,
      reasoning: 5,
    },
    ...{ requests: 3, usd: '1.234567', unpriced: 0, brokenOff: NOTHING },
    ...{ latencyMs: { p50: 1_200, p95: 3_400 }, firstTokenMs: null },
    ...change,
  };
}

function usage(data: readonly UsageRow[], change: Partial<TeamUsage> = {}): TeamUsage {
  const { key: _, name: __, ...total } = data[0] ?? row();
  return { by: 'model', total, data: [...data], nextCursor: null, ...change };
}

describe('as a table', () => {
  test('money, and what is not known of it', () => {
    const rows = [
      row(),
      row({ key: 'local/n', requests: 1, usd: null, unpriced: 1, latencyMs: null }),
      row({ key: 'x', usd: '0.5', unpriced: 2 }),
    ];
    expect(usageText(usage(rows)).split('\n')).toEqual([
      'MODEL     CALLS  TOKENS IN  CACHED  OUT  COST                 HALF WITHIN  95 % WITHIN',
      'openai/m  3      12,000     50 %    340  $1.23                1.2 s        3.4 s',
      'local/n   1      12,000     50 %    340  unknown              -            -',
      'x         3      12,000     50 %    340  $0.50 and 2 unknown  1.2 s        3.4 s',
      'total     3      12,000     50 %    340  $1.23                1.2 s        3.4 s',
      '',
    ]);
  });

  test('sessions with their ids; what was broken off below; nothing where nothing is', () => {
    const lost = row({
      key: 'ses_1',
      name: 'A title',
      brokenOff: { requests: 2, tokens: 9_000, usd: '0.2' },
    });
    const text = usageText(usage([lost], { by: 'session' }));
    expect(text).toContain('ses_1  A title');
    expect(text).toContain('2 requests were broken off: up to 9,000 tokens, $0.20, may have been charged\n');
    expect(usageText(usage([]))).toBe('Nothing was used.\n');
  });
});

test('as CSV: exact, empty where not known, and no formula', () => {
  const text = usageCsv(usage([row({ name: '=1+1, "x"' })]));
  const [heading, line] = text.split('\r\n');
  expect(heading).toMatch(/^key,name,requests,input,cached,cache_written,output,reasoning,usd,unpriced,/);
  expect(line).toBe(`openai/m,"'=1+1, ""x""",3,12000,6000,0,340,5,1.234567,0,0,0,,1200,3400,,`);
});

test('all pages are read', async () => {
  api.on('GET /v1/usage', ({ query }) =>
    query.cursor === 'c' ? usage([row({ key: 'b' })]) : usage([row({ key: 'a' })], { nextCursor: 'c' }),
  );
  const client = createClient(() => ({ url: api.url }));
  const { data } = await readUsage(client, { by: 'day', since: '2026-01-01' });
  expect(data.map(({ key }) => key)).toEqual(['a', 'b']);
  expect(api.received[1]?.query).toEqual({ by: 'day', since: '2026-01-01', limit: '200', cursor: 'c' });
});

test.each([
  ['2026-01-31', '2026-01-31'],
  ['2026-01-31T12:00:00Z', '2026-01-31T12:00:00Z'],
  ['1d', '1969-12-31T00:00:00.000Z'],
  ['24h', '1969-12-31T00:00:00.000Z'],
])('--since %s is %s', (text, moment) => {
  expect(momentOf('--since', text, 0)).toBe(moment);
});

test.each(['yesterday', '7w', '2026-13-01', '2026-01-31 12:00', ''])('--since %j is refused', (text) => {
  expect(() => momentOf('--since', text, 0)).toThrow(/^--since must be a day .*; found /);
});
