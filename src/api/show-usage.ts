/** What was used, as the wire shows it. */
import { toPublicId } from '../core/id.ts';
import type { MeasuredUsage, Percentiles, UsageCount, UsageGroup } from '../store/usage.ts';
import type { TaskRow } from '../store/views-tasks.ts';
import type { TeamUsage, Usage, UsageBy, UsageRow } from './wire.ts';

const NOTHING: UsageCount = {
  ...{ input: 0, output: 0, cached: 0, cacheWritten: 0, reasoning: 0 },
  ...{ requests: 0, usd: null, unpriced: 0 },
};

export function showTaskUsage({ usage, toolCalls, toolFailures }: TaskRow): Usage {
  const all = (isLost: boolean) =>
    usage.find((row) => row.model === null && row.isLost === isLost) ?? NOTHING;
  const lost = all(true);
  return {
    ...countsOf(all(false)),
    brokenOff: { requests: lost.requests, tokens: lost.input + lost.output, usd: lost.usd },
    byModel: usage.flatMap((row) =>
      row.model === null || row.isLost ? [] : [{ model: row.model, ...countsOf(row) }],
    ),
    toolCalls,
    toolFailures,
  };
}

function countsOf({ input, output, cached, cacheWritten, reasoning, requests, usd, unpriced }: UsageCount) {
  return { input, output, cached, cacheWritten, reasoning, requests, usd, unpriced };
}

export function showMeasured(row: MeasuredUsage): TeamUsage['total'] {
  return {
    ...countsOf(row),
    brokenOff: { requests: row.lostRequests, tokens: row.lostTokens, usd: row.lostUsd },
    latencyMs: percentilesOf(row.latency),
    firstTokenMs: percentilesOf(row.firstToken),
  };
}

export function showUsageGroup(by: UsageBy): (row: UsageGroup) => UsageRow {
  const shown = (key: string) => (by === 'task' || by === 'session' ? toPublicId(by, key) : key);
  return (row) => ({ key: shown(row.key), name: row.name, ...showMeasured(row) });
}

function percentilesOf(found: readonly (number | null)[] | null): Percentiles | null {
  const [p50 = null, p95 = null] = found ?? [];
  return p50 === null || p95 === null ? null : { p50, p95 };
}
