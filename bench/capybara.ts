/**
 * The Capybara that is measured: API and one worker in a process of its own, as `up` has them, with one tool that does nothing
 * and no confinement. Prints `{"url", "apiKey"}` when ready; answers each line on its input with
 * `{"rss", "cpuMs"}`: its resident bytes, and the processor time it has used.
 */
import { randomBytes } from 'node:crypto';
import { createInterface } from 'node:readline';
import { z } from 'zod';
import { createApi } from '../src/api/app.ts';
import { listen } from '../src/api/server.ts';
import { openBackends } from '../src/backends.ts';
import { systemClock } from '../src/clock.ts';
import { loadConfig } from '../src/config.ts';
import { createLog } from '../src/log.ts';
import { createModels } from '../src/model/providers.ts';
import { ensureEmbeddedKey } from '../src/store/bootstrap.ts';
import { createRegistry } from '../src/tools/registry.ts';
import { defineTool } from '../src/tools/tool.ts';
import { startWorker } from '../src/worker/worker.ts';

const { config } = loadConfig();
const log = createLog({ level: 'warn' });
const backends = openBackends(config, log);
const { db, bus } = backends;
const tools = createRegistry([
  defineTool({
    name: 'noop',
    description: 'Does nothing.',
    parameters: z.object({}),
    effect: 'read',
    execute: async () => ({ text: 'ok' }),
  }),
]);
const apiKey = `capy_${randomBytes(32).toString('base64url')}`;
await ensureEmbeddedKey(db, apiKey);

const models = createModels(config.providers, { model: config.model });
const worker = await startWorker({
  ...{ db, bus, models, tools, log, backend: backends.queue, directUrl: backends.directUrl },
  sandbox: {
    name: 'none',
    run: async () => {
      throw new Error('the bench runs no commands');
    },
    close: async () => {},
  },
  dataDir: config.dataDir,
  version: 'bench',
  concurrency: config.concurrency,
});
const queue = backends.queue.queue();
const resolveProfile = (request: { readonly model: string }) => ({
  agent: 'build',
  prompt: 'You are measured.',
  tools: ['noop'],
  model: request.model,
  mode: 'auto' as const,
});
const api = createApi({
  ...{ db, queue, bus, models, log, resolveProfile, dataDir: config.dataDir },
  allowLocal: false,
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
  await worker.stop();
  await queue.close();
  await backends.close();
}
