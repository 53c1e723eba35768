/**
 * Finds the processes of agents where there is no /proc (macOS), by ps(1): those of a process group, those whose environment has the
 * mark, and all that descend from one of these or were seen to.
 *
 * What this does not promise: a process that leaves its group, is handed to launchd and shows no mark is missed, unless it was seen
 * before it was handed over. The system shows nobody the environment of its own programs (System Integrity Protection), and a
 * program may clear its own. Such a process stays in its sandbox, if it has one, for as long as it runs.
 */
import { spawnSync } from 'node:child_process';
import { type Belonging, type Family, type Finder, send } from './finder.ts';

export interface Listed {
  readonly pid: number;
  readonly parent: number;
  readonly group: number;
  /** Milliseconds, to the second. */
  readonly started: number;
  readonly isZombie: boolean;
  /** Its arguments and, where they may be seen, its environment. */
  readonly words: string;
}

const COLUMNS = 'pid=,ppid=,pgid=,stat=,lstart=,command=';
/** With environments, unshortened: the BSD's letter for them, and that of Linux, on which this is tried. */
const ARGUMENTS: Readonly<Record<string, readonly string[]>> = { linux: ['axeww', '-o', COLUMNS] };
const BSD_ARGUMENTS = ['-axEww', '-o', COLUMNS];
const LINE = /^ *(\d+) +(\d+) +(\d+) +(\S+) +(\w{3} +\w{3} +\d+ +[\d:]+ +\d{4}) (.*)$/;
const MAX_BYTES = 64 * 1024 * 1024;
const TIMEOUT_MS = 5_000;
/** Linux reckons the beginning of a process anew each time that it is asked, and not always the same. */
const SAME_START_MS = 1_000;

export const byPs: Finder = {
  list: () => [],
  bytesWritten: () => 0,
  signalAll(whose, signal) {
    const all = listByPs();
    // Before the groups get it: who descends from whom is forgotten when they die.
    const found = belonging(all, whose);
    const groups = whose.groups.filter((group) => send(-group, signal));
    for (const { pid } of found) send(pid, signal);
    return all.length === 0 ? groups.length > 0 : found.length > 0;
  },
  pollMs: 50,
  watchMs: 1_000,
};

/** Empty where ps(1) does not answer: then the groups alone are left to go by. */
export function listByPs(platform: string = process.platform): Listed[] {
  const { stdout } = spawnSync('/bin/ps', ARGUMENTS[platform] ?? BSD_ARGUMENTS, {
    ...{ cwd: '/', env: { LC_ALL: 'C' }, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] },
    ...{ maxBuffer: MAX_BYTES, timeout: TIMEOUT_MS, killSignal: 'SIGKILL' },
  });
  return parsePs(stdout ?? '');
}

export function parsePs(text: string): Listed[] {
  return text.split('\n').flatMap((line) => {
    const [, pid, parent, group, state = '', started = '', words = ''] = LINE.exec(line) ?? [];
    if (pid === undefined) return [];
    const numbers = { pid: Number(pid), parent: Number(parent), group: Number(group) };
    return [{ ...numbers, started: Date.parse(started), isZombie: state.startsWith('Z'), words }];
  });
}

/** Those that belong and still run, which the family knows from now on. A guard is nobody's: it ends by itself, when it has ended others. */
export function belonging(all: readonly Listed[], { marker, groups, family }: Belonging): Listed[] {
  const others = all.filter(({ pid, words }) => pid !== process.pid && !isGuard(words));
  const found = new Set(
    others.filter(
      (each) => groups.includes(each.group) || hasWord(each.words, marker) || isKnown(each, family),
    ),
  );
  const children = Map.groupBy(others, ({ parent }) => parent);
  // A set gives out what is added to it while it is gone through.
  for (const { pid } of found) for (const child of children.get(pid) ?? []) found.add(child);
  const running = [...found].filter(({ isZombie }) => !isZombie);
  family?.clear();
  for (const { pid, started } of running) family?.set(pid, started);
  return running;
}

function isKnown({ pid, started }: Listed, family: Family | undefined): boolean {
  return Math.abs((family?.get(pid) ?? Number.NEGATIVE_INFINITY) - started) <= SAME_START_MS;
}

function hasWord(words: string, marker: string): boolean {
  return marker !== '' && ` ${words} `.includes(` ${marker} `);
}

function isGuard(words: string): boolean {
  return /\/sandbox\/guard-process\.[jt]s CAPYBARA_WORKER=/.test(words);
}
