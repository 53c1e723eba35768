import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import {
  DRAW_MS,
  FlowScreen,
  type FlowScreenOptions,
  LOOK_MS,
  MAX_FLOW_ROWS,
  MIN_FLOW_ROWS,
  MIN_ROWS,
  RESIZE_MS,
  TEXT_ROWS,
  TICK_MS,
} from '../../src/cli/flow/flow-screen.ts';
import { createStyle, type Terminal } from '../../src/cli/terminal.ts';
import { ScreenModel } from '../support/screen.ts';

let model: ScreenModel;
let lines: (rows: number) => string[];
let draws: string[];
let resize: () => void;
let screen: FlowScreen;
let inner: Terminal;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
});
afterEach(() => {
  screen.end();
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});

function open(
  columns: number,
  rows: number,
  { ask, ...around }: Pick<Terminal, 'ask'> & Pick<FlowScreenOptions, 'above' | 'below'> = {},
): void {
  model = new ScreenModel(columns, rows);
  [draws, lines, resize] = [[], () => [], () => {}];
  inner = {
    out: (text) => model.write(text),
    err: (text) => {
      drawn.clear?.();
      model.write(text);
    },
    style: createStyle({ isTty: true, noColor: true, columns: () => model.columns }),
    gone: new AbortController().signal,
    ...(ask && { ask }),
  };
  const drawn: NonNullable<Terminal['screen']> = {
    draw: (text) => {
      draws.push(text);
      model.write(text);
    },
    get rows() {
      return model.rows;
    },
    onResize: (act) => {
      resize = act;
      return () => {
        resize = () => {};
      };
    },
  };
  screen = new FlowScreen({ terminal: inner, screen: drawn, lines: (count) => lines(count), ...around });
}

test('without lines, text goes through as it is', () => {
  open(10, 5);
  screen.out('one\ntw');
  screen.changed();
  screen.out('o\n');
  expect(model.text).toBe('one\ntwo');
  expect(draws).toEqual([]);
});

test('lines stand below the text, whose end the cursor keeps', () => {
  open(20, 10);
  screen.out('He sai');
  lines = () => ['[ one ]', '[ two ]'];
  screen.changed();
  expect(model.text).toBe('He sai\n[ one ]\n[ two ]');
  expect(model.cursor).toEqual([0, 6]);
  screen.out('d so.\nAnd ');
  vi.advanceTimersByTime(DRAW_MS);
  expect(model.text).toBe('He said so.\nAnd\n[ one ]\n[ two ]');
  lines = () => ['[ three ]'];
  vi.advanceTimersByTime(TICK_MS);
  expect(model.text).toBe('He said so.\nAnd\n[ three ]');
  lines = () => [];
  vi.advanceTimersByTime(TICK_MS);
  expect(model.text).toBe('He said so.\nAnd');
});

test(`they are looked at every ${LOOK_MS} ms at most, and only drawn when they are others`, () => {
  open(20, 10);
  let count = 0;
  lines = () => [`[ ${count} ]`];
  for (; count < 100; count += 1) {
    screen.changed();
    vi.advanceTimersByTime(10);
  }
  expect(draws.length).toBe(1_000 / LOOK_MS + 1);
  screen.changed();
  vi.advanceTimersByTime(LOOK_MS);
  const so = draws.length;
  screen.changed();
  vi.advanceTimersByTime(5 * TICK_MS);
  expect(draws.length).toBe(so);
  expect(model.text).toBe('[ 100 ]');
});

test('what takes long to lay out makes no timer run in the past, which Node warns of', () => {
  // By hand: what restores a spy of a timer that is faked leaves the file behind it without timers.
  const faked = globalThis.setTimeout;
  const waits: number[] = [];
  globalThis.setTimeout = ((act: () => void, wait: number) => {
    waits.push(wait);
    return faked(act, wait);
  }) as typeof setTimeout;
  try {
    let ms = 0;
    const above = () => {
      const took = ms;
      ms = 0;
      vi.advanceTimersByTime(took);
      return ['...'];
    };
    open(20, 10, { above });
    lines = () => ['[ one ]'];
    screen.changed();
    screen.changed();
    ms = 2 * TICK_MS;
    vi.advanceTimersByTime(LOOK_MS);
    expect(ms).toBe(0);
    expect(waits.length).toBeGreaterThan(1);
    expect(waits.filter((wait) => wait < 0)).toEqual([]);
  } finally {
    globalThis.setTimeout = faked;
  }
});

