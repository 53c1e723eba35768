import type { Log } from '../log.ts';

/** More than a call may take to end by itself when its worker stops. */
const LONG_MS = 7_000;

/** One after the other. A stage that takes long is logged by its name, so that whoever waits can see for what. */
export async function inStages(
  log: Log,
  stages: Readonly<Record<string, () => unknown>>,
  longMs = LONG_MS,
): Promise<void> {
  for (const [stage, run] of Object.entries(stages)) {
    const timer = setInterval(() => log.warn({ stage }, 'stopping takes long'), longMs);
    try {
      await run();
    } finally {
      clearInterval(timer);
    }
  }
}
