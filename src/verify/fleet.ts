/**
 * The processes under test: two APIs and three workers from their real main modules, each with lines of its own to Postgres
 * and Redis. One that ends is started again, as a service manager would.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { afterAwake } from './awake.ts';
import { type Child, startChild } from './child.ts';
import { APIS, clockOffsetMs, type Line, SLOTS, type SlotName } from './plan.ts';
import type { ProcessOrder } from './process.ts';
import { Relay, targetOf } from './relay.ts';

export interface FleetOptions {
  readonly seed: number;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly sink: string;
  /** Each line that a process logs. */
  readonly onLine: (slot: SlotName, line: string) => void;
  /** Where they lead now; `redis` undefined where the queue is on Postgres. */
  readonly url: Readonly<Record<Line, (() => string) | undefined>>;
}

export interface Slot {
  readonly name: SlotName;
  readonly lines: Readonly<Partial<Record<Line, Relay>>>;
  readonly child: Child;
  /** Of an API that is ready. */
  readonly url: string | undefined;
  readonly isReady: boolean;
}

type LiveSlot = { -readonly [Name in keyof Slot]: Slot[Name] } & {
  downMs: number | undefined;
  incarnation: number;
};

const RESTART_MS = 300;
const POLITE_MS = 15_000;

export class Fleet {
  readonly #options: FleetOptions;
  readonly #slots = new Map<SlotName, LiveSlot>();
  readonly #supervised: Promise<void>[] = [];
  readonly #lastLine = new Map<SlotName, string>();
  #closing = false;
  /** Ends that no fault asked for. */
  readonly deaths: string[] = [];

  /** Resolves when all are ready. */
  static async start(options: FleetOptions): Promise<Fleet> {
    const fleet = new Fleet(options);
    try {
      for (const name of SLOTS) await fleet.#open(name);
      const ready = await Promise.all(fleet.slots.map((slot) => slot.child.ready));
      if (ready.includes(undefined)) throw new Error('a process of the proof did not start');
      return fleet;
    } catch (error) {
      await fleet.close();
      throw error;
    }
  }

  private constructor(options: FleetOptions) {
    this.#options = options;
  }

  get slots(): readonly Slot[] {
    return [...this.#slots.values()];
  }

  slot(name: SlotName): Slot {
    const slot = this.#slots.get(name);
    if (slot === undefined) throw new Error(`there is no ${name}`);
    return slot;
  }

  /** An API that takes requests, as far as is known; the `turn`-th of them. */
  apiUrl(turn: number): string | undefined {
    const urls = APIS.flatMap((name) => this.slot(name).url ?? []);
    return urls[turn % urls.length];
  }

  /** Signals a process and, where it ends, starts it again `downMs` later. */
  end(name: SlotName, signal: 'SIGKILL' | 'SIGTERM', downMs: number): void {
    const slot = this.slot(name) as LiveSlot;
    slot.downMs = downMs;
    // Who connects to it now would find nobody.
    slot.url = undefined;
    slot.isReady = false;
    slot.child.signal(signal);
  }

  /** Politely, then not. Resolves when all have ended and every line is closed. Returns who had to be killed. */
  async close(): Promise<string[]> {
    this.#closing = true;
    const killed: string[] = [];
    await Promise.all(
      [...this.#slots.values()].map(async ({ name, child }) => {
        child.signal('SIGCONT');
        child.signal('SIGTERM');
        const inTime = afterAwake(POLITE_MS, () => {
          killed.push(
            `${name} did not stop within ${POLITE_MS / 1000} s; logged last: ${this.#lastLine.get(name)}`,
          );
          void child.kill();
        });
        await child.ended;
        inTime();
      }),
    );
    await Promise.all(this.#supervised);
    await Promise.all(this.slots.flatMap(({ lines }) => Object.values(lines).map((line) => line.close())));
    return killed;
  }

  async #open(name: SlotName): Promise<void> {
    const { postgres, redis } = this.#options.url;
    const lines: Partial<Record<Line, Relay>> = {
      ...(postgres && { postgres: await Relay.open(() => targetOf(postgres())) }),
      ...(redis && { redis: await Relay.open(() => targetOf(redis())) }),
    };
    const slot: LiveSlot = {
      ...{ name, lines, incarnation: 0, url: undefined, isReady: false, downMs: undefined },
      child: this.#spawn(name, lines, 0),
    };
    this.#slots.set(name, slot);
    this.#supervised.push(this.#supervise(slot));
  }

  async #supervise(slot: LiveSlot): Promise<void> {
    for (;;) {
      const { child } = slot;
      const url = await child.ready;
      if (url !== undefined && slot.downMs === undefined) {
        slot.isReady = true;
        slot.url = url === '' ? undefined : url;
      }
      const end = await child.ended;
      if (this.#closing) return;
      // One that ends before it is ready found no Postgres, and says so: that is its service manager's business.
      if (slot.downMs === undefined && url !== undefined)
        this.deaths.push(`${slot.name} ended by itself: ${end}`);
      const downMs = slot.downMs ?? RESTART_MS;
      Object.assign(slot, { url: undefined, isReady: false });
      await delay(downMs);
      if (this.#closing) return;
      slot.downMs = undefined;
      slot.incarnation += 1;
      slot.child = this.#spawn(slot.name, slot.lines, slot.incarnation);
    }
  }

  #spawn(name: SlotName, lines: Slot['lines'], incarnation: number): Child {
    const { seed, sink, env, url, onLine } = this.#options;
    const order: ProcessOrder = { sink, clockOffsetMs: clockOffsetMs(seed, name, incarnation) };
    const through = (line: Line) => {
      const direct = url[line]?.();
      return direct === undefined ? undefined : lines[line]?.through(direct);
    };
    return startChild(name.startsWith('api') ? './api-process' : './worker-process', {
      args: [JSON.stringify(order)],
      env: { ...env, DATABASE_URL: through('postgres'), REDIS_URL: through('redis') },
      onLine: (line) => {
        this.#lastLine.set(name, line);
        onLine(name, line);
      },
    });
  }
}
