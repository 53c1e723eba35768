/**
 * A worker for the tests of the guard: runs the script of its arguments in a directory, feeds the lease until it is told to stop
 * by SIGSTOP, and prints `started`. Arguments: directory of the sandbox's code, its file extension, cwd, script, lease in
 * milliseconds (0: none), profile (`none`: unconfined), scratch directory, how processes are found. Of the environment: BWRAP, the path
 * of bwrap, or RUNTIME, the programs of the sandbox runtime, or DOCKER_ENGINE, both as JSON.
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
const parsed = (name: string) => (process.env[name] ? JSON.parse(process.env[name]) : undefined);
const [runtime, engine] = [parsed('RUNTIME'), parsed('DOCKER_ENGINE')];
const sandbox = await open();

async function open() {
  if (profile === 'none') return (await load('unconfined')).createUnconfinedSandbox(options);
  if (runtime !== undefined)
    return (await load('runtime')).createRuntimeSandbox({ ...options, profile, programs: runtime });
  if (engine !== undefined) {
    const directory = join(scratch, '../docker');
    return (await load('docker')).createDockerSandbox({ ...options, engine, directory, profile });
  }
  return (await load('bubblewrap')).createBubblewrapSandbox({
    ...options,
    profile,
    program: process.env.BWRAP,
  });
}

if (leaseMs > 0) setInterval(() => sandbox.feed(), leaseMs / 10).unref();
const result = sandbox.run(
  { script, cwd, writable: [cwd], scratch, timeoutMs: 60_000 },
  new AbortController().signal,
);
process.stdout.write('started\n');
process.stdout.write(`${JSON.stringify((await result).end)}\n`);
await sandbox.close();
