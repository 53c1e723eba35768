/**
 * What this API tells Prometheus. What is its own is counted here; what is the fleet's comes from Postgres, so that each API
 * answers the same.
 */
import { collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { Clock } from '../clock.ts';
import { messageOf } from '../core/errors.ts';
import type { Log } from '../log.ts';
import type { Database } from '../store/database.ts';
import { readFleetMetrics } from '../store/metrics.ts';
import { VERSION } from '../version.ts';
import { fleetFamilies } from './fleet-families.ts';
import { prometheusText } from './prometheus-text.ts';
import type { EndedRequest } from './request-log.ts';

/** For so long what Postgres told is told again, however many scrape. */
export const FLEET_CACHE_MS = 5_000;
/** A Postgres that takes longer is left out of the answer. */
const FLEET_PATIENCE = { ms: 1_000, totalMs: 3_000 };
const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

export const PROMETHEUS_TEXT = 'text/plain; version=0.0.4; charset=utf-8';

export interface MetricsParts {
  readonly db: Database;
  readonly log: Log;
  readonly clock: Clock;
  /** Event streams that are open, and requests that wait for a page of events. */
  readonly readers: { readonly streams: number; readonly waits: number };
}

export class Metrics {
  readonly #parts: MetricsParts;
  readonly #db: Database;
  readonly #registry = new Registry();
  readonly #requests: Histogram;
  #fleet: { readonly at: number; readonly text: Promise<string> } | undefined;
  #watchesProcess = false;

  constructor(parts: MetricsParts) {
    this.#parts = parts;
    this.#db = parts.db.within(FLEET_PATIENCE);
    const registers = [this.#registry];
    this.#requests = new Histogram({
      ...{ name: 'capybara_http_request_seconds', buckets: SECONDS, registers },
      help: 'Requests to this API, but for event streams, by route and status.',
      labelNames: ['method', 'route', 'status'],
    });
    new Gauge({
      ...{ name: 'capybara_sse_clients', help: 'Event streams that are open at this API.', registers },
      collect() {
        this.set(parts.readers.streams);
      },
    });
    new Gauge({
      ...{ name: 'capybara_long_polls', registers },
      help: 'Requests to this API that wait for a page of events.',
      collect() {
        this.set(parts.readers.waits);
      },
    });
    const info = { name: 'capybara_build_info', help: 'The version of this API.', labelNames: ['version'] };
    new Gauge({ ...info, registers }).set({ version: VERSION }, 1);
  }

  count({ method, route, status, ms, isStream }: EndedRequest): void {
    if (!isStream) this.#requests.observe({ method, route, status }, ms / 1_000);
  }

  async text(): Promise<string> {
    if (!this.#watchesProcess) collectDefaultMetrics({ register: this.#registry });
    this.#watchesProcess = true;
    const [own, fleet] = await Promise.all([this.#registry.metrics(), this.#fleetText()]);
    return `${own}\n${fleet}`;
  }

  /** One read for all who scrape in the same moment. */
  #fleetText(): Promise<string> {
    const now = this.#parts.clock();
    if (this.#fleet === undefined || now - this.#fleet.at >= FLEET_CACHE_MS)
      this.#fleet = { at: now, text: this.#readFleet() };
    return this.#fleet.text;
  }

  /** The rest of the answer is worth most while Postgres is away. */
  async #readFleet(): Promise<string> {
    const read = (value: number) => ({
      ...{ name: 'capybara_fleet_read', type: 'gauge' as const, samples: [{ value }] },
      help: 'Whether Postgres has told of the fleet; where not, nothing of that is here.',
    });
    try {
      return prometheusText([read(1), ...fleetFamilies(await readFleetMetrics(this.#db))]);
    } catch (error) {
      this.#parts.log.warn({ error: messageOf(error) }, 'metrics of the fleet could not be read');
      return prometheusText([read(0)]);
    }
  }
}
