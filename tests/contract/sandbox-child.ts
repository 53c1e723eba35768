/**
 * A worker for the tests of the guard: runs the script of its arguments in a directory, feeds the lease until it is told to stop
 * by SIGSTOP, and prints `started`. Arguments: directory of the sandbox's code, its file extension, cwd, script, lease in
 * milliseconds (0: none), profile (`none`: unconfined, `docker`: by the engine of DOCKER_ENGINE, JSON), scratch directory, how
 * processes are found.
 */
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [
  code = '',
  extension = '',
  cwd = '',
  script = '',
  lease = '0',
  profile = 'none',
  scratch = cwd,
  finder,
] = process.argv.slice(2);
const load = (name: string) => import(pathToFileURL(join(code, `${name}${extension}`)).href);
const leaseMs = Number(lease);
const options = { environment: process.env, finder, ...(leaseMs > 0 ? { leaseMs } : {}) };

async function open() {
  if (profile === 'none') return (await load('unconfined')).createUnconfinedSandbox(options);
  if (profile !== 'docker')
    return (await load('bubblewrap')).createBubblewrapSandbox({
      ...options,
      profile,
      program: process.env.BWRAP,
    });
  const engine = JSON.parse(process.env.DOCKER_ENGINE ?? '');
  const directory = join(scratch, '../docker');
  return (await load('docker')).createDockerSandbox({ ...options, engine, directory, profile: 'strict' });
}

const sandbox = await open();
if (leaseMs > 0) setInterval(() => sandbox.feed(), leaseMs / 10).unref();
const result = sandbox.run(
  { script, cwd, writable: [cwd], scratch, timeoutMs: 60_000 },
  new AbortController().signal,
);
process.stdout.write('started\n');
process.stdout.write(`${JSON.stringify((await result).end)}\n`);
await sandbox.close();
