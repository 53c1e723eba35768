/** What the measured processes are built of: a tool that does nothing, one that runs commands, and the one that delegates. */

import { z } from 'zod';
import { type Backends, openBackends } from '../src/backends.ts';
import { type Config, loadConfig } from '../src/config.ts';
import { createLog } from '../src/log.ts';
import { createModels, type ModelRegistry } from '../src/model/providers.ts';
import { bashTool } from '../src/tools/bash.ts';
import { delegateTaskTool } from '../src/tools/delegate-task.ts';
import { createRegistry } from '../src/tools/registry.ts';
import { defineTool } from '../src/tools/tool.ts';
import { openSandbox, sandboxFor } from '../src/worker/main.ts';
import { type RunningWorker, startWorker } from '../src/worker/worker.ts';

export interface Parts {
  readonly config: Config;
  readonly log: ReturnType<typeof createLog>;
  readonly backends: Backends;
  readonly models: ModelRegistry;
}

export function openParts(): Parts {
  const { config } = loadConfig();
  const log = createLog({ level: 'error' });
  return {
    ...{ config, log },
    backends: openBackends(config, log),
    models: createModels(config.providers, { model: config.model }),
  };
}

/** Its sandbox is the one that `up` would have here. */
export async function startBenchWorker({ config, log, backends, models }: Parts): Promise<RunningWorker> {
  const { db, bus } = backends;
  const sandbox = openSandbox(config, await sandboxFor(config, 'local'));
  const worker = await startWorker({
    ...{ db, bus, models, log, sandbox, backend: backends.queue, directUrl: backends.directUrl },
    tools: createRegistry([
      bashTool,
      delegateTaskTool,
      defineTool({
        name: 'noop',
        description: 'Does nothing.',
        parameters: z.object({}),
        effect: 'read',
        execute: async () => ({ text: 'ok' }),
      }),
    ]),
    dataDir: config.dataDir,
    version: 'bench',
    concurrency: config.concurrency,
  });
  return { id: worker.id, stop: () => worker.stop().finally(() => sandbox.close()) };
}
