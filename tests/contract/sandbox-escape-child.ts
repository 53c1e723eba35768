/**
 * A worker for the tests of escapes, as whoever starts it: runs scripts of its standard input (JSON, see `Order`) one after the other
 * in one command, and prints what each said as a JSON object by name.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { createBubblewrapSandbox } from '../../src/sandbox/bubblewrap.ts';
import { createDockerSandbox } from '../../src/sandbox/docker.ts';
import type { DockerEngine } from '../../src/sandbox/docker-arguments.ts';
import { createRuntimeSandbox } from '../../src/sandbox/runtime.ts';
import type { Setup } from '../../src/sandbox/runtime-process.ts';
import type { Command, LeasedSandbox } from '../../src/sandbox/sandbox.ts';
import { createUnconfinedSandbox } from '../../src/sandbox/unconfined.ts';
import type { Profile } from '../../src/sandbox/view.ts';

export interface Order {
  readonly profile: Profile | 'none';
  readonly program: string;
  /** Of the sandbox runtime, which then takes the place of bubblewrap. */
  readonly programs?: Setup['programs'];
  /** Of containers, which do then. */
  readonly engine?: DockerEngine;
  readonly data: string;
  readonly workspace: string;
  readonly scratch: string;
  readonly scripts: Readonly<Record<string, string>>;
}

const order = JSON.parse(await text(process.stdin)) as Order;
const options = { environment: process.env, maxOutputBytes: 64 * 1024 * 1024 };
const limits = {
  ...{ processes: 100, memoryBytes: 512 * 1024 * 1024, fileBytes: 16 * 1024 * 1024, openFiles: 256 },
  ...{ cpuSeconds: 2, memoryFileBytes: 16 * 1024 * 1024 },
};
const sandbox = open(order);

function open({ profile, program, programs, engine, data }: Order): LeasedSandbox {
  if (profile === 'none') return createUnconfinedSandbox(options);
  if (engine !== undefined)
    return createDockerSandbox({ ...options, profile, engine, limits, directory: `${data}/docker` });
  const confined = { ...options, profile, limits, hidden: [data] };
  return programs
    ? createRuntimeSandbox({ ...confined, programs })
    : createBubblewrapSandbox({ ...confined, program });
}

const BOUNDARY = '--- 5f0c1c2e ---';
/** What hangs has not escaped; the others have their turn. */
const SECONDS_EACH = 15;
await mkdir(`${order.workspace}/attempts`);
const lines: string[] = ['trap : TERM'];
for (const [index, [name, each]] of Object.entries(order.scripts).entries()) {
  await writeFile(`${order.workspace}/attempts/${index}.sh`, each);
  lines.push(`printf '%s' '${BOUNDARY}${name.replaceAll("'", '')}|'`);
  lines.push(
    `timeout -s KILL ${SECONDS_EACH} bash ./attempts/${index}.sh </dev/null 2>&1 || [ $? != 137 ] || echo '(hung)'`,
  );
}
// More than one argument may hold.
await writeFile(`${order.workspace}/attempts.sh`, lines.join('\n'));
const command: Command = {
  script: 'exec bash ./attempts.sh',
  cwd: order.workspace,
  writable: [order.workspace],
  scratch: order.scratch,
  timeoutMs: 170_000,
};
const result = await sandbox.run(command, new AbortController().signal);
await sandbox.close();
const said = result.output.split(BOUNDARY).slice(1);
process.stdout.write(
  JSON.stringify({
    end: result.end,
    droppedBytes: result.droppedBytes,
    said: said.map((each) => [each.slice(0, each.indexOf('|')), each.slice(each.indexOf('|') + 1)]),
  }),
);
