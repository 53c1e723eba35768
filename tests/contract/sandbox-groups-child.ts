/**
 * A worker for the tests of control groups: runs a script in a group of its own until it ends, or the worker is killed. Arguments:
 * where groups are made (empty: where this process finds that they can), the workspace, the scratch directory, the script.
 */
import { readFileSync } from 'node:fs';
import { createBubblewrapSandbox } from '../../src/sandbox/bubblewrap.ts';
import { findGroupPlace } from '../../src/sandbox/group-place.ts';
import { Groups } from '../../src/sandbox/groups.ts';

const [base = '', workspace = '', scratch = '', script = ''] = process.argv.slice(2);
const limits = { memoryBytes: 1024 ** 3, processes: 1_000 };
const place = findGroupPlace(['memory', 'pids']);
const found = place.works ? place.base : place.found;
if (base === '' && !place.works) {
  process.stdout.write(found);
  process.exit();
}
const groups = base === '' ? await Groups.open(found, limits) : await Groups.open(base, limits, []);
const program = process.env.BWRAP ?? '';
const sandbox = createBubblewrapSandbox({ environment: process.env, profile: 'strict', program, groups });
const places = { cwd: workspace, writable: [workspace], scratch };
const { end } = await sandbox.run({ script, ...places, timeoutMs: 60_000 }, new AbortController().signal);
await sandbox.close();
const group = readFileSync('/proc/self/cgroup', 'utf8').trim();
process.stdout.write(JSON.stringify({ found, end, group, again: findGroupPlace(['memory', 'pids']) }));
