/** What `capybara usage` shows: a table for people, CSV for spreadsheets. */
import type { TeamUsage, UsageBy, UsageRow } from '../api/wire.ts';
import type { Client } from '../client/client.ts';
import { UserError } from '../core/errors.ts';
import { dollars } from '../core/money.ts';
import { brokenOffLine, number, percent } from './summary.ts';
import { table } from './table.ts';
import { neutralised } from './untrusted-text.ts';

/** Rows that are shown at most. */
export const MAX_ROWS = 10_000;

export interface UsageRange {
  readonly by: UsageBy;
  readonly since?: string | undefined;
  readonly until?: string | undefined;
}

/** All pages of it. */
export async function readUsage(client: Client, range: UsageRange): Promise<TeamUsage> {
  let page = await client.usage({ ...range, limit: 200 });
  const data = [...page.data];
  while (page.nextCursor !== null && data.length < MAX_ROWS) {
    page = await client.usage({ ...range, limit: 200, cursor: page.nextCursor });
    data.push(...page.data);
  }
  return { ...page, data };
}

const AGO = /^(\d{1,4})([dh])$/;
const UNIT_MS = { d: 24 * 60 * 60_000, h: 60 * 60_000 } as const;

/** `7d` and `24h` are so long before `now`; days and times are what the server takes. Throws `UserError`. */
export function momentOf(flag: string, text: string | undefined, now: number): string | undefined {
  if (text === undefined) return undefined;
  const [, count, unit] = AGO.exec(text) ?? [];
  if (count !== undefined) return new Date(now - Number(count) * UNIT_MS[unit as 'd' | 'h']).toISOString();
  if (/^\d{4}-\d\d-\d\d(T[\d:.]+(Z|[+-]\d\d:\d\d))?$/.test(text) && !Number.isNaN(Date.parse(text)))
    return text;
  const found = JSON.stringify(text.slice(0, 60));
  const message = `${flag} must be a day (2026-01-31), a time (2026-01-31T12:00:00Z), or how long ago (7d, 24h); found ${found}.`;
  throw new UserError('time_invalid', message);
}

const HEADING = ['CALLS', 'TOKENS IN', 'CACHED', 'OUT', 'COST', 'HALF WITHIN', '95 % WITHIN'];

export function usageText({ by, total, data, nextCursor }: TeamUsage): string {
  if (data.length === 0) return 'Nothing was used.\n';
  const rows = data.map((row) => [row.name ?? row.key, ...cellsOf(row)]);
  const ids = by === 'session' ? data.map(({ key }) => key) : undefined;
  const withIds = ids === undefined ? rows : rows.map((row, index) => [ids[index] ?? '', ...row]);
  const heading = [...(ids === undefined ? [] : ['ID']), by.toUpperCase(), ...HEADING];
  const sum = [...(ids === undefined ? [] : ['']), 'total', ...cellsOf(total)];
  const lost = total.brokenOff.requests === 0 ? '' : `${brokenOffLine(total.brokenOff)}\n`;
  const more =
    nextCursor === null ? '' : `Only the first ${number(data.length)} are shown: ask for less time.\n`;
  return table(heading, [...withIds, sum]) + lost + more;
}

function cellsOf(row: Omit<UsageRow, 'key' | 'name'>): string[] {
  const { requests, input, cached, output, latencyMs } = row;
  const within = latencyMs === null ? ['-', '-'] : [latencyMs.p50, latencyMs.p95].map(seconds);
  return [number(requests), number(input), percent(cached, input), number(output), costOf(row), ...within];
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

function costOf({ usd, unpriced, requests }: Pick<UsageRow, 'usd' | 'unpriced' | 'requests'>): string {
  if (requests === 0) return '-';
  if (usd === null) return 'unknown';
  return unpriced === 0 ? dollars(usd) : `${dollars(usd)} and ${number(unpriced)} unknown`;
}

const COLUMNS = [
  ...[
    'key',
    'name',
    'requests',
    'input',
    'cached',
    'cache_written',
    'output',
    'reasoning',
    'usd',
    'unpriced',
  ],
  ...['broken_off_requests', 'broken_off_tokens', 'broken_off_usd'],
  ...['latency_ms_p50', 'latency_ms_p95', 'first_token_ms_p50', 'first_token_ms_p95'],
];

/** RFC 4180. What is not known is empty. */
export function usageCsv({ data }: TeamUsage): string {
  const lines = data.map((row) => {
    const { brokenOff: lost, latencyMs: whole, firstTokenMs: first } = row;
    const counts = [row.requests, row.input, row.cached, row.cacheWritten, row.output, row.reasoning];
    const times = [whole?.p50, whole?.p95, first?.p50, first?.p95];
    return [
      ...[row.key, row.name, ...counts, row.usd, row.unpriced],
      ...[lost.requests, lost.tokens, lost.usd, ...times],
    ].map(cell);
  });
  return [COLUMNS, ...lines].map((line) => `${line.join(',')}\r\n`).join('');
}

/** A text that a spreadsheet would take for a formula is kept from that. */
function cell(value: string | number | null | undefined): string {
  const text = neutralised(String(value ?? '')).replaceAll('\n', ' ');
  const safe = typeof value === 'string' && /^[=+\-@]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
