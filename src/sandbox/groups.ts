/**
 * Control groups of a worker's commands: one for each command, below one of the worker's. The worker's is named for its process, so that
 * the next worker can tell whose is left over; the guard ends what is in it when the worker dies.
 */
import { type StdioOptions, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  closeSync,
  constants,
  existsSync,
  openSync,
  readdirSync,
  readlinkSync,
  rmdirSync,
  writeFileSync,
} from 'node:fs';
import { mkdir, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { type Controller, enable, prepareGroupPlace, textAt } from './group-place.ts';
import { UNPRIVILEGED } from './runner.ts';

export interface GroupLimits {
  /** Of all its processes together, with the files in memory that they make. */
  readonly memoryBytes: number;
  /** Processes and threads, with the two of bwrap. */
  readonly processes: number;
  /** Processors at a time; undefined: all there are. */
  readonly cpus?: number | undefined;
}

/** `capybara-<pid>-<when it started>-<its namespace of pids>-<random>`. */
const NAME = /^capybara-(\d+)-(\d+)-(\d+)-[0-9a-f]{8}$/;
/** In which a group may use up what it has of processors. */
const PERIOD_US = 100_000;
/** The last process of a group is gone from it a moment after it was killed. */
const REMOVE_TRIES = 100;
const REMOVE_PAUSE_MS = 20;

/** Those of one sandbox. */
export class Groups {
  /** Absolute. */
  readonly directory: string;
  readonly #limits: GroupLimits;
  readonly #controllers: readonly Controller[];
  readonly #removing = new Set<Promise<void>>();
  #last = 0;

  private constructor(directory: string, limits: GroupLimits, controllers: readonly Controller[]) {
    this.directory = directory;
    this.#limits = limits;
    this.#controllers = controllers;
  }

  /**
   * Also removes what workers that are gone have left there. `controllers`: those that `limits` need. Throws where it cannot make
   * groups there.
   */
  static async open(
    base: string,
    limits: GroupLimits,
    controllers: readonly Controller[] = controllersFor(limits),
  ): Promise<Groups> {
    await prepareGroupPlace(base, controllers);
    for (const name of readdirSync(base)) if (isLeftOver(name)) await removeGroup(join(base, name));
    const directory = join(base, nameOf(process.pid));
    await mkdir(directory);
    const groups = new Groups(directory, limits, controllers);
    try {
      await enable(directory, controllers);
      await groups.#check();
      return groups;
    } catch (error) {
      await groups.close();
      throw error;
    }
  }

  /** Commands of a root worker run as another user, and only since 5.16 does Linux ask who opened the entrance. */
  async #check(): Promise<void> {
    const group = await this.make();
    const stdio: StdioOptions = ['ignore', 'ignore', 'ignore', group.entrance];
    const as = process.getuid?.() === 0 ? UNPRIVILEGED : {};
    const child = spawn('/bin/sh', ['-c', 'echo 0 >&3'], { cwd: '/', env: {}, stdio, ...as });
    const [code] = await once(child, 'exit');
    const canKill = existsSync(join(group.directory, 'cgroup.kill'));
    group.close();
    if (code !== 0 || !canKill) throw new Error('the kernel is too old: expected Linux 5.16 or newer');
  }

  /** An empty one, with its limits. */
  async make(): Promise<Group> {
    this.#last += 1;
    const directory = join(this.directory, `${this.#last}`);
    await mkdir(directory);
    try {
      await Promise.all(this.#settings().map(([name, value]) => writeFile(join(directory, name), value)));
      return new Group(directory, this);
    } catch (error) {
      await rmdir(directory);
      throw error;
    }
  }

  #settings(): [string, string][] {
    const { memoryBytes, processes, cpus = 0 } = this.#limits;
    const ofMemory: [string, string][] = [
      ['memory.max', `${memoryBytes}`],
      // Without half of its processes a command is of no use to anybody.
      ['memory.oom.group', '1'],
      ...(hasSwap(this.directory) ? ([['memory.swap.max', '0']] as [string, string][]) : []),
    ];
    const all: Record<Controller, [string, string][]> = {
      memory: ofMemory,
      pids: [['pids.max', `${processes}`]],
      cpu: [['cpu.max', `${Math.ceil(cpus * PERIOD_US)} ${PERIOD_US}`]],
    };
    return this.#controllers.flatMap((name) => all[name]);
  }

  /** Not waited for, but by `close`. */
  remove(directory: string): void {
    const removed = removeGroup(directory).finally(() => this.#removing.delete(removed));
    this.#removing.add(removed);
  }

  async close(): Promise<void> {
    await Promise.all(this.#removing);
    await removeGroup(this.directory);
  }
}

export function controllersFor({ cpus }: GroupLimits): Controller[] {
  return ['memory', 'pids', ...(cpus === undefined ? [] : (['cpu'] as const))];
}

/** One command's. */
export class Group {
  readonly directory: string;
  /** Whoever writes `0` there is in the group from then on, whatever user it is: what counts is who opened it. */
  readonly entrance: number;
  readonly #all: Groups;
  #isOpen = true;

  constructor(directory: string, all: Groups) {
    this.directory = directory;
    this.entrance = openSync(join(directory, 'cgroup.procs'), constants.O_WRONLY);
    this.#all = all;
  }

  /** All that is in it, also what is just being started. */
  async kill(): Promise<void> {
    await writeFile(join(this.directory, 'cgroup.kill'), '1').catch(() => {});
  }

  /** Whether it was ended because its memory ran out. */
  get ranOutOfMemory(): boolean {
    return countOf(join(this.directory, 'memory.events'), 'oom_kill') > 0;
  }

  /** How often a process of it could not start another. */
  get refusedProcesses(): number {
    return countOf(join(this.directory, 'pids.events'), 'max');
  }

  /** Nobody else is to come in by this process's descriptor. */
  shut(): void {
    if (this.#isOpen) closeSync(this.entrance);
    this.#isOpen = false;
  }

  /** When nothing of it is left, or what is left is to be killed. */
  close(): void {
    this.shut();
    this.#all.remove(this.directory);
  }
}

function countOf(file: string, name: string): number {
  return Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(textAt(file))?.[1] ?? 0);
}

function hasSwap(directory: string): boolean {
  return existsSync(join(directory, 'memory.swap.max'));
}

/** For the guard, which has nothing to wait for. Whether a process was there. */
export function killGroup(directory: string): boolean {
  if (!isPopulated(directory)) return false;
  try {
    writeFileSync(join(directory, 'cgroup.kill'), '1');
  } catch {
    return false;
  }
  return true;
}

/** A group and those in it, where no process is left there. */
export function removeEmptyGroup(directory: string): void {
  try {
    for (const entry of readdirSync(directory, { withFileTypes: true }))
      if (entry.isDirectory()) rmdirSync(join(directory, entry.name));
    rmdirSync(directory);
  } catch {
    // It is gone, or the next worker removes it.
  }
}

async function removeGroup(directory: string): Promise<void> {
  for (let tries = 0; tries < REMOVE_TRIES && existsSync(directory); tries += 1) {
    if (tries > 0) await pause(REMOVE_PAUSE_MS);
    if (isPopulated(directory)) await writeFile(join(directory, 'cgroup.kill'), '1').catch(() => {});
    const inner = readdirIn(directory);
    for (const path of [...inner, directory]) await rmdir(path).catch(() => {});
  }
}

function readdirIn(directory: string): string[] {
  try {
    const entries = readdirSync(directory, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map(({ name }) => join(directory, name));
  } catch {
    return [];
  }
}

function isPopulated(directory: string): boolean {
  return countOf(join(directory, 'cgroup.events'), 'populated') > 0;
}

function nameOf(pid: number): string {
  return `capybara-${pid}-${startOf(`${pid}`)}-${namespaceOfPids()}-${randomBytes(4).toString('hex')}`;
}

/** Whether it is the group of a worker that is gone. Of what is in another namespace nobody here can tell. */
function isLeftOver(name: string): boolean {
  const [, pid = '', start, namespace] = NAME.exec(name) ?? [];
  return namespace === namespaceOfPids() && startOf(pid) !== start;
}

function namespaceOfPids(): string {
  return readlinkSync('/proc/self/ns/pid').replace(/\D/g, '');
}

/** When a process was started, in ticks since the boot; empty where there is none, or it has ended. */
function startOf(pid: string): string {
  const stat = textAt(`/proc/${pid}/stat`);
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields[0] === 'Z' ? '' : (fields[19] ?? '');
}