/** mulberry32. */
function seeded(state: number): (below: number) => number {
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

const PIECES = [
  'a',
  'word ',
  '日本',
  '\n',
  'x'.repeat(39),
  '\u001b[2mdim\u001b[22m',
  '🙂',
  'é',
  'end.\n\n',
  'y'.repeat(40),
];

describe('whatever streams meanwhile, the text is what it would be without lines', () => {
  test.each([40, 80, 11])('in %i columns', (columns) => {
    for (let seed = 0; seed < 40; seed += 1) {
      const random = seeded(seed);
      open(columns, 8 + random(20));
      const plain = new ScreenModel(columns, model.rows);
      let height = 3;
      lines = () =>
        Array.from({ length: height }, (_, index) => `[${index}${'='.repeat(columns - 4 + random(4))}`);
      for (let step = 0; step < 60; step += 1) {
        const text = PIECES[random(PIECES.length)] ?? '';
        screen.out(text);
        plain.write(text);
        if (random(3) === 0) height = random(6);
        if (random(4) === 0) screen.changed();
        vi.advanceTimersByTime(random(150));
      }
      lines = () => [];
      screen.changed();
      vi.advanceTimersByTime(LOOK_MS);
      expect([seed, model.text]).toEqual([seed, plain.text]);
      screen.end();
    }
  });
});

test('they are gone while a person is asked, and what others print', async () => {
  let answer = (_: string) => {};
  open(30, 10, {
    ask: (question) => {
      model.write(question);
      return new Promise((resolve) => {
        answer = resolve;
      });
    },
  });
  lines = () => ['[ one ]'];
  screen.out('Working');
  screen.changed();
  const asked = screen.ask?.('\nSure? ', new AbortController().signal);
  screen.changed();
  vi.advanceTimersByTime(TICK_MS);
  expect(model.text).toBe('Working\nSure?');
  model.write('y\n');
  answer('y');
  expect(await asked).toBe('y');
  vi.advanceTimersByTime(DRAW_MS);
  expect(model.text).toBe('Working\nSure? y\n[ one ]');
  inner.err('moved\n');
  expect(model.text).toBe('Working\nSure? y\nmoved');
  screen.err('again\n');
  vi.advanceTimersByTime(DRAW_MS);
  expect(model.text).toBe('Working\nSure? y\nmoved\nagain\n[ one ]');
});

test('they are drawn anew where the terminal changes its size, once it stays as it is', () => {
  open(30, 10);
  lines = () => ['='.repeat(Number(inner.style.columns))];
  screen.out('text');
  screen.changed();
  model.resize(12, 8);
  resize();
  screen.changed();
  vi.advanceTimersByTime(RESIZE_MS - 1);
  expect(model.text).toBe('text');
  vi.advanceTimersByTime(1);
  expect(model.text).toBe(`text\n${'='.repeat(12)}`);
  model.resize(20, 8);
  resize();
  vi.advanceTimersByTime(RESIZE_MS);
  expect(model.text).toBe(`text\n${'='.repeat(20)}`);
});

test('their last state is left standing as text', () => {
  open(30, 10);
  lines = () => ['[ one ]', '[ two ]'];
  screen.out('text');
  screen.changed();
  screen.end();
  screen.changed();
  inner.out('\nDone\n');
  expect(model.text).toBe('text\n[ one ]\n[ two ]\n\nDone');
  expect(model.cursor).toEqual([5, 0]);
});

test('they leave room for the text, and are not there where there is none', () => {
  open(30, MIN_FLOW_ROWS + TEXT_ROWS - 1);
  lines = (rows) => Array(rows).fill('=');
  const count = () => model.text.split('=').length - 1;
  screen.changed();
  expect(count()).toBe(0);
  model.resize(30, MIN_FLOW_ROWS + TEXT_ROWS);
  vi.advanceTimersByTime(TICK_MS);
  screen.changed();
  expect(count()).toBe(MIN_FLOW_ROWS);
  model.resize(30, 100);
  resize();
  vi.advanceTimersByTime(RESIZE_MS);
  expect(count()).toBe(MAX_FLOW_ROWS);
});

test('text that may change stands above them, as much of its end as there is room for, and a line below', () => {
  let written: string[] = [];
  let word = 'thinking';
  open(30, 10, { above: (rows) => written.slice(-rows), below: () => word });
  screen.out('Asked.\n');
  screen.changed();
  expect(model.text).toBe('Asked.\nthinking');
  written = ['One', 'tw'];
  screen.grown();
  vi.advanceTimersByTime(DRAW_MS);
  expect(model.text).toBe('Asked.\nOne\ntw\nthinking');
  const so = draws.length;
  screen.grown();
  vi.advanceTimersByTime(DRAW_MS);
  expect(draws.length).toBe(so);
  screen.out('One\n');
  written = ['two'];
  word = 'executing';
  lines = () => ['[ one ]'];
  screen.changed();
  vi.advanceTimersByTime(LOOK_MS);
  expect(model.text).toBe('Asked.\nOne\ntwo\n[ one ]\nexecuting');
  written = Array.from({ length: 20 }, (_, index) => String(index));
  screen.grown();
  vi.advanceTimersByTime(DRAW_MS);
  const seen = ['13', '14', '15', '16', '17', '18', '19', '[ one ]', 'executing'];
  expect(model.text).toBe(['Asked.', 'One', ...seen].join('\n'));
  screen.end();
  expect(model.text).toBe('Asked.\nOne\n[ one ]');
});

test('a blank line stands above the last one where no edge does, on a terminal that is high enough', () => {
  open(30, 16, { above: () => ['text'], below: () => 'thinking' });
  screen.changed();
  expect(model.text).toBe('text\n\nthinking');
  model.resize(30, MIN_ROWS - 1);
  resize();
  vi.advanceTimersByTime(RESIZE_MS);
  expect(model.text).toBe('text');
});
