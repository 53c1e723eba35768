import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { BusMessage } from '../../src/bus/bus.ts';
import { MAX_WAITING_MESSAGES, MAX_WAITING_TEXT, Outbox } from '../../src/bus/outbox.ts';
import { pack, unpack } from '../../src/bus/wire.ts';
import { createLog, type Log, silentLog } from '../../src/log.ts';

const MAX_BYTES = 700;

describe('packing messages', () => {
  it('keeps every text whole, in payloads of at most the bytes allowed', () => {
    const text = fc.string({ unit: 'binary', maxLength: 3_000 });
    fc.assert(
      fc.property(fc.array(text, { maxLength: 5 }), (texts) => {
        const messages = texts.map((piece, index) => delta(piece, index * 10_000));
        const payloads = pack(messages, MAX_BYTES, counter());
        for (const payload of payloads) expect(Buffer.byteLength(payload)).toBeLessThanOrEqual(MAX_BYTES);
        const arrived = payloads.flatMap((payload) => unpack(payload).messages);
        expect(joined(arrived)).toEqual(messages);
      }),
    );
  });

  it('cuts only what is longer than a payload', () => {
    const frame = Buffer.byteLength(JSON.stringify(delta('', 0)));
    const fits = MAX_BYTES - 41 - frame;
    expect(pack([delta('x'.repeat(fits), 0)], MAX_BYTES, counter())).toHaveLength(1);
    expect(pack([delta('x'.repeat(fits + 1), 0)], MAX_BYTES, counter()).length).toBeGreaterThan(1);
  });

  it('puts small messages together, and makes no two payloads alike', () => {
    const same = Array.from({ length: 100 }, () => toolOutput('.'));
    const payloads = pack(same, MAX_BYTES, counter());
    expect(payloads.length).toBeLessThan(50);
    expect(new Set(payloads).size).toBe(payloads.length);
    expect(payloads.flatMap((payload) => unpack(payload).messages)).toEqual(same);
  });

  it('makes no payload of no message', () => {
    expect(pack([], MAX_BYTES, counter())).toEqual([]);
  });
});

describe('messages that wait to be sent', () => {
  it('are kept up to the limit, and the oldest dropped beyond it', async () => {
    for (const [extra, first] of [
      [0, 0],
      [1, 1],
    ] as const) {
      const { outbox, sent } = recordingOutbox();
      for (let index = 0; index < MAX_WAITING_MESSAGES + extra; index += 1) outbox.add(delta('', index));
      await outbox.close();
      expect(sent).toHaveLength(MAX_WAITING_MESSAGES);
      expect(sent[0]).toEqual(delta('', first));
    }
  });

  it('are kept up to the length of their texts, and the oldest dropped beyond it', async () => {
    const half = 'x'.repeat(MAX_WAITING_TEXT / 2);
    const { outbox, sent } = recordingOutbox();
    outbox.add(delta(half, 0));
    outbox.add(delta(half, 1));
    await outbox.close();
    expect(sent).toHaveLength(2);

    const { log, lines } = recordingLog();
    const second = recordingOutbox(log);
    second.outbox.add(delta(half, 0));
    second.outbox.add(delta(half, 1));
    second.outbox.add(delta('x', 2));
    await second.outbox.close();
    expect(second.sent).toEqual([delta(half, 1), delta('x', 2)]);
    expect(lines.join()).toContain('bus dropped its oldest message');
  });

  it('are lost when sending fails, which is said, and the next are sent', async () => {
    const { log, lines } = recordingLog();
    const sent: BusMessage[] = [];
    const failed = Promise.withResolvers<void>();
    const outbox = new Outbox(async (batch) => {
      if (lines.length > 0) return void sent.push(...batch);
      queueMicrotask(failed.resolve);
      throw new Error('the server is gone');
    }, log);
    outbox.add(delta('lost', 0));
    await failed.promise;
    outbox.add(delta('kept', 4));
    await outbox.close();
    expect(sent).toEqual([delta('kept', 4)]);
    expect(lines.join()).toContain('the server is gone');
  });

  it('put a hint after what was published before it', async () => {
    const { outbox, sent } = recordingOutbox();
    outbox.add({ type: 'events', rootId: 'a', seq: 1 });
    outbox.add(delta('text', 0));
    outbox.add({ type: 'events', rootId: 'a', seq: 2 });
    await outbox.close();
    expect(sent).toEqual([delta('text', 0), { type: 'events', rootId: 'a', seq: 2 }]);
  });
});

function recordingOutbox(log: Log = silentLog): { outbox: Outbox; sent: BusMessage[] } {
  const sent: BusMessage[] = [];
  return { outbox: new Outbox(async (batch) => void sent.push(...batch), log), sent };
}

/** Pieces of one delta put together again. */
function joined(pieces: readonly BusMessage[]): BusMessage[] {
  const whole: BusMessage[] = [];
  for (const piece of pieces) {
    const last = whole.at(-1);
    const follows =
      last?.type === 'delta' && piece.type === 'delta' && piece.offset === last.offset + last.text.length;
    if (follows && piece.offset % 10_000 !== 0)
      whole[whole.length - 1] = { ...last, text: last.text + piece.text };
    else whole.push(piece);
  }
  return whole;
}

function counter(): () => number {
  let next = 0;
  return () => next++;
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
