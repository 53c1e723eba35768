/** Boundaries that run: who may import what, and what may stand where. Each rule fails with its reason. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, expectTypeOf, test } from 'vitest';
import type { DeliveryJob, TurnJob } from '../src/queue/queue.ts';
import {
  filesBelow,
  type Import,
  ROOT,
  readSource,
  readText,
  type SourceFile,
} from './support/source-code.ts';

const source = readSource('src');

/** `core` of `src/core/turn.ts`, `config` of `src/config.ts`. */
function layerOf(path: string): string {
  return path.split('/')[1]?.replace(/\.ts$/, '') ?? '';
}

/** Small files that any layer but `core` may use: each holds one thing and decides nothing. */
const LEAVES = [
  'core',
  'log',
  'clock',
  'redis',
  'postgres',
  'public-address',
  'allowed-hosts',
  'private-network',
  'checked-agent',
  'retry-after',
  'compiled-code',
  'tracing',
];

interface LayerRule {
  readonly may: readonly string[];
  readonly because: string;
}

const SIBLINGS =
  'a port knows what it speaks to and the words of core; whoever needs two of them puts them together';

const LAYERS: Readonly<Record<string, LayerRule>> = {
  core: {
    may: [],
    because: 'decisions are pure functions of their arguments, so that they can be tested alone',
  },
  store: { may: LEAVES, because: SIBLINGS },
  queue: { may: LEAVES, because: SIBLINGS },
  bus: { may: LEAVES, because: SIBLINGS },
  model: { may: LEAVES, because: SIBLINGS },
  workspace: { may: LEAVES, because: SIBLINGS },
  shell: { may: ['core'], because: 'it reads commands, and runs none' },
  sandbox: { may: LEAVES, because: SIBLINGS },
  tools: {
    may: [...LEAVES, 'workspace', 'sandbox'],
    because: 'a tool acts on files and commands only; it knows neither the store nor who runs it',
  },
  mcp: {
    may: [...LEAVES, 'workspace', 'sandbox', 'tools', 'client', 'version'],
    because:
      'it brings tools of servers as tools, and serves as a client of the API; it knows neither the store nor who runs it',
  },
  webhooks: {
    may: LEAVES,
    because: 'it signs and sends what it is handed, and knows neither queue nor store',
  },
  agents: { may: ['core', 'tools'], because: 'an agent is a prompt and a choice of tools' },
  worker: {
    may: [
      ...LEAVES,
      ...['store', 'queue', 'bus', 'model', 'workspace', 'sandbox', 'shell', 'tools', 'mcp', 'webhooks'],
      ...['backends', 'config', 'version'],
    ],
    because: 'the worker performs what core decides; it must run where no API does',
  },
  api: {
    may: [
      ...LEAVES,
      ...['store', 'queue', 'bus', 'model', 'workspace', 'tools', 'agents', 'webhooks'],
      ...['mcp', 'client', 'backends', 'config', 'version'],
    ],
    because: 'the API must run where no worker does, and runs no commands',
  },
  embedded: {
    may: [...LEAVES, ...['store', 'api', 'worker'], ...['backends', 'config']],
    because: 'it puts the main files together on one machine',
  },
  verify: {
    may: [...LEAVES, ...['store', 'queue', 'tools', 'api', 'worker', 'embedded'], ...['backends', 'config']],
    because:
      'it is a main file that runs the others as processes, breaks them, and reads what became of them',
  },
  doctor: {
    may: [...LEAVES, 'sandbox', 'config', 'version'],
    because: 'it is a main file that looks at what the others would use, and starts none of them',
  },
  client: {
    may: ['core'],
    because: 'a program that speaks to a Capybara loads the shapes on the wire, and nothing of the server',
  },
  cli: {
    may: ['core', 'client', 'config', 'log', 'version', 'private-network'],
    because: 'the CLI speaks HTTP like any other client, and starts quickly because it loads nothing else',
  },
  config: { may: ['core', 'config'], because: 'settings are read before anything else is there' },
  backends: {
    may: [...LEAVES, ...['store', 'queue', 'bus'], 'config'],
    because: 'it opens connections and no more',
  },
  log: { may: ['core'], because: 'everything else uses it' },
  tracing: { may: ['core', 'log'], because: 'whoever does something that takes time uses it' },
  redis: { may: ['core', 'log'], because: 'queue and bus share it' },
  postgres: { may: [], because: 'store and queue share it' },
  'compiled-code': { may: [], because: 'whoever runs a program of Capybara’s own shares it' },
  'public-address': { may: [], because: 'tools and workspace share it' },
  'allowed-hosts': { may: [], because: 'webhooks and MCP servers of teams share it' },
  'private-network': { may: [], because: 'workspace and CLI share it' },
  'checked-agent': { may: [], because: 'tools and webhooks share it' },
  'retry-after': { may: [], because: 'model and webhooks share it' },
  clock: { may: [], because: 'everything else uses it' },
  version: { may: [], because: 'everything else uses it' },
};

