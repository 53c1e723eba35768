import { describe, expect, it } from 'vitest';
import { atMostEvery, createLog, type LogOptions, silentLog } from '../../src/log.ts';

describe('the log', () => {
  it('writes a line of JSON with fields and message, from its level on', () => {
    const { log, lines } = recording({ level: 'warn' });
    log.debug({}, 'no');
    log.info({}, 'no');
    log.warn({ turnId: 't1' }, 'slow');
    log.error({ n: 2n }, 'gone');
    expect(lines.map((line) => JSON.parse(line))).toMatchObject([
      { level: 'warn', turnId: 't1', message: 'slow' },
      { level: 'error', n: '2', message: 'gone' },
    ]);
  });

  it('gives a child the fields of its parents', () => {
    const { log, lines } = recording({ level: 'info' });
    log.child({ worker: 'w' }).child({ turnId: 't' }).info({ wake: 1 }, 'claimed');
    expect(JSON.parse(lines.join())).toMatchObject({ worker: 'w', turnId: 't', wake: 1, message: 'claimed' });
  });

  it('takes secrets out by name, at any depth, and passwords out of URLs', () => {
    const { log, lines } = recording({ level: 'info' });
    const cause = new Error('cannot reach postgresql://me:hunter2@db/x');
    log.child({ redisUrl: 'redis://:hunter2@h' }).info(
      {
        config: { apiKey: 'hunter2', list: [{ Authorization: 'hunter2' }], database_url: 'hunter2' },
        cause,
      },
      'with redis://me:hunter2@h/0 and https://example.com/a:b@c',
    );
    expect(lines.join()).not.toContain('hunter2');
    expect(JSON.parse(lines.join())).toMatchObject({
      redisUrl: '[redacted]',
      config: { apiKey: '[redacted]', list: [{ Authorization: '[redacted]' }] },
      cause: { message: 'cannot reach postgresql://me:[redacted]@db/x' },
    });
  });

  it('writes errors with their cause and code, and no deeper than a line needs', () => {
    const { log, lines } = recording({ level: 'info' });
    const error = Object.assign(new Error('outer', { cause: new Error('inner') }), { code: 'E1' });
    log.error({ error, deep: { a: { b: { c: { d: { e: { f: 1 } } } } } } }, 'broken');
    expect(JSON.parse(lines.join())).toMatchObject({
      error: { name: 'Error', message: 'outer', code: 'E1', cause: { message: 'inner' } },
      deep: { a: { b: { c: { d: { e: '[deeper]' } } } } },
    });
  });

  it('can be read by a person', () => {
    const { log, lines } = recording({ level: 'info', pretty: true });
    log.info({ id: 't1', text: 'two words', n: 3 }, 'claimed a turn');
    expect(lines.join()).toMatch(
      /^\d\d:\d\d:\d\d\.\d{3} INFO {2}claimed a turn id=t1 text="two words" n=3\n$/,
    );
  });

  it('says what repeats at most once in a while, and how often it was left out', () => {
    const { log, lines } = recording({ level: 'info' });
    let now = 0;
    const warn = atMostEvery(1_000, log, () => now);
    for (const at of [0, 1, 999, 1_000]) {
      now = at;
      warn({ at }, 'lost');
    }
    warn({}, 'another');
    expect(lines.map((line) => JSON.parse(line))).toMatchObject([
      { at: 0 },
      { at: 1_000, leftOut: 2 },
      { message: 'another' },
    ]);
  });

  it('says nothing when it is silent', () => {
    const { log, lines } = recording({ level: 'silent' });
    log.error({}, 'no');
    silentLog.child({}).error({}, 'no');
    for (const level of ['debug', 'info', 'warn', 'error'] as const) silentLog[level]({}, 'no');
    expect(lines).toEqual([]);
  });
});

function recording(options: LogOptions) {
  const lines: string[] = [];
  return { log: createLog({ ...options, destination: { write: (line) => lines.push(line) } }), lines };
}
