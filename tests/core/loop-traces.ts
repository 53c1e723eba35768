/**
 * Traces of agents, each labelled by how it was made: as a loop of some kind, or as work that only looks like one. The label
 * is the author's, not the guard's.
 */
import type { ClosedCallStatus, Entry, FilePart, NewEntry } from '../../src/core/entry.ts';
import { type Random, seeded, seedOf } from '../../src/verify/random.ts';

export interface TracedCall {
  readonly name: string;
  /** JSON as the model wrote it. */
  readonly arguments: string;
  readonly status: ClosedCallStatus;
  readonly text: string;
  /** Hashes. */
  readonly images?: readonly string[];
}

/** One answer's calls with their outcomes, or what a person says. */
export type TracedTurn = readonly TracedCall[] | string;

export interface Trace {
  readonly kind: string;
  readonly isLoop: boolean;
  readonly turns: readonly TracedTurn[];
}

export function entriesOf(turns: readonly TracedTurn[]): Entry[] {
  const entries: NewEntry[] = [{ kind: 'user', parts: [{ type: 'text', text: 'Mend the test.' }] }];
  for (const [number, turn] of turns.entries()) {
    if (typeof turn === 'string') {
      entries.push({ kind: 'user', parts: [{ type: 'text', text: turn }] });
      continue;
    }
    const asked = turn.map((call, index) => ({ ...call, callId: `call_${number}_${index}` }));
    const parts = asked.map(({ callId, name, arguments: text }) => ({
      ...{ type: 'tool' as const, callId, name, arguments: text },
    }));
    entries.push({ kind: 'assistant', parts, stopReason: 'tool_calls' });
    for (const { callId, status, text, images = [] } of asked) {
      const result = [{ type: 'text' as const, text }, ...images.map(imageOf)];
      entries.push({ kind: 'tool_result', callId, status, parts: result });
    }
  }
  return entries.map((entry, index) => ({ ...entry, position: index + 1 }) as Entry);
}

function imageOf(hash: string): FilePart {
  return { type: 'file', mediaType: 'image/png', hash, name: 'a.png', bytes: 1, width: 1, height: 1 };
}

function ran(name: string, args: object, text: string, status: ClosedCallStatus = 'succeeded'): TracedCall {
  return { name, arguments: JSON.stringify(args), status, text };
}

const failed = (name: string, args: object, text: string) => ran(name, args, text, 'failed');
const bash = (command: string, text: string, status: ClosedCallStatus = 'succeeded') =>
  ran('bash', { command }, text, status);

const FILES = ['src/app.ts', 'src/store.ts', 'src/api/route.ts', 'lib/parse.py', 'README.md', 'main.go'];
const TESTS = ['npm test', 'npx vitest run', 'pytest -x', 'go test ./...', 'cargo test', 'make check'];

const content = (path: string, version = 0) =>
  `1\t// ${path}\n2\texport const version = ${version};\n3\texport function run() {}\n`;
const read = (path: string, version = 0) => ran('read_file', { path }, content(path, version));
const edit = (path: string, from: string, to: string) =>
  ran('edit_file', { path, old_string: from, new_string: to }, `Edited ${path}: 1 replacement, at line 2.`);
const testFails = (command: string, seconds = '1.2') =>
  bash(
    command,
    `FAIL tests/app.test.ts > adds two numbers\nAssertionError: expected 3, got 4\n1 failed, 12 passed in ${seconds}s\n(exit code 1)`,
    'failed',
  );

/** Ordinary work: each turn finds something out, or changes something. */
function work(random: Random, turns: number): TracedTurn[] {
  return Array.from({ length: turns }, (_, number) => {
    const path = random.pick(FILES);
    switch (random.between(0, 3)) {
      case 0:
        return [ran('grep', { pattern: `name${number}` }, `${path}:${number}: name${number}`)];
      case 1:
        return [read(`gen/${number}.ts`), read(`gen/${number}.test.ts`)];
      case 2:
        return [edit(path, `before ${number}`, `after ${number}`)];
      default:
        return [bash(`git log -1 --format=%h -- ${path} # ${number}`, `abc${number}`)];
    }
  });
}

const times = <T>(count: number, make: (number: number) => T): T[] =>
  Array.from({ length: count }, (_, number) => make(number));
const rounds = (count: number, ...cycle: readonly TracedTurn[]): TracedTurn[] =>
  times(count, () => cycle).flat();

