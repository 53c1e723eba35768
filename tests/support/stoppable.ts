/** A worker's parts, so made that its process stops itself at a point. */
import { setTimeout as delay } from 'node:timers/promises';
import type { QueueBackend } from '../../src/queue/queue.ts';
import { type Wrapped, withPoints } from './points.ts';

export interface StopSettings {
  /** `POINT#N`: the N-th time that the point is reached, from 1. */
  readonly stopAt?: string;
  readonly signal?: 'SIGKILL' | 'SIGSTOP';
}

/** A signal is on its way to all threads; the one that sent it must not get further meanwhile. */
const STRIKES_MS = 20;

/** Says `reached POINT#N` at each point; once it was stopped and goes on, `idle` when it looks at no turn any more. */
export function stoppable(
  parts: Wrapped,
  { stopAt, signal = 'SIGKILL' }: StopSettings,
  say: (line: string) => void,
): Wrapped {
  const counts = new Map<string, number>();
  const looks = new Looks();
  const reach = async (point: string) => {
    const count = (counts.get(point) ?? 0) + 1;
    counts.set(point, count);
    say(`reached ${point}#${count}`);
    if (`${point}#${count}` !== stopAt) return;
    process.kill(process.pid, signal);
    await delay(STRIKES_MS);
    void looks.over().then(() => say('idle'));
  };
  return withPoints({ ...parts, backend: looks.watch(parts.backend) }, reach);
}

/** The turns that this worker looks at. */
class Looks {
  readonly #inHand = new Set<Promise<void>>();

  watch(backend: QueueBackend): QueueBackend {
    return {
      kind: backend.kind,
      deliveries: backend.deliveries,
      queue: () => backend.queue(),
      close: () => backend.close(),
      consume: ({ concurrency, look }) =>
        backend.consume({
          concurrency,
          look: (job) => {
            const looking = look(job);
            this.#inHand.add(looking);
            return looking.finally(() => this.#inHand.delete(looking));
          },
        }),
    };
  }

  async over(): Promise<void> {
    while (this.#inHand.size > 0) await Promise.all(this.#inHand);
  }
}
