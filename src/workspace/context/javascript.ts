import { type Command, type Found, keysOf, type Manifest, recordOf, run, textIn } from './manifest.ts';

/** The first that is there. */
const LOCKFILES: readonly (readonly [file: string, manager: string])[] = [
  ['pnpm-lock.yaml', 'pnpm'],
  ['yarn.lock', 'yarn'],
  ['bun.lock', 'bun'],
  ['bun.lockb', 'bun'],
  ['package-lock.json', 'npm'],
  ['npm-shrinkwrap.json', 'npm'],
];
const MANAGERS = ['npm', 'pnpm', 'yarn', 'bun'];

export function packageJson({ text, around, beside }: Manifest): Found {
  const json = recordOf(JSON.parse(text));
  const manager = managerOf(json, around);
  const isTyped = beside.has('tsconfig.json') || 'typescript' in recordOf(json.devDependencies);
  const scripts = Object.entries(recordOf(json.scripts));
  return {
    kind: ['Node.js', ...(isTyped ? ['TypeScript'] : []), manager].join(', '),
    name: textIn(json.name),
    dependencies: keysOf(json.dependencies),
    development: keysOf(json.devDependencies),
    commands: [
      ...run(`${manager} install`),
      ...scripts.map(([name, does]) => scriptCommand(manager, name, does)),
    ],
  };
}

/** What the project asks for, then what its lockfile was written by. */
function managerOf(json: Readonly<Record<string, unknown>>, around: ReadonlySet<string>): string {
  const asked = textIn(json.packageManager)?.split('@')[0] ?? '';
  if (MANAGERS.includes(asked)) return asked;
  return LOCKFILES.find(([file]) => around.has(file))?.[1] ?? 'npm';
}

function scriptCommand(manager: string, name: string, does: unknown): Command {
  const isTest = name === 'test' && manager !== 'bun';
  const command = isTest ? `${manager} test` : `${manager} run ${name}`;
  return typeof does === 'string' ? { run: command, does } : { run: command };
}

export function denoJson({ text }: Manifest): Found {
  // Comments are allowed in it: where there are some, only its kind is told.
  const json = recordOf(parsed(text));
  const tasks = keysOf(json.tasks).map((name) => `deno task ${name}`);
  return { kind: 'Deno', name: textIn(json.name), commands: run('deno test', 'deno check', ...tasks) };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