type Builder = (random: Random) => readonly TracedTurn[];

const LOOPS: Readonly<Record<string, Builder>> = {
  'the same failing test, with nothing done about it': (random) => rounds(5, [testFails(random.pick(TESTS))]),
  'the same failing test, which takes another time each run': (random) => {
    const command = random.pick(TESTS);
    return times(5, () => [testFails(command, `${random.between(1, 90)}.${random.between(0, 99)}`)]);
  },
  'the same file, read again and again': (random) => rounds(5, [read(random.pick(FILES))]),
  'a log with times and process ids that differ': (random) =>
    times(5, () => {
      const [hour, second] = [random.between(10, 23), random.between(10, 59)];
      const at = `2026-11-${random.between(10, 28)}T${hour}:02:${second}.${random.between(100, 999)}Z`;
      return [
        bash(
          'node server.js',
          `${at} pid ${random.between(2, 32_000)} EADDRINUSE: address in use :::3000`,
          'failed',
        ),
      ];
    }),
  'arguments in another order, with other white space': (random) => {
    const path = random.pick(FILES);
    const forms = [
      `{"path":"${path}","offset":1,"limit":20}`,
      `{"limit": 20, "offset": 1.0, "path": "${path}"}`,
      `{\n  "offset": 1,\n  "path": "${path}",\n  "limit": 2e1\n}`,
    ];
    return times(5, () => [{ ...read(path), arguments: random.pick(forms) }]);
  },
  'the same command under other descriptions': (random) => {
    const command = random.pick(TESTS);
    const { text } = testFails(command);
    return times(5, (number) => [failed('bash', { description: `Try number ${number}`, command }, text)]);
  },
  'two calls in turn': (random) => {
    const [a, b] = random.shuffled(FILES) as [string, string];
    return rounds(5, [read(a)], [read(b)]);
  },
  'a test and a look at the file, in turn': (random) =>
    rounds(5, [testFails(random.pick(TESTS))], [read(random.pick(FILES))]),
  'three calls in turn': (random) =>
    rounds(
      5,
      ...random
        .shuffled(FILES)
        .slice(0, 3)
        .map((path) => [read(path)]),
    ),
  'five calls in turn': (random) =>
    rounds(
      5,
      ...random
        .shuffled(FILES)
        .slice(0, 5)
        .map((path) => [read(path)]),
    ),
  'an edit made and undone, with the test failing either way': (random) => {
    const [path, command] = [random.pick(FILES), random.pick(TESTS)];
    return rounds(
      6,
      [edit(path, 'a', 'b')],
      [testFails(command)],
      [edit(path, 'b', 'a')],
      [testFails(command)],
    );
  },
  'the same files, in an order that changes': (random) => [
    ...FILES.map((path) => [read(path)]),
    ...times(4, () => random.shuffled(FILES).map((path) => [read(path)])).flat(),
  ],
  'the same edit, whose text is not there': (random) => {
    const path = random.pick(FILES);
    const args = { path, old_string: 'no such text', new_string: 'x' };
    return rounds(5, [
      failed('edit_file', args, `Error: EditError: old_string does not occur in '${path}'.`),
    ]);
  },
  'edits of other words each time, refused in the same ones': (random) => {
    const path = random.pick(FILES);
    return times(10, (number) => [
      failed(
        'edit_file',
        { path, old_string: `guess ${number}`, new_string: 'x' },
        `Error: EditError: old_string does not occur in '${path}'.`,
      ),
    ]);
  },
  'a tool that is not there, asked for other things': () =>
    times(10, (number) => [
      failed(
        'browser',
        { page: number },
        "Error: UnknownTool: there is no tool 'browser'. The tools are: bash.",
      ),
    ]),
  'arguments that are no JSON': () =>
    rounds(5, [
      { ...failed('edit_file', {}, 'Error: InvalidArguments: not valid JSON'), arguments: '{"path": "a' },
    ]),
  'a call that is denied each time': () =>
    rounds(5, [ran('bash', { command: 'rm -rf build' }, 'Denied: This task runs in plan mode.', 'denied')]),
  'two calls side by side, again and again': (random) => {
    const [a, b] = random.shuffled(FILES) as [string, string];
    return rounds(5, [read(a), read(b)]);
  },
  'the same calls, side by side in one turn and one by one in the next': (random) => {
    const [a, b] = random.shuffled(FILES) as [string, string];
    return [[read(a), read(b)], ...rounds(4, [read(a)], [read(b)], [read(b), read(a)])];
  },
  'an end of ordinary work': (random) => [...work(random, 30), ...rounds(5, [testFails(random.pick(TESTS))])],
  'a list of things to do, looked at only': () =>
    rounds(5, [
      ran(
        'todo_read',
        {},
        '1. [in_progress] find the bug\n2. [pending] mend it\n3. [pending] test\n4. [pending] tell',
      ),
    ]),
  'a call after a person spoke, no better than before': (random) => {
    const call = testFails(random.pick(TESTS));
    return [...rounds(4, [call]), 'Look at the store first.', ...rounds(5, [call])];
  },
  'a poll of what has ended': () => rounds(5, [ran('bash', { poll: 'job_1' }, 'all built\n(exit code 0)')]),
  'a temporary file of another name each time': (random) =>
    times(5, () => {
      const name = `b${random.between(1e5, 9e5).toString(36)}Qx${random.between(10, 99)}`;
      return [
        bash(
          'make dist',
          `tar: cannot write /tmp/build.${name}: No space left on device\n(exit code 2)`,
          'failed',
        ),
      ];
    }),
  'a find that finds nothing': (random) =>
    rounds(5, [bash(`find . -name '${random.pick(FILES)}x'`, '(no output)')]),
};

