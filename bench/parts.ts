/** What the measured processes are built of: one tool that does nothing, and no confinement. */

import { z } from 'zod';
import { type Backends, openBackends } from '../src/backends.ts';
import { type Config, loadConfig } from '../src/config.ts';
import { createLog } from '../src/log.ts';
import { createModels, type Models } from '../src/model/providers.ts';
import { createRegistry } from '../src/tools/registry.ts';
import { defineTool } from '../src/tools/tool.ts';
import { type RunningWorker, startWorker } from '../src/worker/worker.ts';

export interface Parts {
  readonly config: Config;
  readonly log: ReturnType<typeof createLog>;
  readonly backends: Backends;
  readonly models: Models;
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

export function startBenchWorker({ config, log, backends, models }: Parts): Promise<RunningWorker> {
  const { db, bus } = backends;
  return startWorker({
    ...{ db, bus, models, log, backend: backends.queue, directUrl: backends.directUrl },
    tools: createRegistry([
      defineTool({
        name: 'noop',
        description: 'Does nothing.',
        parameters: z.object({}),
        effect: 'read',
        execute: async () => ({ text: 'ok' }),
      }),
    ]),
    sandbox: {
      name: 'none',
      confined: false,
      run: async () => {
        throw new Error('the bench runs no commands');
      },
      close: async () => {},
    },
    dataDir: config.dataDir,
    version: 'bench',
    concurrency: config.concurrency,
  });
}
