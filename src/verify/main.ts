/**
 * The proof's main file. Starts two APIs and three workers from their real main modules against a database of its own, loads
 * them, breaks what can break as the seed says, and tells what became of every task, step, request and effect.
 */
import { mkdirSync, mkdtempSync, readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { openBackends } from '../backends.ts';
import type { Config } from '../config.ts';
import { type Log, silentLog } from '../log.ts';
import { bootstrap } from '../store/bootstrap.ts';
import { migrate } from '../store/migrate.ts';
import { startChild } from './child.ts';
import { Client } from './client.ts';
import {
  readAttemptFacts,
  readCallFacts,
  readDeadlocks,
  readLastSequences,
  readTaskFacts,
  readTurnFacts,
} from './facts.ts';
import { Faults } from './faults.ts';
import { Fleet } from './fleet.ts';
import { Load } from './load.ts';
import { Logs } from './logs.ts';
import { endOrphans } from './orphans.ts';
import { type Backend, makePlan, type Plan } from './plan.ts';
import { embeddedPostgres, givenPostgres, type ProofPostgres } from './postgres.ts';
import { openRedis, type ProofRedis } from './redis.ts';
import { Relay, targetOf } from './relay.ts';
import { type Facts, judge, type ModelRequestFact, type Verdict } from './verdict.ts';

export { SESSIONS_PER_MINUTE } from './plan.ts';

export interface ProofOptions {
  readonly seed: number;
  readonly minutes: number;
  readonly sessions: number;
  readonly backend: Backend;
  /** A Postgres that is there; else one is embedded for the while. */
  readonly postgresUrl?: string | undefined;
  /** What Redis is used where no `redis-server` is installed. */
  readonly config: Config;
  /** Where each process's log is kept. */
  readonly logDir?: string | undefined;
  /** Ends the proof without a verdict. */
  readonly signal: AbortSignal;
  /** A line about how it goes. */
  readonly onProgress: (line: string) => void;
}

export interface Proof extends Verdict {
  readonly backend: Backend;
  readonly notes: readonly string[];
}

/** Undefined: there is no Redis. Rejects with the signal's reason where that ends it. Leaves nothing behind. */
export async function prove(options: ProofOptions): Promise<Proof | undefined> {
  const place = mkdtempSync(join(tmpdir(), 'capybara-verify-'));
  const parts = new Parts();
  // The other backend's proof may go on meanwhile, and its relays are here.
  parts.add(() => rm(place, { recursive: true, force: true }));
  try {
    return await new Run(options, place, parts).run();
  } catch (error) {
    // What broke off because it was told to says less than who told it.
    throw options.signal.aborted ? options.signal.reason : error;
  } finally {
    await parts.stop();
  }
}

/** With no faults any more: more than the longest pause before a turn is tried again. */
const SETTLE_MS = 120_000;
const TAIL_MS = 10_000;
const PROGRESS_MS = 5_000;
const POLL_MS = 200;

class Run {
  readonly #options: ProofOptions;
  readonly #place: string;
  readonly #parts: Parts;
  readonly #logs: Logs;
  readonly #over = new AbortController();
  readonly #log: Log = silentLog;

  constructor(options: ProofOptions, place: string, parts: Parts) {
    this.#options = options;
    this.#place = place;
    this.#parts = parts;
    this.#logs = new Logs(options.logDir);
  }

  async run(): Promise<Proof | undefined> {
    const { backend } = this.#options;
    const redis = backend === 'redis' ? await this.#openRedis() : undefined;
    if (backend === 'redis' && redis === undefined) return undefined;
    const postgres = await this.#openPostgres();
    const plan = makePlan({
      ...this.#options,
      ownPostgres: postgres.restart !== undefined,
      ownRedis: redis?.restart !== undefined,
    });
    const facts = await this.#measure(plan, { postgres, redis });
    const notes = [
      ...(postgres.restart === undefined ? ['The given Postgres was not restarted.'] : []),
      ...(redis !== undefined && redis.restart === undefined ? ['The given Redis was not restarted.'] : []),
      ...(process.platform === 'linux' ? [] : ['Orphans were not looked for: there is no /proc here.']),
    ];
    return { backend, notes, ...judge(facts) };
  }

  async #openRedis(): Promise<ProofRedis | undefined> {
    const { redisUrl: url } = this.#options.config;
    const redis = await openRedis(join(this.#place, 'redis'), { url, log: this.#log });
    if (redis !== undefined) this.#parts.add(() => redis.close());
    return redis;
  }

  async #openPostgres(): Promise<ProofPostgres> {
    const { postgresUrl } = this.#options;
    const postgres =
      postgresUrl === undefined
        ? await embeddedPostgres(join(this.#place, 'postgres'))
        : await givenPostgres(postgresUrl);
    this.#parts.add(() => postgres.close());
    return postgres;
  }

  async #measure(plan: Plan, stores: Stores): Promise<Facts> {
    const { postgres, redis } = stores;
    await migrate(postgres.url(), { log: () => {} });
    const key = await bootstrap(postgres.url());
    const { db, queue } = await this.#openOwn(stores);
    const { fleet, mark, sink } = await this.#startFleet(stores, await this.#startModel());
    const model = this.#modelUrl;

    const signal = AbortSignal.any([this.#options.signal, this.#over.signal]);
    const client = new Client(fleet, { apiKey: key?.apiKey ?? '', signal });
    const load = new Load({ client, db, signal });
    let last = 'none yet';
    const onFault = (what: string) => {
      last = what;
      this.#logs.add('faults', JSON.stringify({ time: new Date(), what }));
    };
    const faults = new Faults({ fleet, postgres, redis, db, queue, signal, onFault });
    const began = performance.now();
    const progress = setInterval(() => {
      const seconds = Math.round((performance.now() - began) / 1000);
      const { submitted, unfinished } = load;
      this.#options.onProgress(
        `${this.#options.backend}: ${seconds} s of ${plan.durationMs / 1000}, tasks accepted ${submitted.length}, ` +
          `unfinished ${unfinished}, faults ${faults.done.length}, last: ${last}`,
      );
    }, PROGRESS_MS);
    this.#parts.add(() => clearInterval(progress));

    // A session whose task is stuck never comes to its next one: that must not keep the verdict from being given.
    const loading = load.run(plan);
    loading.catch(() => {});
    await faults.run(plan.faults);
    await Promise.race([loading.then(() => settled(load, signal)), tooLong(signal)]);
    await faults.look('the end');
    await load.endTails(await readLastSequences(db), TAIL_MS);
    clearInterval(progress);
    this.#over.abort();
    const late = await fleet.close();
    const requests = (await (await fetch(`${model}/requests`)).json()) as ModelRequestFact[];
    return {
      ...{ submitted: load.submitted, gaps: load.gaps, refusals: load.refusals, tails: load.tails, requests },
      ...{
        faults: faults.done,
        broken: faults.broken,
        deaths: [...fleet.deaths, ...late],
        bugs: this.#logs.bugs,
      },
      tasks: await readTaskFacts(db),
      turns: await readTurnFacts(db),
      calls: await readCallFacts(db),
      attempts: await readAttemptFacts(db),
      deadlocks: postgres.loggedDeadlocks() ?? (await readDeadlocks(db)),
      sink: linesOf(sink),
      orphans: await endOrphans(mark),
    };
  }

  /** The harness's own connections, through a relay: their Postgres moves when it is restarted. */
  async #openOwn({ postgres, redis }: Stores) {
    const through = async (url: () => string) => {
      const relay = await Relay.open(() => targetOf(url()));
      this.#parts.add(() => relay.close());
      return relay.through(url());
    };
    const { databaseDirectUrl: _, redisUrl: __, ...rest } = this.#options.config;
    const config: Config = {
      ...rest,
      databaseUrl: await through(postgres.url),
      ...(redis === undefined ? {} : { redisUrl: await through(redis.url) }),
    };
    const backends = openBackends(config, this.#log);
    this.#parts.add(() => backends.close());
    const queue = backends.queue.queue();
    this.#parts.add(() => queue.close());
    return { db: backends.db, queue };
  }

  #modelUrl = '';

  async #startModel(): Promise<string> {
    const onLine = (line: string) => this.#logs.add('model', line);
    const model = startChild('./model-process', { env: { PATH: '' }, onLine });
    this.#parts.add(() => model.kill());
    const url = await model.ready;
    if (url === undefined) throw new Error('the scripted model did not start');
    this.#modelUrl = url;
    return `${url}/v1`;
  }

  async #startFleet({ postgres, redis }: Stores, modelUrl: string) {
    const [home, tmp, data] = ['home', 'tmp', 'data'].map((name) => join(this.#place, name)) as [
      string,
      string,
      string,
    ];
    for (const dir of [home, tmp, data]) mkdirSync(dir);
    const mark = `TMPDIR=${tmp}`;
    // Also where the proof breaks off: what a killed worker left is not for others to find.
    this.#parts.add(() => endOrphans(mark));
    const sink = join(this.#place, 'sink');
    const fleet = await Fleet.start({
      seed: this.#options.seed,
      env: {
        PATH: '/usr/local/bin:/usr/bin:/bin',
        HOME: home,
        TMPDIR: tmp,
        // They are started again and again: to compile is most of what a start costs.
        NODE_COMPILE_CACHE: join(this.#place, 'compiled'),
        CAPYBARA_DATA_DIR: data,
        // The proof is about turns; its machine need not have a sandbox.
        CAPYBARA_SANDBOX: 'off',
        CAPYBARA_MODEL_ENDPOINT: modelUrl,
        CAPYBARA_MODEL: 'verify',
        CAPYBARA_PORT: '0',
      },
      sink,
      onLine: (slot, line) => this.#logs.add(slot, line),
      url: { postgres: postgres.url, redis: redis?.url },
    });
    this.#parts.add(() => fleet.close());
    this.#parts.add(() => this.#over.abort());
    return { fleet, mark, sink };
  }
}

interface Stores {
  readonly postgres: ProofPostgres;
  readonly redis: ProofRedis | undefined;
}

async function settled(load: Load, signal: AbortSignal): Promise<void> {
  while (!load.isDone) await delay(POLL_MS, undefined, { signal });
}

/** Resolves so long after the last fault that whatever has not ended by then is stuck. */
async function tooLong(signal: AbortSignal): Promise<void> {
  await delay(SETTLE_MS, undefined, { signal });
}

function linesOf(path: string): string[] {
  try {
    return readFileSync(path, 'utf8').split('\n').slice(0, -1);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

/** What was started, stopped in the opposite order; one that fails to stop does not keep the others. */
class Parts {
  readonly #stops: (() => unknown)[] = [];

  add(stop: () => unknown): void {
    this.#stops.push(stop);
  }

  async stop(): Promise<void> {
    const failures: unknown[] = [];
    for (const stop of this.#stops.splice(0).toReversed()) {
      try {
        await stop();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  }
}
