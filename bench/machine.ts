/** The machine the bench ran on, and how noisy it was meanwhile. */
import { closeSync, fsyncSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { quantile } from './statistics.ts';

const ROUNDS = 200;
const BLOCK_BYTES = 8192;
const SPINS = 200_000;

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly node: string;
  /** Of one minute, when this was measured. */
  readonly load: number;
  /** One write of 8 KiB with fsync, milliseconds. */
  readonly fsync: { readonly p50: number; readonly p99: number };
  /** The same arithmetic over and over, milliseconds: what its p99 has over its p50 is the machine's noise. */
  readonly spin: { readonly p50: number; readonly p99: number };
}

export function describeMachine(): Machine {
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    memoryGiB: Math.round(totalmem() / 1024 ** 3),
    node: process.version,
    load: loadavg()[0] ?? 0,
    fsync: measureFsync(),
    spin: spread(() => spin()),
  };
}

function measureFsync(): { p50: number; p99: number } {
  const directory = mkdtempSync(join(tmpdir(), 'capybara-bench-fsync-'));
  const file = openSync(join(directory, 'block'), 'w');
  const block = Buffer.alloc(BLOCK_BYTES);
  try {
    return spread(() => {
      writeSync(file, block, 0, BLOCK_BYTES, 0);
      fsyncSync(file);
    });
  } finally {
    closeSync(file);
    rmSync(directory, { recursive: true });
  }
}

function spin(): number {
  let sum = 0;
  for (let index = 0; index < SPINS; index++) sum += Math.sqrt(index);
  return sum;
}

function spread(act: () => unknown): { p50: number; p99: number } {
  const times = Array.from({ length: ROUNDS }, () => {
    const began = performance.now();
    act();
    return performance.now() - began;
  });
  return { p50: quantile(times, 0.5), p99: quantile(times, 0.99) };
}
