/**
 * The points at which a test stops a worker: before and after every durable step and every act, by the names that `store`
 * and `core` give them. What a worker is built from is wrapped, so nothing in `src` knows of it.
 */
import type { Models } from '../../src/model/providers.ts';
import type { QueueBackend, TurnQueue } from '../../src/queue/queue.ts';
import type { Database } from '../../src/store/database.ts';
import { createRegistry, type Registry } from '../../src/tools/registry.ts';
import type { WorkerOptions } from '../../src/worker/worker.ts';

/** Called at each point; what comes next waits until it resolves. */
export type Reach = (point: string) => Promise<void>;

/** What a worker acts through. */
export type Wrapped = Pick<WorkerOptions, 'db' | 'backend' | 'models' | 'tools'>;

export function withPoints({ db, backend, models, tools }: Wrapped, reach: Reach): Wrapped {
  return {
    db: databaseWithPoints(db, reach),
    backend: backendWithPoints(backend, reach),
    models: modelsWithPoints(models, reach),
    tools: toolsWithPoints(tools, reach),
  };
}

/** Both sides of an act that `reach` is told of. */
async function around<T>(name: string, reach: Reach, act: () => Promise<T>): Promise<T> {
  await reach(`before ${name}`);
  const outcome = await act();
  await reach(`after ${name}`);
  return outcome;
}

/** Writes that are plain SQL rather than a transition. */
const WRITES = [{ name: 'putOutput', begins: 'WITH stored AS' }] as const;

export function databaseWithPoints(db: Database, reach: Reach): Database {
  return {
    pool: db.pool,
    close: () => db.close(),
    read: (text, ...values) => db.read(text, ...values),
    planned: (name, text, ...values) => db.planned(name, text, ...values),
    repeat: (act) => db.repeat(act),
    within: (ms) => databaseWithPoints(db.within(ms), reach),
    transition: (name, ...args) => around(name, reach, () => db.transition(name, ...args)),
    // A sweep that finds nothing is no step: it does the same again and again.
    rows: async <Row extends Record<string, unknown>>(name: string, ...args: unknown[]) => {
      const rows = await db.rows<Row>(name, ...args);
      if (rows.length > 0) await reach(`after ${name}`);
      return rows;
    },
    sql: <Row extends Record<string, unknown>>(strings: TemplateStringsArray, ...values: unknown[]) => {
      const write = WRITES.find(({ begins }) => strings[0]?.trim().startsWith(begins));
      const act = () => db.sql<Row>(strings, ...values);
      return write === undefined ? act() : around(write.name, reach, act);
    },
  };
}

/**
 * A job may be delivered before whoever added it has heard that it was. Here it is looked at afterwards: points come in one
 * order, so that nothing of the next turn is under way at `after wake`.
 */
function backendWithPoints(backend: QueueBackend, reach: Reach): QueueBackend {
  const adding = new Set<Promise<void>>();
  const add = async (act: () => Promise<void>) => {
    const added = around('wake', reach, act);
    adding.add(added);
    await added.finally(() => adding.delete(added));
  };
  return {
    kind: backend.kind,
    deliveries: backend.deliveries,
    queue: () => queueWithPoints(backend.queue(), add),
    consume: ({ concurrency, look }) =>
      backend.consume({
        concurrency,
        look: async (job) => {
          await Promise.allSettled(adding);
          await look(job);
        },
      }),
    close: () => backend.close(),
  };
}

function queueWithPoints(queue: TurnQueue, add: (act: () => Promise<void>) => Promise<void>): TurnQueue {
  return {
    wake: (job) => add(() => queue.wake(job)),
    wakeAll: (jobs) => add(() => queue.wakeAll(jobs)),
    states: (jobs) => queue.states(jobs),
    close: () => queue.close(),
  };
}

/** `during`: the model has been asked. `after`: the answer is there, and nobody has heard of it yet. */
function modelsWithPoints(models: Models, reach: Reach): Models {
  return {
    list: () => models.list(),
    resolve(name) {
      const model = models.resolve(name);
      return {
        name: model.name,
        takesImages: model.takesImages,
        info: model.info,
        async *stream(request, signal) {
          await reach('before callModel');
          let asked = false;
          for await (const event of model.stream(request, signal)) {
            if (!asked) await reach('during callModel');
            asked = true;
            if (event.type === 'finished' || event.type === 'failed') await reach('after callModel');
            yield event;
          }
        },
      };
    },
  };
}

/** Each tool: an agent has a registry of its own, of those that it may use. */
function toolsWithPoints({ tools }: Registry, reach: Reach): Registry {
  return createRegistry(
    tools.map((tool) => ({
      ...tool,
      execute: (args, context) => around('runTools', reach, () => tool.execute(args, context)),
    })),
  );
}
