/** How processes are found where there is no /proc, tried with the ps(1) of this machine. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterEach, describe, expect, it } from 'vitest';
import type { Family } from '../../src/sandbox/finder.ts';
import { FINDERS } from '../../src/sandbox/processes.ts';
import { belonging, type Listed, listByPs, parsePs } from '../../src/sandbox/processes-by-ps.ts';

const MARK = 'CAPYBARA_WORKER=9b2f8a34-5a63-4f5c-8f5e-0d5f1a6a2b77';
const START = Date.parse('Thu Nov 26 06:43:08 2026');

function listed(pid: number, more: Partial<Listed> = {}): Listed {
  return { pid, parent: 1, group: pid, started: START, isZombie: false, words: 'sleep 9', ...more };
}

/** The pids that belong. */
function find(all: readonly Listed[], groups: readonly number[], family: Family = new Map()): number[] {
  return belonging(all, { marker: MARK, lockLimit: 0, groups, family }).map(({ pid }) => pid);
}

describe('what ps says', () => {
  it('is read with its numbers, its time and its words', () => {
    const text = [
      `    1     0     1 Ss   Thu Nov 26 06:43:08 2026     /sbin/launchd`,
      `  612     1   600 S+   Thu Nov 26 06:43:09 2026     node worker.js ${MARK} HOME=/Users/ada`,
      ` 1613   612   600 Z    Thu Nov  6 06:43:08 2026     (bash)`,
      `a line of nobody`,
      ``,
    ].join('\n');
    expect(parsePs(text)).toEqual([
      listed(1, { parent: 0, words: '    /sbin/launchd' }),
      {
        ...{ pid: 612, parent: 1, group: 600, started: START + 1_000, isZombie: false },
        words: `    node worker.js ${MARK} HOME=/Users/ada`,
      },
      {
        ...{ pid: 1613, parent: 612, group: 600, isZombie: true, words: '    (bash)' },
        started: Date.parse('Thu Nov 6 06:43:08 2026'),
      },
    ]);
  });

  it('is there for this process, with its environment', () => {
    const own = listByPs().find(({ pid }) => pid === process.pid);
    expect(own).toMatchObject({ parent: process.ppid, isZombie: false });
    expect(Math.abs((own?.started ?? 0) - (Date.now() - process.uptime() * 1_000))).toBeLessThan(60_000);
    expect(own?.words).toContain(`PATH=${process.env.PATH}`);
  });
});

describe('a process belongs', () => {
  it('by its group, by its mark as a whole word, and by whom it descends from', () => {
    const all = [
      listed(10),
      listed(11, { group: 10 }),
      listed(12, { parent: 11, words: 'perl daemon' }),
      listed(13, { parent: 12 }),
      listed(20, { words: `python3 x.py A=1 ${MARK} B=2` }),
      listed(21, { parent: 20 }),
      listed(30, { words: `grep X${MARK}` }),
      listed(31, { words: `grep ${MARK}0` }),
      listed(32, { parent: 30 }),
    ];
    expect(find(all, [10]).toSorted()).toEqual([10, 11, 12, 13, 20, 21]);
    expect(find(all, []).toSorted()).toEqual([20, 21]);
  });

  it('still, when whom it descends from is gone, if it was seen before; and not by its number alone', () => {
    const family: Family = new Map();
    const daemon = listed(12, { parent: 10 });
    expect(find([listed(10), daemon], [10], family).toSorted()).toEqual([10, 12]);
    const orphan = { ...daemon, parent: 1 };
    expect(find([orphan, listed(13, { parent: 12 })], [10], family).toSorted()).toEqual([12, 13]);
    expect([...family.keys()].toSorted()).toEqual([12, 13]);
    expect(find([orphan], [])).toEqual([]);
    const another = { ...orphan, started: START + 60_000 };
    expect(find([another], [10], family)).toEqual([]);
    expect(family.size).toBe(0);
  });

  it('not when it has ended, when it is who looks, nor when it is a guard', () => {
    const guard = `node /x/sandbox/guard-process.js ${MARK} 1 0`;
    const all = [
      listed(10, { isZombie: true }),
      listed(11, { group: 10, words: guard }),
      listed(process.pid, { group: 10, words: MARK }),
    ];
    expect(find(all, [10])).toEqual([]);
  });
});

describe.runIf(process.platform === 'linux')('with the ps of this machine', () => {
  let leader: ChildProcess | undefined;
  const pids: number[] = [];
  afterEach(() => {
    if (leader?.pid !== undefined) for (const pid of [leader.pid, ...pids]) endIf(pid);
    pids.length = 0;
  });

  it('one that left group, session and environment is ended, though who started it is gone', async () => {
    const script = 'setsid env -i sleep 1000 & echo $!; read x; exit';
    leader = spawn('bash', ['-c', script], { detached: true, stdio: ['pipe', 'pipe', 'inherit'] });
    const [said] = (await once(leader.stdout as NodeJS.ReadableStream, 'data')) as [Buffer];
    const [orphan = 0] = said.toString().split('\n').map(Number);
    pids.push(orphan);
    const family: Family = new Map();
    const whose = { marker: MARK, lockLimit: 0, groups: [leader.pid ?? 0], family };
    const exited = once(leader, 'exit');
    expect(FINDERS.ps.signalAll(whose, 0)).toBe(true);
    expect([...family.keys()].toSorted()).toEqual([leader.pid, orphan].toSorted());
    leader.stdin?.end('\n');
    await exited;
    expect(FINDERS.ps.signalAll(whose, 'SIGKILL')).toBe(true);
    await expect.poll(() => FINDERS.ps.signalAll(whose, 0)).toBe(false);
    expect(isThere(orphan)).toBe(false);
  });
});

function isThere(pid: number): boolean {
  return listByPs().some((each) => each.pid === pid && !each.isZombie);
}

function endIf(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended.
  }
}
