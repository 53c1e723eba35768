/**
 * Where this process may give commands control groups of their own (cgroup v2, docs.kernel.org/admin-guide/cgroup-v2.html): below its own
 * group, so that what limits the worker limits its commands too.
 *
 * A group whose children have controllers may hold no process itself. So the worker, with all that shares its group, moves into
 * a child of it, `capybara-worker`, beside those of its commands; a group that somebody else's programs share is left alone.
 */
import { accessSync, constants, existsSync, readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { basename, dirname, join, relative } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

export type Controller = 'memory' | 'pids' | 'cpu';

export type GroupPlace =
  | { readonly works: true; readonly base: string }
  | { readonly works: false; readonly found: string; readonly cure: string };

/** The group that workers are in, where their commands have groups. */
const WORKERS = 'capybara-worker';
/** While processes are moved, they start others. */
const MOVES = 20;
const MOVE_PAUSE_MS = 10;
const DELEGATE =
  'start it as a systemd service with Delegate=yes, by systemd-run --scope -p Delegate=yes, or in a container that has ' +
  'a writable /sys/fs/cgroup of its own';

/** Looks, and changes nothing. */
export function findGroupPlace(controllers: readonly Controller[]): GroupPlace {
  if (process.platform !== 'linux')
    return { works: false, found: 'they need Linux', cure: 'run it on Linux' };
  const own = ownGroup(textAt('/proc/self/mountinfo'), textAt('/proc/self/cgroup'));
  if (own === undefined)
    return refused('cgroup v2 is not mounted here', `boot with cgroup v2, and ${DELEGATE}`);
  const base = basename(own.directory) === WORKERS ? dirname(own.directory) : own.directory;
  const missing = controllers.filter((name) => !wordsOf(join(base, 'cgroup.controllers')).includes(name));
  if (missing.length > 0) {
    const found = `${base} has no controller for ${missing.join(' and ')}`;
    const boot = 'where cgroup v1 has it, boot with systemd.unified_cgroup_hierarchy=1';
    return refused(found, `${boot}; else ${DELEGATE}`);
  }
  const closed = closedFile(base);
  if (closed !== undefined) return refused(closed, DELEGATE);
  const isOurs = base !== own.directory || own.path === '/' || base.endsWith('.service');
  if (!isOurs && othersIn(base).length > 0)
    return refused(`other programs share the control group ${base}`, DELEGATE);
  return { works: true, base };
}

/** What a person is told. */
export function groupsSentence(place: GroupPlace): string {
  return place.works
    ? `Each command has a control group below ${place.base}: its memory and processes are limited as a whole.`
    : `Commands have no control groups, so that memory is limited for each process of one alone: ${place.found}; to limit it as a whole, ${place.cure}.`;
}

/** Makes room for groups in such a place. Throws where that is not possible after all. */
export async function prepareGroupPlace(base: string, controllers: readonly Controller[]): Promise<void> {
  if (controllers.length === 0) return;
  for (let move = 1; ; move += 1) {
    if (!isRoot(base)) await moveAll(base, join(base, WORKERS));
    try {
      return await enable(base, controllers);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EBUSY' || move === MOVES) throw error;
      await pause(MOVE_PAUSE_MS);
    }
  }
}

/** Lets the children of a group have limits. */
export async function enable(directory: string, controllers: readonly Controller[]): Promise<void> {
  const wanted = controllers.map((name) => `+${name}`).join(' ');
  if (wanted !== '') await writeFile(join(directory, 'cgroup.subtree_control'), wanted);
}

/** Of the machine, or of its container: nothing above it is seen. */
interface Own {
  readonly directory: string;
  readonly path: string;
}

/** As proc_pid_mountinfo(5) and cgroups(7) say it. Undefined: cgroup v2 is not there, or not where this process is in it. */
export function ownGroup(mountinfo: string, cgroup: string): Own | undefined {
  const path = /^0::(\/.*)$/m.exec(cgroup)?.[1];
  // Outside of what this process may see of them (cgroup_namespaces(7)).
  if (path === undefined || path.startsWith('/..')) return undefined;
  for (const line of mountinfo.split('\n')) {
    const [fields = '', kind = ''] = line.split(' - ');
    const [, , , root = '', point = ''] = fields.split(' ');
    const below = relative(root, path);
    if (kind.startsWith('cgroup2 ') && !below.startsWith('..'))
      return { directory: join(point, below), path };
  }
  return undefined;
}

function refused(found: string, cure: string): GroupPlace {
  return { works: false, found, cure };
}

function closedFile(base: string): string | undefined {
  const files = ['.', 'cgroup.procs', 'cgroup.subtree_control'].map((name) => join(base, name));
  for (const file of files) {
    try {
      accessSync(file, constants.W_OK);
    } catch (error) {
      const isReadOnly = (error as NodeJS.ErrnoException).code === 'EROFS';
      return isReadOnly ? `${file} is mounted read-only` : `${file} is not this user's to write`;
    }
  }
  return undefined;
}

/** Of the machine itself: it alone may hold processes beside children with controllers. */
function isRoot(base: string): boolean {
  return !existsSync(join(base, 'cgroup.events'));
}

async function moveAll(from: string, to: string): Promise<void> {
  const pids = wordsOf(join(from, 'cgroup.procs'));
  if (pids.length > 0) await mkdir(to, { recursive: true });
  for (const pid of pids) {
    await writeFile(join(to, 'cgroup.procs'), pid).catch((error) => {
      // It has ended meanwhile.
      if (error.code !== 'ESRCH') throw error;
    });
  }
}

/** Processes in a group that neither are this one nor were started by it. */
function othersIn(group: string): string[] {
  return wordsOf(join(group, 'cgroup.procs')).filter((pid) => !isStartedHere(pid));
}

function isStartedHere(pid: string): boolean {
  for (let at = pid; Number(at) > 1; at = parentOf(at)) if (at === `${process.pid}`) return true;
  return false;
}

function parentOf(pid: string): string {
  const stat = textAt(`/proc/${pid}/stat`);
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1] ?? '0';
}

function wordsOf(file: string): string[] {
  return textAt(file).split(/\s+/).filter(Boolean);
}

/** Empty where there is none (any more). */
export function textAt(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