/** Single imports that the rules above would forbid, each with its reason. */
const ALLOWED: readonly {
  readonly from: RegExp;
  readonly to: RegExp;
  readonly lazy?: true;
  readonly type?: true;
}[] = [
  // The shapes on the wire are what client and server share.
  { from: /^src\/(client|cli|mcp)\//, to: /^src\/api\/wire(-\w+)?\.ts$/ },
  // `mcp serve` is the same server behind stdin and stdout.
  { from: /^src\/cli\//, to: /^src\/mcp\/server\/stdio\.ts$/, lazy: true },
  // `up`, `run`, `api`, `worker`, `migrate`, `verify`, `doctor`, `models`, `providers` and `mcp test` start programs; they load them when they do.
  {
    from: /^src\/cli\//,
    to: /^src\/(embedded\/[^/]+|(api|worker|verify|doctor|model)\/main|worker\/(health|mcp-trial)|store\/(migrate|bootstrap|sealed-rows))\.ts$/,
    lazy: true,
  },
  // An Ollama is part of the machine that the CLI runs on: it finds it, and sees to what is installed there.
  { from: /^src\/cli\//, to: /^src\/model\/ollama-(admin|choice|discovery)\.ts$/, lazy: true },
  { from: /^src\/doctor\//, to: /^src\/model\/(main|ollama-(admin|choice|discovery))\.ts$/ },
  // It asks those who know: which migration is the last, what runs on a data directory, what a key is on the wire.
  {
    from: /^src\/doctor\//,
    to: /^src\/(store\/migrate|embedded\/(data-dir|postgres-binaries)|api\/wire-admin)\.ts$/,
  },
  // What is sent of a directory is a snapshot of it, taken by what the server takes its own with.
  { from: /^src\/cli\//, to: /^src\/workspace\/uploads\/sent-directory\.ts$/, lazy: true },
  // Whether a search lacks something is asked of what would be refused for it.
  { from: /^src\/doctor\//, to: /^src\/tools\/web-search\.ts$/ },
  // The words for a provider's settings; nothing is read from the environment here.
  { from: /^src\/model\/(providers|model-settings|catalog|main)\.ts$/, to: /^src\/config\.ts$/, type: true },
];

function mayImport(file: string, imported: Import): boolean {
  const [from, to] = [layerOf(file), layerOf(imported.to)];
  if (imported.isPackage || from === to || LAYERS[from]?.may.includes(to)) return true;
  return ALLOWED.some(
    (rule) =>
      rule.from.test(file) &&
      rule.to.test(imported.to) &&
      (!rule.lazy || imported.isLazy) &&
      (!rule.type || imported.isType),
  );
}

describe('imports', () => {
  test('every folder and file at the top of src has its rule, and every rule its folder', () => {
    const layers = [...new Set(source.map(({ path }) => layerOf(path)))];
    expect(layers.toSorted(), 'a new folder needs a place in the order').toEqual(
      Object.keys(LAYERS).toSorted(),
    );
  });

  test.each(Object.keys(LAYERS))('%s imports only what it may', (layer) => {
    const { may = [], because } = LAYERS[layer] ?? {};
    const found = source
      .filter(({ path }) => layerOf(path) === layer)
      .flatMap(({ path, imports }) => imports.map((each) => ({ path, each })))
      .filter(({ path, each }) => !mayImport(path, each))
      .map(({ path, each }) => `${path} imports ${each.to}`);
    expect(found, `${layer} imports itself and [${may.join(', ')}]: ${because}`).toEqual([]);
  });

  test('the library that confines on macOS is loaded by the process that wraps commands, and by no other', () => {
    const because =
      'it is the size of the rest, keeps one configuration per process, and reads whose it runs in';
    const loaders = found(undefined, ({ imports }) =>
      imports
        .filter(({ to, isType }) => to.startsWith('@anthropic-ai/sandbox-runtime') && !isType)
        .map(({ to }) => to),
    );
    const process = 'src/sandbox/runtime-process.ts';
    expect(loaders, because).toEqual([`${process}: @anthropic-ai/sandbox-runtime`]);
    const users = source.filter(({ imports }) => imports.some(({ to, isType }) => to === process && !isType));
    expect(
      users.map(({ path }) => path),
      because,
    ).toEqual([]);
  });

  test('every import leads to a file', () => {
    const files = source.flatMap(({ path, imports }) =>
      imports
        .filter((each) => !each.isPackage && !existsSync(join(ROOT, each.to)))
        .map((each) => `${path}: ${each.to}`),
    );
    expect(files.filter((line) => !line.includes('/generated/'))).toEqual([]);
  });

  test('core imports no package and nothing of Node', () => {
    const because = 'what core decides depends on its arguments alone';
    expect(
      found('core', (file) => file.imports.filter((each) => each.isPackage).map((each) => each.to)),
      because,
    ).toEqual([]);
  });

  test('a client loads the shapes on the wire and the words of core, and one package', () => {
    const reached = new Set(['src/client/client.ts']);
    for (const path of reached) {
      const { imports = [] } = source.find((file) => file.path === path) ?? {};
      for (const { to } of imports) reached.add(to);
    }
    const outside = [...reached].filter((to) => !/^(src\/(client|core|api\/wire)\b|node:|zod$)/.test(to));
    expect(outside, 'what a program of somebody else loads stays small').toEqual([]);
  });

  test('every package that src uses is a dependency', () => {
    const packages = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
    const { dependencies, optionalDependencies } = packages;
    const used = source.flatMap(({ imports }) =>
      // One that may be absent is loaded when it is used, and whoever does so says what to install.
      imports.filter(
        (each) => each.isPackage && !each.isType && !(each.isLazy && each.to in optionalDependencies),
      ),
    );
    const names = used.map(({ to }) =>
      to
        .split('/')
        .slice(0, to.startsWith('@') ? 2 : 1)
        .join('/'),
    );
    const missing = names.filter((name) => !name.startsWith('node:') && !(name in dependencies));
    expect([...new Set(missing)], 'an installed Capybara has no devDependencies').toEqual([]);
  });
});

/** `path: what` for everything that `look` finds in the files of a layer, or of all. */
function found(layer: string | undefined, look: (file: SourceFile) => readonly string[]): string[] {
  return source
    .filter(({ path }) => layer === undefined || layerOf(path) === layer)
    .flatMap((file) => look(file).map((what) => `${file.path}: ${what}`));
}

const IMPURE =
  /^(await|async|Date|process|performance|console|fetch|crypto|globalThis|set(Timeout|Interval|Immediate))$/;

/** What opens connections, reads settings or starts threads and processes. */
const CONSTRUCTORS =
  /^(openDatabase|openBackends|create(Postgres|Redis)(QueueBackend|Bus)|createModels|create\w+Sandbox|createRegistry|createAgents|startWorker|createApi|startPostgres|startCapybara|compose(Api|Worker))$/;
const MAIN_FILES = [
  'src/model/main.ts',
  ...['src/backends.ts', 'src/api/main.ts', 'src/worker/main.ts', 'src/embedded/capybara.ts'],
  // The proof puts its own connections and its Postgres together.
  ...['src/verify/main.ts', 'src/verify/postgres.ts'],
];
/** The CLI starts the embedded Capybara for the while, through its main file. */
const STARTS_EMBEDDED = ['src/cli/connection.ts', 'src/cli/commands/up.ts'];

const SQL =
  /^\s*(SELECT|INSERT INTO|UPDATE|DELETE FROM|WITH|LISTEN|NOTIFY|CREATE|ALTER|DROP|TRUNCATE|BEGIN|COMMIT|ROLLBACK)\b/;
/** SQL outside the store, each with its reason. */
const SQL_ELSEWHERE: Readonly<Record<string, string>> = {
  'src/queue/postgres.ts': "asks BullMQ's own table which jobs it has",
  'src/bus/postgres.ts': 'LISTEN and NOTIFY carry live messages, and no data',
  'src/worker/lease-thread.ts':
    'a lease is renewed on a connection of its own thread, which nothing of the store may hold up',
  'src/embedded/data-dir.ts': 'SQLite, as a lock on a file that ends with its process',
  'src/verify/facts.ts': 'reads what became of every row, to judge it; no server runs it',
  'src/verify/postgres.ts': 'makes and drops the database of a proof',
  'src/doctor/postgres.ts': 'asks Postgres what it is, and nothing of what Capybara keeps there',
  'src/api/readiness.ts': 'asks whether Postgres answers, and nothing else',
};

describe('what stands where', () => {
  test('core neither waits nor reads a clock, chance, the environment or the console', () => {
    const because = 'the same log must give the same decision to whoever takes a turn over';
    expect(
      found('core', (file) => [...file.words].filter((word) => IMPURE.test(word))),
      because,
    ).toEqual([]);
  });

  test('only main files construct', () => {
    const because =
      'parts are handed what they use: then a test, a laptop and a cluster put them together as they need';
    const mains = [...MAIN_FILES, ...STARTS_EMBEDDED];
    const calls = found(undefined, (file) =>
      mains.includes(file.path) ? [] : file.calls.filter((name) => CONSTRUCTORS.test(name)),
    );
    // A registry that is made of registries, and the composition inside a main file's own folder.
    expect(
      calls.filter((call) => call !== 'src/tools/registry.ts: createRegistry'),
      because,
    ).toEqual([]);
  });

  test('only config.ts reads the environment', () => {
    const because = 'a setting has one schema, one source that is told, and one place where it can go wrong';
    const readers = found(undefined, (file) => file.processMembers.filter((name) => /\benv\b|\?/.test(name)));
    expect([...new Set(readers)], because).toEqual(['src/config.ts: env']);
  });

  test('SQL stands under store, and where it is named here', () => {
    const because =
      'the truth is changed by transitions, each with its guard in its WHERE; nobody writes past them';
    const elsewhere = source.filter(
      ({ path, texts }) => layerOf(path) !== 'store' && texts.some((text) => SQL.test(text)),
    );
    expect(elsewhere.map(({ path }) => path).toSorted(), because).toEqual(
      Object.keys(SQL_ELSEWHERE).toSorted(),
    );
  });

  test('a queue job carries ids only', () => {
    // Lost, late or doubled, a job does no harm, because it holds nothing. The compiler enforces it.
    expectTypeOf<TurnJob>().toEqualTypeOf<{ readonly turnId: string; readonly wake: number }>();
    expectTypeOf<DeliveryJob>().toEqualTypeOf<{ readonly deliveryId: string; readonly wake: number }>();
  });

  test('no file is too long to read', () => {
    const longest = 320;
    const long = source
      .filter(({ lines }) => lines > longest)
      .map(({ path, lines }) => `${path}: ${lines} lines`);
    expect(long, `a file of more than ${longest} lines holds two things: split it where they part`).toEqual(
      [],
    );
  });

  test('a command is short: what it does stands beside it, in src/cli', () => {
    const long = source.filter(({ path, lines }) => path.startsWith('src/cli/commands/') && lines >= 60);
    expect(long.map(({ path, lines }) => `${path}: ${lines} lines`)).toEqual([]);
  });

  test('no file or folder is named for what it is not', () => {
    const files = ['src', 'tests', 'scripts', 'examples', 'bench'].flatMap((folder) => filesBelow(folder));
    const vague = files.filter((path) => /(^|[/.-])(utils?|common|helpers?|types|misc)([/.-]|$)/.test(path));
    expect(vague, 'a name says what is inside, so that the next thing does not go in as well').toEqual([]);
  });
});

describe('the pages', () => {
  test('ARCHITECTURE.md is short enough to be read, and names what exists', () => {
    const page = read('ARCHITECTURE.md');
    expect(Buffer.byteLength(page)).toBeLessThanOrEqual(12 * 1024);
    const named = [...page.matchAll(/`((?:src|tests|prisma|examples|bin|scripts)\/[\w./-]+)`/g)].map(
      ([, path]) => path ?? '',
    );
    expect(named.filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
  });

  test('every row of what survives what names tests that exist', () => {
    const [, section = ''] = read('ARCHITECTURE.md').split(/^## (?:What survives what|Code map)$/m);
    const rows = section.match(/^\|(?! what| ?-).*$/gm) ?? [];
    const proofs = rows.map((row) =>
      [...row.matchAll(/`([a-z]+\/[\w-]+)`/g)].map(([, test]) => `tests/${test}.test.ts`),
    );
    expect(rows.length).toBeGreaterThan(5);
    expect(rows.filter((_, index) => proofs[index]?.length === 0)).toEqual([]);
    expect(proofs.flat().filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
  });

  test('every command in README.md exists', () => {
    const commands = filesBelow('src/cli/commands').map((path) =>
      path.slice('src/cli/commands/'.length, -'.ts'.length),
    );
    const starts = new Set(commands.flatMap((path) => [path, path.split('/')[0]]).concat('help'));
    const named = [...read('README.md').matchAll(/\bcapy(?:bara)? ([a-z]+)(?: ([a-z]+))?/g)];
    const missing = named.filter(([, topic, verb]) => !starts.has(topic) && !starts.has(`${topic}/${verb}`));
    expect(missing.map(([text]) => text)).toEqual([]);
  });

  test('every setting in README.md is one of .env.example', () => {
    const known = new Set(
      read('.env.example')
        .match(/^#? ?[A-Z_]+(?==)/gm)
        ?.map((name) => name.replace(/^# /, '')),
    );
    const named = read('README.md').match(/\b(CAPYBARA|ANTHROPIC|OPENAI|DATABASE|REDIS)_[A-Z_]+\b/g) ?? [];
    expect([...new Set(named)].filter((name) => !known.has(name))).toEqual([]);
  });
});

function read(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8');
}

test('the rules see what they are about', () => {
  const file = readText(
    'src/worker/example.ts',
    `import { a } from '../api/app.ts'; import type { B } from '../bus/bus.ts'; export * from '../cli/find.ts';
     // import '../core/not.ts'; process.env; await nothing
     const { env } = process; const lazy = () => import('pg'); start(new URL('./thread.ts', import.meta.url));
     const at = async () => { await new Pool().query(\`SELECT \${a} FROM t\`); return Date.now() };`,
  );
  const seen = (each: Import) => [each.to, each.isType, each.isLazy];
  expect(file.imports.map(seen)).toEqual([
    ['src/api/app.ts', false, false],
    ['src/bus/bus.ts', true, false],
    ['src/cli/find.ts', false, false],
    ['pg', false, true],
    ['src/worker/thread.ts', false, true],
  ]);
  expect(file.imports.map((each) => mayImport('src/worker/example.ts', each))).toEqual([
    false,
    true,
    false,
    true,
    true,
  ]);
  expect(file.calls).toEqual(expect.arrayContaining(['start', 'Pool']));
  expect([...file.words]).toEqual(expect.arrayContaining(['await', 'async', 'Date']));
  expect(file.texts.filter((text) => SQL.test(text))).toEqual(['SELECT … FROM t']);
  expect(file.processMembers).toEqual(['{ env }']);
});
