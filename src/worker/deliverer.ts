/**
 * Deliveries of webhooks: taken from their queue, tried, and what came of each written down. At least once: a worker that dies at one
 * leaves a claim whose time runs out, and then another tries.
 */

import { type Reach, systemReach } from '../checked-agent.ts';
import { type Clock, newId } from '../clock.ts';
import { messageOf, UserError } from '../core/errors.ts';
import { shownEvent } from '../core/event.ts';
import { toPublicId } from '../core/id.ts';
import { afterTry, DELIVERY_BACKOFF_MS, type Sent, WEBHOOK_TEST } from '../core/webhook.ts';
import type { Log } from '../log.ts';
import type { DeliveryJob, DeliveryQueue, JobConsumer, Lane } from '../queue/queue.ts';
import type { Database } from '../store/database.ts';
import {
  type ClaimedDelivery,
  claimDelivery,
  type DeliveryEnd,
  type DeliveryWake,
  openSecret,
  queueDeliveries,
  requeueDelivery,
  settleDelivery,
} from '../store/deliveries.ts';
import { Sealing } from '../store/sealing.ts';
import { type Delivery, send } from '../webhooks/send.ts';
import type { TargetPolicy } from '../webhooks/target.ts';

export interface DeliverySettings {
  readonly policy: TargetPolicy;
  /** What one try may take. */
  readonly timeoutMs: number;
  /** How long a try has its delivery for itself: longer than it may take, by what writing its outcome does. */
  readonly leaseMs: number;
  /** Pauses after each try that failed. */
  readonly backoffMs: readonly number[];
  /** Tries at a time. */
  readonly concurrency: number;
  readonly reach: Reach;
  /** Opens what is signed with. */
  readonly sealing: Sealing;
}

export const DEFAULT_DELIVERIES: DeliverySettings = {
  policy: { allow: [], online: true },
  timeoutMs: 15_000,
  leaseMs: 30_000,
  backoffMs: DELIVERY_BACKOFF_MS,
  concurrency: 20,
  reach: systemReach(),
  sealing: new Sealing([]),
};

export interface DelivererParts {
  readonly db: Database;
  readonly lane: Lane<DeliveryJob>;
  readonly log: Log;
  readonly clock: Clock;
}

type Claimed = Extract<ClaimedDelivery, { outcome: 'claimed' }>;

export class Deliverer {
  readonly #parts: DelivererParts;
  readonly #settings: DeliverySettings;
  readonly #queue: DeliveryQueue;
  readonly #closing = new AbortController();
  #consumer: JobConsumer | undefined;

  constructor(parts: DelivererParts, settings: Partial<DeliverySettings> = {}) {
    this.#parts = parts;
    this.#settings = { ...DEFAULT_DELIVERIES, ...settings };
    this.#queue = parts.lane.queue();
  }

  start(): void {
    const { concurrency } = this.#settings;
    this.#consumer ??= this.#parts.lane.consume({ concurrency, look: (job) => this.#look(job) });
  }

  /** Gives those that are due to the queue, and looks for jobs that it has lost. `db`: the sweep's. */
  async sweep(db: Database, batch: { readonly ageMs: number; readonly limit: number }): Promise<void> {
    const due = await queueDeliveries(db, batch);
    const seen = due.filter(({ isNew }) => !isNew);
    const states = await this.#queue.states(seen);
    const stuck = seen.filter((_, index) => states[index] !== 'waiting');
    const next = await Promise.all(
      stuck.map(async (each) => ({ ...each, wake: await requeueDelivery(db, each) })),
    );
    const again = next.filter((each): each is (typeof due)[number] => each.wake !== null);
    const wakes: DeliveryWake[] = [...due.filter(({ isNew }) => isNew), ...again];
    await this.#queue.wakeAll(wakes);
  }

  /** Takes no more; what is under way is broken off, and due again at once. */
  async pause(): Promise<void> {
    const idle = this.#consumer?.pause();
    this.#closing.abort();
    await idle;
  }

  async close(): Promise<void> {
    await this.pause();
    await this.#consumer?.close();
    await this.#queue.close();
  }

  async #look({ deliveryId }: DeliveryJob): Promise<void> {
    try {
      await this.#try(deliveryId);
    } catch (error) {
      // Its time runs out, and then it is due.
      this.#parts.log.warn(
        { deliveryId, error: messageOf(error) },
        'a delivery was not tried, or its outcome not written',
      );
    }
  }

  async #try(deliveryId: string): Promise<void> {
    const { db, log } = this.#parts;
    const claim = newId();
    const claimed = await claimDelivery(db, { deliveryId, claim, leaseMs: this.#settings.leaseMs });
    if (claimed.outcome !== 'claimed') return;
    const end = await this.#send(deliveryId, claimed);
    const settled = await settleDelivery(db, { deliveryId, claim }, end);
    if (settled.outcome === 'settled' && settled.disabled !== undefined)
      log.warn({ webhookId: claimed.webhookId, reason: settled.disabled }, 'a webhook was disabled');
  }

  async #send(deliveryId: string, claimed: Claimed): Promise<DeliveryEnd> {
    const { backoffMs, ...options } = this.#settings;
    const secret = this.#secretOf(deliveryId, claimed);
    const signed = secret && deliveryOf(deliveryId, claimed, { secret, seconds: this.#seconds() });
    const sent = signed ? await send(signed, { ...options, signal: this.#closing.signal }) : UNSIGNED;
    if (sent === undefined) return { kind: 'returned' };
    return { ...afterTry(sent, claimed.tries, backoffMs), answered: sent.status, said: sent.said };
  }

  #seconds(): number {
    return Math.floor(this.#parts.clock() / 1_000);
  }

  /** Undefined where it does not open here: it may after a while, in a worker with other keys. */
  #secretOf(deliveryId: string, claimed: Claimed): Buffer | undefined {
    try {
      return openSecret(claimed, this.#settings.sealing);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      this.#parts.log.error({ deliveryId, error: error.message }, 'a delivery could not be signed');
      return undefined;
    }
  }
}

const UNSIGNED: Sent = {
  status: null,
  said: 'It could not be signed: the secret does not open with the encryption key of the worker, whose log says more.',
};

/** The same for each try, but for when it is sent. */
function deliveryOf(
  deliveryId: string,
  { type, url, at, event }: Claimed,
  signing: Pick<Delivery, 'secret' | 'seconds'>,
): Delivery {
  const timestamp = new Date(event?.at ?? at).toISOString();
  const data = event === null ? {} : shownEvent({ ...event, at: timestamp });
  const body = JSON.stringify({ type: event === null ? WEBHOOK_TEST : type, timestamp, data });
  return { id: toPublicId('delivery', deliveryId), url, ...signing, body };
}