const RUNNING = [
  'still running',
  'Status: running',
  'The build is in progress.',
  'state: queued',
  'not ready yet',
];

const WORK: Readonly<Record<string, Builder>> = {
  'ordinary work': (random) => work(random, random.between(20, 60)),
  'the same test between edits': (random) => {
    const [path, command] = [random.pick(FILES), random.pick(TESTS)];
    return times(12, (number) => [
      [edit(path, `try ${number}`, `try ${number + 1}`)],
      [testFails(command)],
    ]).flat();
  },
  'the same test between reads that find something': (random) => {
    const command = random.pick(TESTS);
    return times(8, (number) => [[testFails(command)], [read(`src/part${number}.ts`)]]).flat();
  },
  'a file read again after each change': (random) => {
    const path = random.pick(FILES);
    return times(8, (number) => [[read(path, number)], [edit(path, `${number}`, `${number + 1}`)]]).flat();
  },
  'a file that does not change, read between edits of others': (random) => {
    const path = random.pick(FILES);
    return times(8, (number) => [[read(path)], [edit('src/other.ts', `${number}`, `${number + 1}`)]]).flat();
  },
  'sleeping and looking, with the same outcome': (random) => {
    const command = `sleep ${random.between(1, 60)}; tail -n 1 build.log`;
    return rounds(15, [bash(command, 'Compiling core v1.0.0')]);
  },
  'sleeping, and looking in another call': (random) =>
    rounds(
      10,
      [bash(`sleep ${random.between(1, 30)}`, '(no output)')],
      [bash('tail -n 1 build.log', 'Compiling core')],
    ),
  'waiting for a server that does not answer yet': (random) =>
    rounds(9, [
      bash(
        `sleep ${random.between(1, 9)} && curl -s localhost:3000/health`,
        'curl: (7) Failed to connect to localhost port 3000\n(exit code 7)',
        'failed',
      ),
    ]),
  'a loop in the shell that waits': () =>
    rounds(6, [bash('for i in 1 2 3; do\n  curl -sf localhost:80 && break\n  sleep 2\ndone', '(no output)')]),
  'a status that says the same until it changes': (random) => [
    ...rounds(random.between(6, 20), [bash('gh run list -L 1', random.pick(RUNNING))]),
    [bash('gh run list -L 1', 'completed success')],
  ],
  'a status from another tool': (random) =>
    rounds(random.between(6, 20), [
      ran(
        'ci_status',
        { run: 7 },
        `{"status":"${random.pick(['running', 'queued', 'pending', 'in_progress'])}"}`,
      ),
    ]),
  'a poll of a background process that is silent': () =>
    rounds(12, [ran('bash', { poll: 'job_1' }, '(no new output)')]),
  'a poll that brings output': (random) =>
    times(12, (number) => [
      ran('bash_poll', { id: 'job_1' }, `built ${number * random.between(3, 5)} of 60`),
    ]),
  'a wait by a tool of its own': () => rounds(8, [ran('wait', { seconds: 30 }, 'waited')]),
  'pods that start': () =>
    times(8, (number) => [
      bash(
        'kubectl get pods',
        `NAME READY STATUS RESTARTS AGE\nweb-1 0/1 ContainerCreating 0 ${number + 2}s`,
      ),
    ]),
  'a counter that goes up': (random) =>
    times(15, (number) => [bash('ls out | wc -l', `${number * random.between(2, 3) + number}`)]),
  'four times the same, then something else': (random) => [
    ...rounds(4, [testFails(random.pick(TESTS))]),
    ...work(random, 5),
  ],
  'four rounds of two, then something else': (random) => [
    ...rounds(4, [testFails('make')], [read(random.pick(FILES))]),
    ...work(random, 5),
  ],
  'a person who says to go on': (random) => {
    const call = testFails(random.pick(TESTS));
    return times(4, () => [...rounds(4, [call]), 'Go on.']).flat();
  },
  'a last look at everything that was read before': (random) => {
    const paths = times(18, (number) => `src/part${number}.ts`);
    return [
      ...paths.map((path) => [read(path)]),
      [edit('src/x.ts', 'a', 'b')],
      ...random.shuffled(paths).map((path) => [read(path)]),
    ];
  },
  'searches that find nothing': () =>
    times(20, (number) => [bash(`grep -rn word${number} src`, '(exit code 1)', 'failed')]),
  'programs that are not there': () =>
    times(12, (number) => [
      bash(`tool${number} --version`, `bash: tool${number}: command not found\n(exit code 127)`, 'failed'),
    ]),
  'pages of a long file': () =>
    times(20, (number) => [
      ran('read_file', { path: 'big.txt', offset: number * 100 + 1, limit: 100 }, `page ${number}`),
    ]),
  'the same call many times in one answer': (random) => {
    const call = read(random.pick(FILES));
    return [times(12, () => call), times(12, () => call), ...work(random, 4)];
  },
  'the state of the repository between commits': () =>
    times(8, (number) => [
      [bash(`git commit -qam 'Part ${number}'`, '(no output)')],
      [bash('git status --short', '(no output)')],
    ]).flat(),
  'a call whose worker was lost each time': () =>
    rounds(6, [bash('make release', 'Outcome unknown: the worker that ran this call was lost.', 'unknown')]),
  'a call that was interrupted each time': () =>
    rounds(6, [bash('make release', 'Not run: the worker that ran it was stopped.', 'interrupted')]),
  'a stateful tool that goes on': () =>
    times(10, (number) => [ran('next_page', {}, `Page ${number}: ${'row '.repeat(number)}`)]),
  'nine edits that are refused, then one that is not': (random) => {
    const path = random.pick(FILES);
    const refused = (number: number) =>
      failed(
        'edit_file',
        { path, old_string: `guess ${number}`, new_string: 'x' },
        `Error: EditError: old_string does not occur in '${path}'.`,
      );
    return [
      ...times(9, (number) => [refused(number)]),
      [edit(path, 'right', 'x')],
      [refused(10)],
      [refused(11)],
    ];
  },
  'the same failure of different tests': () =>
    times(12, (number) => [bash(`npx vitest run tests/part${number}.test.ts`, '(exit code 1)', 'failed')]),
  'rounds of edit, build, test that fail alike': (random) => {
    const command = random.pick(TESTS);
    return times(10, (number) => [
      [edit('src/app.ts', `${number}`, `${number + 1}`)],
      [bash('npm run build', '(no output)')],
      [testFails(command)],
      [read('README.md')],
    ]).flat();
  },
};

/** `count` traces of each label, evenly of each kind; some begin with ordinary work. */
export function tracesOf(count: number): Trace[] {
  return [
    ...spread(count, { isLoop: true, builders: LOOPS }),
    ...spread(count, { isLoop: false, builders: WORK }),
  ];
}

function spread(
  count: number,
  { isLoop, builders }: { readonly isLoop: boolean; readonly builders: Readonly<Record<string, Builder>> },
): Trace[] {
  const kinds = Object.entries(builders);
  return times(count, (number) => {
    const [kind, build] = kinds[number % kinds.length] as [string, Builder];
    const random = seeded(seedOf(number, kind));
    const before = random.chance(0.5) ? work(random, random.between(1, 40)) : [];
    return { kind, isLoop, turns: [...before, ...build(random)] };
  });
}
