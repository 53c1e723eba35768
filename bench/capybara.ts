/**
 * The Capybara that is measured: API and one worker in a process of its own, as `up` has them; with the argument `api` no
 * worker. Prints `{"url", "apiKey"}` when ready; answers each line on its input with `{"rss", "cpuMs"}`: its resident bytes,
 * and the processor time it has used.
 */
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { createAgents } from '../src/agents/agents.ts';
import { createApi } from '../src/api/app.ts';
import { listen } from '../src/api/server.ts';
import { systemClock } from '../src/clock.ts';
import { DELEGATE_TASK } from '../src/core/tool-names.ts';
import { ensureEmbeddedKey } from '../src/store/bootstrap.ts';
import { Sealing } from '../src/store/sealing.ts';
import { createRegistry } from '../src/tools/registry.ts';
import { noTracing } from '../src/tracing/tracing.ts';
import { openSnapshots } from '../src/workspace/snapshots/open-snapshots.ts';
import { uploadLimits } from '../src/workspace/uploads/limits.ts';
import { openUploads } from '../src/workspace/uploads/uploads.ts';
import { openParts, startBenchWorker } from './parts.ts';

const apiKey = process.env.BENCH_API_KEY ?? '';
const parts = openParts();
const { config, log, backends, models } = parts;
const { db, bus } = backends;
await ensureEmbeddedKey(db, apiKey);

const worker = process.argv[2] === 'api' ? undefined : await startBenchWorker(parts);
const queue = backends.queue.queue();
/** What the others' requests hold is not to change by what it can do. */
const DELEGATING = 'debug';
const resolve = ({
  agent = 'build',
  model,
}: {
  readonly agent?: string | undefined;
  readonly model: string;
}) => ({
  ...{ agent, model, prompt: 'You are measured.', mode: 'auto' as const },
  tools: ['noop', 'bash', ...(agent === DELEGATING ? [DELEGATE_TASK] : [])],
});
const directory = join(config.dataDir, 'snapshots');
const snapshots = openSnapshots({ directory });
const uploads = openUploads({ directory, limits: uploadLimits(config.uploadMib) });
const api = createApi({
  ...{ db, queue, bus, models, log, snapshots, uploads, dataDir: config.dataDir },
  agents: { ...createAgents(createRegistry([])), resolve },
  allowLocal: false,
  ...{ requestsPerMinute: 0, wrongKeysPerMinute: 0, corsOrigins: [], metricsOpen: false, tracing: noTracing },
  webhooks: { allow: [], online: true },
  mcp: {
    enabled: false,
    servers: {},
    teamServers: 'none',
    projectServers: false,
    connectSeconds: 30,
    callSeconds: 120,
    messageKib: 16_384,
  },
  sealing: new Sealing([]),
  schedules: { perTeam: 0, shortestSeconds: 60 },
  repositories: { own: false, online: false, allowed: [] },
  clock: systemClock,
});
const server = await listen(api, { host: '127.0.0.1', port: 0 });

const input = createInterface({ input: process.stdin });
input.on('line', () => {
  const { user, system } = process.cpuUsage();
  process.stdout.write(
    `${JSON.stringify({ rss: process.memoryUsage.rss(), cpuMs: (user + system) / 1000 })}\n`,
  );
});
input.once('close', () => void stop());
process.stdout.write(`${JSON.stringify({ url: server.url, apiKey })}\n`);

async function stop(): Promise<void> {
  await server.close();
  await worker?.stop();
  await queue.close();
  await snapshots.close();
  await backends.close();
}
