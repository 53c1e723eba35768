import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, describe, expect, it, vi } from 'vitest';
import type { Bus, BusMessage } from '../../src/bus/bus.ts';
import { createPostgresBus } from '../../src/bus/postgres.ts';
import { createRedisBus } from '../../src/bus/redis.ts';
import { createLog, type Log, silentLog } from '../../src/log.ts';
import { type Backend, lineTo, postgresBackend, redisBackend } from './queue-stores.ts';

const CHILD = fileURLToPath(new URL('bus-child.ts', import.meta.url));
const BACK_MS = 10_000;

const stores = { postgres: await postgresBackend(), redis: await redisBackend('the bus on Redis') };

afterAll(async () => {
  for (const store of Object.values(stores)) await store?.stop();
});

describe.each(['postgres', 'redis'] as const)('the bus on %s', (kind) => {
  describe.skipIf(stores[kind] === undefined)('', () => {
    const store = stores[kind] as Backend;
    const cleanUp: (() => Promise<void> | void)[] = [];

    afterEach(async () => {
      for (const end of cleanUp.splice(0).reverse()) await end();
      await vi.waitFor(async () => expect(await store.connections()).toEqual([]), 5_000);
    });

    function open(options: { url?: string; log?: Log } = {}): Bus {
      const create = kind === 'postgres' ? createPostgresBus : createRedisBus;
      const bus = create({ url: store.url, log: silentLog, ...options });
      cleanUp.push(() => bus.close());
      return bus;
    }

    async function cuttable() {
      const line = await lineTo(store.url);
      cleanUp.push(() => line.close());
      return line;
    }

    it('carries every kind of message to other processes, in the order of its publisher', async () => {
      const heard = await hearing(open());
      const messages: BusMessage[] = [
        { type: 'events', rootId: 'a', seq: 1 },
        delta('one', 0),
        toolOutput('out\u0000put "quoted" \\ 🦫\n'),
        { type: 'cancel', rootId: 'a', taskId: 't' },
        delta('two', 3),
        { type: 'events', rootId: 'b', seq: 7 },
      ];
      const publisher = open();
      for (const message of messages) publisher.publish(message);
      await vi.waitFor(() => expect(heard).toEqual(messages), 10_000);
    });

    it('keeps the order of many messages, over many ticks', async () => {
      const heard = await hearing(open());
      const publisher = open();
      const messages = Array.from({ length: 600 }, (_, index) => delta(`piece ${index} `.repeat(20), index));
      for (const [index, message] of messages.entries()) {
        publisher.publish(message);
        if (index % 50 === 0) await new Promise((resolve) => setImmediate(resolve));
      }
      await vi.waitFor(() => expect(heard).toHaveLength(600), 10_000);
      expect(heard).toEqual(messages);
    });

    it('sends the largest sequence number of many hints about one tree', async () => {
      const heard = await hearing(open());
      const publisher = open();
      for (const seq of [3, 1, 9, 4]) publisher.publish({ type: 'events', rootId: 'a', seq });
      publisher.publish({ type: 'events', rootId: 'b', seq: 2 });
      await vi.waitFor(
        () =>
          expect(heard).toEqual([
            { type: 'events', rootId: 'a', seq: 9 },
            { type: 'events', rootId: 'b', seq: 2 },
          ]),
        10_000,
      );
    });

    it('keeps two messages that say the same', async () => {
      const heard = await hearing(open());
      const publisher = open();
      publisher.publish(toolOutput('.'));
      publisher.publish(toolOutput('.'));
      await vi.waitFor(() => expect(heard).toEqual([toolOutput('.'), toolOutput('.')]), 10_000);
    });

    it('carries a text of any length, in pieces that fit together', async () => {
      const heard = await hearing(open());
      const text = '🦫"\n\u0001é漢'.repeat(60_000);
      const publisher = open();
      publisher.publish(delta(text, 11));
      const end = delta('', 11 + text.length);
      publisher.publish(end);
      await vi.waitFor(() => expect(heard.at(-1)).toEqual(end), 10_000);
      let offset = 11;
      for (const piece of heard) {
        if (piece.type !== 'delta') throw new Error('not a delta');
        expect(piece.offset).toBe(offset);
        expect(piece.text.isWellFormed()).toBe(true);
        offset += piece.text.length;
      }
      expect(heard.map((piece) => 'text' in piece && piece.text).join('')).toBe(text);
    });

    it('hears from the moment subscribe resolves, until it is stopped', async () => {
      const bus = open();
      const heard: BusMessage[] = [];
      const stop = await bus.subscribe((message) => heard.push(message));
      const all = await hearing(bus);
      const publisher = open();
      publisher.publish(delta('first', 0));
      await vi.waitFor(() => expect(heard).toHaveLength(1), 10_000);
      await stop();
      publisher.publish(delta('second', 5));
      await vi.waitFor(() => expect(all).toHaveLength(2), 10_000);
      expect(heard).toHaveLength(1);
    });

    it('tells the other listeners when one throws', async () => {
      const { log, lines } = recordingLog();
      const bus = open({ log });
      await bus.subscribe(() => {
        throw new Error('a bad listener');
      });
      const heard = await hearing(bus);
      open().publish(delta('text', 0));
      await vi.waitFor(() => expect(heard).toEqual([delta('text', 0)]), 10_000);
      expect(lines.join()).toContain('a bad listener');
    });

    it('drops what is no message, and says so', async () => {
      const { log, lines } = recordingLog();
      const bus = open({ log });
      const heard = await hearing(bus);
      const good = { type: 'events', rootId: 'a', seq: 1 };
      const bad = { type: 'events', rootId: 'a', seq: -1 };
      for (const forged of [
        '',
        'null',
        '{"messages":1}',
        JSON.stringify({ messages: [bad, { type: 'rm' }, good] }),
      ]) {
        await store.forge(forged);
      }
      await vi.waitFor(() => expect(heard).toEqual([good]), 10_000);
      expect(lines.join()).toContain('bus dropped a malformed message');
    });

    it('hears again after the server has ended its connections', async () => {
      const bus = open();
      const heard = await hearing(bus);
      const publisher = open();
      publisher.publish(delta('before', 0));
      await vi.waitFor(() => expect(heard).toHaveLength(1), 10_000);
      await store.killConnections();
      await untilHeard(publisher, heard);
    });

    it('hears again after its server was away', async () => {
      const line = await cuttable();
      const heard = await hearing(open({ url: line.url }));
      const publisher = open({ url: line.url });
      await untilHeard(publisher, heard);
      await line.cut();
      publisher.publish(delta('while away', 0));
      await line.mend();
      await untilHeard(publisher, heard);
    });

    it('sends what was published before its server could be reached', async () => {
      const line = await cuttable();
      await line.cut();
      const heard = await hearing(open());
      open({ url: line.url }).publish(delta('early', 0));
      await line.mend();
      await vi.waitFor(() => expect(heard).toEqual([delta('early', 0)]), BACK_MS);
    });

    it('resolves subscribe only once it hears', async () => {
      const line = await cuttable();
      await line.cut();
      const bus = open({ url: line.url });
      let subscribed = false;
      const heard: BusMessage[] = [];
      const subscribing = bus
        .subscribe((message) => heard.push(message))
        .then(() => {
          subscribed = true;
        });
      expect(subscribed).toBe(false);
      await line.mend();
      await subscribing;
      open().publish(delta('now', 0));
      await vi.waitFor(() => expect(heard).toEqual([delta('now', 0)]), 10_000);
    });

    it('closes while its server is away, and refuses whoever waits to subscribe', async () => {
      const line = await cuttable();
      await line.cut();
      const bus = open({ url: line.url });
      const subscribing = bus.subscribe(() => {});
      bus.publish(delta('lost', 0));
      const refused = expect(subscribing).rejects.toThrow(/closed/i);
      await bus.close();
      await refused;
      await expect(bus.subscribe(() => {})).rejects.toThrow(/closed/i);
    });

    it('closes while its server does not answer', async () => {
      const line = await cuttable();
      const bus = open({ url: line.url });
      const heard = await hearing(bus);
      await untilHeard(bus, heard);
      line.freeze();
      bus.publish(delta('lost', 0));
      await bus.close();
    });

    it('sends what was published before close, and nothing after it', async () => {
      const heard = await hearing(open());
      const publisher = open();
      publisher.publish(delta('last words', 0));
      await publisher.close();
      publisher.publish(delta('too late', 10));
      const other = open();
      other.publish(delta('another', 0));
      await vi.waitFor(() => expect(heard).toHaveLength(2), 10_000);
      expect(heard).toEqual([delta('last words', 0), delta('another', 0)]);
    });

    it('lets its process end by itself once it is closed', async () => {
      const child = spawn(process.execPath, [CHILD, kind, store.url], { stdio: 'inherit' });
      cleanUp.push(() => void child.kill('SIGKILL'));
      expect(await once(child, 'exit')).toEqual([0, null]);
    });

    const restart = store?.restart;
    if (restart !== undefined) {
      it('hears again after the server was restarted', async () => {
        const heard = await hearing(open());
        const publisher = open();
        await untilHeard(publisher, heard);
        await restart();
        await untilHeard(publisher, heard);
      });
    }
  });
});

async function hearing(bus: Bus): Promise<BusMessage[]> {
  const heard: BusMessage[] = [];
  await bus.subscribe((message) => heard.push(message));
  return heard;
}

/** Messages may be lost around an outage: says another until one is heard. */
async function untilHeard(publisher: Bus, heard: readonly BusMessage[]): Promise<void> {
  const rootId = randomUUID();
  await vi.waitFor(
    () => {
      publisher.publish({ type: 'cancel', rootId, taskId: 'task' });
      expect(heard.some((message) => message.rootId === rootId)).toBe(true);
    },
    { timeout: BACK_MS },
  );
}

const ofTurn = { rootId: 'root', sessionId: 'session', taskId: 'task', turn: 1 };

function delta(text: string, offset: number): BusMessage {
  return { type: 'delta', ...ofTurn, attemptId: 'attempt', channel: 'text', offset, text };
}

function toolOutput(text: string): BusMessage {
  return { type: 'tool_output', ...ofTurn, callId: 'call', text };
}

function recordingLog(): { log: Log; lines: string[] } {
  const lines: string[] = [];
  return { log: createLog({ level: 'debug', destination: { write: (line) => lines.push(line) } }), lines };
}
