/** `capybara verify`: one proof per backend, and the table of what they found. */
import { resolve } from 'node:path';
import type { Config } from '../config.ts';
import { UserError } from '../core/errors.ts';
import { table } from './table.ts';

export interface VerifyRequest {
  readonly seed?: number | undefined;
  readonly minutes: string;
  readonly backend: 'postgres' | 'redis' | 'both';
  readonly postgres?: string | undefined;
  readonly sessions?: number | undefined;
  readonly logs?: string | undefined;
  readonly config: Config;
}

/** A backend's part, as `--json` tells it. */
interface Proof {
  readonly backend: string;
  readonly ok: boolean;
  readonly notes: readonly string[];
  readonly rows: readonly {
    readonly name: string;
    readonly value: number;
    readonly shown?: string;
    readonly mustBeZero: boolean;
    readonly details: readonly string[];
  }[];
}

export interface VerifyReport {
  readonly seed: number;
  readonly ok: boolean;
  readonly proofs: readonly Proof[];
  /** The command that breaks the same again. */
  readonly again: string;
  readonly text: string;
}

const LARGEST_SEED = 1_000_000;
const MAX_MINUTES = 24 * 60;
/** Of each row; the rest is counted. */
const DETAILS_SHOWN = 10;

export async function runVerify(
  request: VerifyRequest,
  { say }: { readonly say: (line: string) => void },
): Promise<VerifyReport> {
  const minutes = minutesOf(request.minutes);
  const seed = request.seed ?? Math.floor(Math.random() * LARGEST_SEED);
  const { prove, SESSIONS_PER_MINUTE } = await import('../verify/main.ts');
  const sessions = request.sessions ?? Math.max(10, Math.round(minutes * SESSIONS_PER_MINUTE));
  const proofs: Proof[] = [];
  const stop = new AbortController();
  const interrupt = () => stop.abort(new UserError('stopped', 'Stopped before there was a verdict.', 3));
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, interrupt);
  try {
    for (const backend of request.backend === 'both' ? (['postgres', 'redis'] as const) : [request.backend]) {
      const proof = await prove({
        ...{ seed, minutes, sessions, backend, config: request.config },
        postgresUrl: request.postgres,
        logDir: request.logs === undefined ? undefined : resolve(request.logs, backend),
        signal: stop.signal,
        onProgress: say,
      });
      if (proof !== undefined) proofs.push(proof);
      else if (request.backend === 'both')
        say('redis: skipped, there is no redis-server on the PATH and no REDIS_URL.');
      else throw noRedis();
    }
  } finally {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.off(signal, interrupt);
  }
  const ok = proofs.every((proof) => proof.ok);
  const again = againOf(request, { seed, minutes, sessions });
  return { seed, ok, proofs, again, text: textOf(proofs, { ok, again }) };
}

function minutesOf(text: string): number {
  const minutes = Number(text);
  if (Number.isFinite(minutes) && minutes > 0 && minutes <= MAX_MINUTES) return minutes;
  throw new UserError(
    'bad_minutes',
    `--minutes is ${JSON.stringify(text)}, expected a number above 0 and up to ${MAX_MINUTES}.`,
  );
}

function noRedis(): UserError {
  return new UserError(
    'no_redis',
    'There is no Redis: install redis-server, set REDIS_URL, or use --backend postgres.',
    3,
  );
}

function againOf(
  { backend, postgres }: VerifyRequest,
  { seed, minutes, sessions }: { seed: number; minutes: number; sessions: number },
): string {
  const given = postgres === undefined ? '' : ' --postgres URL';
  return `capybara verify --seed ${seed} --minutes ${minutes} --sessions ${sessions} --backend ${backend}${given}`;
}

function textOf(proofs: readonly Proof[], { ok, again }: { ok: boolean; again: string }): string {
  const names = proofs[0]?.rows.map((row) => row.name) ?? [];
  const rows = names.map((name) => {
    const found = proofs.map((proof) => proof.rows.find((row) => row.name === name));
    const mustBeZero = found.some((row) => row?.mustBeZero);
    const isWrong = found.some((row) => row?.mustBeZero && row.value > 0);
    const cells = found.map((row) => row?.shown ?? String(row?.value ?? ''));
    return [name, ...cells, isWrong ? 'WRONG, must be 0' : mustBeZero ? 'must be 0' : ''];
  });
  const notes = proofs.flatMap((proof) => proof.notes.map((note) => `${proof.backend}: ${note}`));
  const end = ok ? 'Nothing was lost, and nothing was done twice.' : 'Something is wrong.';
  return [
    table(['', ...proofs.map((proof) => proof.backend), ''], rows),
    ...proofs.flatMap(detailsOf),
    ...notes.map((note) => `${note}\n`),
    `${end} The same again: ${again}\n`,
  ].join('');
}

function detailsOf({ backend, rows }: Proof): string[] {
  return rows
    .filter((row) => row.mustBeZero && row.value > 0)
    .map(({ name, details }) => {
      const shown = details.slice(0, DETAILS_SHOWN).map((line) => `  ${line}`);
      const more = details.length - shown.length;
      return [`${backend}, ${name}:`, ...shown, ...(more > 0 ? [`  and ${more} more`] : []), ''].join('\n');
    });
}
