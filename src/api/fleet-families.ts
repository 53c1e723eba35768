/** What Postgres tells of all teams together, as Prometheus takes it. Nothing is told by team, person, session or task. */
import { BOUNDS, type FleetMetrics, type Series, type Total } from '../store/metrics.ts';
import { type Family, histogramSamples, type Sample } from './prometheus-text.ts';

export function fleetFamilies(fleet: FleetMetrics): Family[] {
  return [...gauges(fleet), ...counters(fleet)];
}

/** What waits. */
function gauges(fleet: FleetMetrics): Family[] {
  const { turns, tasks, workersAlive, workersLost } = fleet;
  return [
    gauge('queue_depth', 'Turns that are ready for a worker and that none has taken.', turns.queued ?? 0),
    gauge(
      'queue_oldest_seconds',
      'How long the oldest turn that nobody has begun is queued.',
      fleet.oldestQueued ?? 0,
    ),
    {
      ...{ name: 'capybara_turns', type: 'gauge', help: 'Unfinished turns by status.' },
      samples: ['ready', 'queued', 'running', 'parked'].map((status) => ({
        labels: { status },
        value: turns[status] ?? 0,
      })),
    },
    {
      ...{ name: 'capybara_tasks', type: 'gauge' },
      help: 'Unfinished tasks by status (paused stands above the others) and by what they wait on.',
      samples: tasks.map(([status, on, value]) => ({ labels: { status, waiting_on: on ?? '' }, value })),
    },
    gauge('approvals_open', 'Questions to people that nobody has answered.', fleet.approvals),
    gauge('approval_oldest_seconds', 'How long the oldest of them is open.', fleet.oldestApproval ?? 0),
    gauge('deliveries_pending', 'Deliveries to webhooks that are still to be made.', fleet.deliveries),
    gauge('delivery_oldest_seconds', 'How long ago the oldest of them came up.', fleet.oldestDelivery ?? 0),
    {
      ...{ name: 'capybara_workers', type: 'gauge' },
      help: 'Workers whose lease is alive, and those that are lost and whose turns nobody has taken over yet.',
      samples: [
        { labels: { state: 'alive' }, value: workersAlive },
        { labels: { state: 'lost' }, value: workersLost },
      ],
    },
    gauge(
      'oldest_expired_lease_seconds',
      'For how long the lease of such a worker has run out, of the oldest; more than 5 is a fault.',
      fleet.oldestExpiredLease ?? 0,
    ),
  ];
}

function gauge(name: string, help: string, value: number): Family {
  return { name: `capybara_${name}`, help, type: 'gauge', samples: [{ value }] };
}

interface Counter {
  readonly name: string;
  readonly help: string;
  readonly labels: readonly string[];
}

/** How each series is called. `sum`: its values are added up; else its rows are counted. */
const COUNTERS: Partial<Record<Series, Counter & { readonly sum?: true }>> = {
  turns: { name: 'turns_ended_total', help: 'Turns that have ended, by outcome.', labels: ['outcome'] },
  attempts: {
    name: 'attempts_ended_total',
    help: 'Attempts at turns that have ended, by outcome.',
    labels: ['outcome'],
  },
  tasks: {
    name: 'tasks_ended_total',
    help: 'Tasks that have ended, by status and the code of what they failed with.',
    labels: ['status', 'code'],
  },
  deliveries: {
    name: 'deliveries_ended_total',
    help: 'Deliveries to webhooks that were made, or given up, by status.',
    labels: ['status'],
  },
  requests: {
    name: 'model_requests_total',
    help: 'Requests to models: answered, or lost with a worker.',
    labels: ['model', 'outcome'],
  },
  tokens: {
    name: 'tokens_total',
    help: 'Tokens by kind; cached and cache_written are part of input, reasoning of output. Of lost requests what was reserved.',
    labels: ['model', 'kind', 'outcome'],
    sum: true,
  },
  usd: {
    name: 'usd_total',
    help: 'US dollars of requests whose prices are known. Of lost requests what was reserved.',
    labels: ['model', 'outcome'],
    sum: true,
  },
};

const HISTOGRAMS: Partial<Record<Series, Counter>> = {
  turns: {
    name: 'turn_seconds',
    help: 'From the first attempt at a turn to its end, with all that it waited for.',
    labels: ['outcome'],
  },
  attempts: { name: 'attempt_seconds', help: 'How long a worker held a turn.', labels: ['outcome'] },
  latency: { name: 'model_latency_seconds', help: 'From a request to its whole answer.', labels: ['model'] },
  first_token: {
    name: 'model_first_token_seconds',
    help: 'From a request to the first of its answer.',
    labels: ['model'],
  },
  submit_to_request: {
    name: 'submit_to_first_request_seconds',
    help: 'From the submission of a task to its first request that was answered.',
    labels: [],
  },
};

function counters({ totals }: FleetMetrics): Family[] {
  const bySeries = Map.groupBy(totals, ({ series }) => series);
  const of = (series: string) => [...Map.groupBy(bySeries.get(series as Series) ?? [], keyOf).values()];
  const counted = Object.entries(COUNTERS).map(([series, { name, help, labels, sum = false }]): Family => {
    const samples = of(series).map((rows) => ({
      labels: labelsOf(labels, rows),
      value: added(rows, sum ? 'sum' : 'count'),
    }));
    return { name: `capybara_${name}`, help, type: 'counter', samples };
  });
  const measured = Object.entries(HISTOGRAMS).map(([series, { name, help, labels }]): Family => {
    const samples = of(series).flatMap((rows) => histogram(labelsOf(labels, rows), rows));
    return { name: `capybara_${name}`, help, type: 'histogram', samples };
  });
  return [...counted, ...measured];
}

function keyOf({ labels }: Total): string {
  return JSON.stringify(labels);
}

function labelsOf(names: readonly string[], [first]: readonly Total[]): Record<string, string> {
  return Object.fromEntries(names.map((name, index) => [name, first?.labels[index] ?? '']));
}

function added(rows: readonly Total[], what: 'count' | 'sum'): number {
  return rows.reduce((all, row) => all + row[what], 0);
}

/** Without what never began. */
function histogram(labels: Readonly<Record<string, string>>, rows: readonly Total[]): Sample[] {
  const begun = rows.filter(({ bucket }) => bucket >= 0);
  const inBuckets = Array.from({ length: BOUNDS.length + 1 }, (_, index) =>
    added(
      begun.filter(({ bucket }) => bucket === index),
      'count',
    ),
  );
  return histogramSamples(labels, { bounds: BOUNDS, inBuckets, sum: added(begun, 'sum') });
}
