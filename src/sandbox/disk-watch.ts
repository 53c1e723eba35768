/**
 * Ends commands that fill a disk, before it is full for everybody else on it. While commands run, the free space of the file systems
 * that they may write to is looked at as often as it could change. Below the floor, the command that has written most is ended; the
 * next one, when that is gone, only when what is left then is halved again, since the others may be as small as ever. So a disk that
 * is nearly full from the beginning still lets commands run, which may be what makes room there.
 */
import { type StatsFs, statfsSync, statSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';

/** A running command. */
export interface Writer {
  /** Where it may write: absolute; what is not there is left out. */
  readonly paths: readonly string[];
  /** Bytes that its processes have written so far, as far as that can be told. */
  written(): number;
  /** Called once at most. */
  end(): void;
}

export interface Watched {
  /**
   * Whether the command, which has ended by itself, would have been ended at a look just now. False where other commands run too, since
   * nobody can tell any more what it wrote.
   */
  hasFilled(): boolean;
  /** Nothing of the command is left. */
  stop(): void;
}

/** Faster than this no disk is filled by writing, in bytes. */
const FASTEST_PER_SECOND = 4 * 1024 ** 3;
/** Between two looks. What is allotted unwritten (fallocate(2)), where no filter refuses that, may take the whole disk from one to the next. */
const SHORTEST_MS = 20;
export const LONGEST_MS = 250;
/** A disk is as full without a file to give (an inode) as without a byte; file systems are made with about one for so many bytes. */
const BYTES_PER_FILE = 16 * 1024;

export class DiskWatch {
  readonly #floor: number;
  readonly #disks = new Map<number, Disk>();

  /** `floor`: bytes; 0: nobody looks. */
  constructor(floor: number) {
    this.#floor = floor;
  }

  watch(writer: Writer): Watched {
    const devices = this.#floor === 0 ? [] : writer.paths.flatMap(deviceOf);
    const disks = new Map(devices.map(([device, path]) => [device, this.#disk(device, path)]));
    for (const disk of disks.values()) disk.add(writer);
    return {
      hasFilled: () => disks.values().some((disk) => disk.isFilledBy(writer)),
      stop: () => {
        for (const [device, disk] of disks) if (disk.remove(writer)) this.#disks.delete(device);
      },
    };
  }

  #disk(device: number, path: string): Disk {
    const disk = this.#disks.get(device) ?? new Disk(path, this.#floor);
    this.#disks.set(device, disk);
    return disk;
  }
}

function deviceOf(path: string): [number, string][] {
  const stats = statSync(path, { throwIfNoEntry: false });
  return stats === undefined ? [] : [[stats.dev, path]];
}

/** One file system, while a command may write to it. */
class Disk {
  readonly #path: string;
  readonly #floor: number;
  readonly #writers = new Set<Writer>();
  /** With less free than that the next command is ended; undefined before the first look, and when one is gone. */
  #limit: number | undefined;
  /** What it still writes, no other command is to blame for. */
  #ending: Writer | undefined;
  #isLooking = false;

  constructor(path: string, floor: number) {
    this.#path = path;
    this.#floor = floor;
  }

  add(writer: Writer): void {
    this.#writers.add(writer);
    if (!this.#isLooking) void this.#look();
  }

  /** Whether it was the last. */
  remove(writer: Writer): boolean {
    this.#writers.delete(writer);
    if (this.#ending === writer) {
      this.#ending = undefined;
      this.#limit = undefined;
    }
    return this.#writers.size === 0;
  }

  isFilledBy(writer: Writer): boolean {
    if (this.#limit === undefined || this.#writers.size > 1 || !this.#writers.has(writer)) return false;
    return freeNow(this.#path) < this.#limit;
  }

  async #look(): Promise<void> {
    this.#isLooking = true;
    while (this.#writers.size > 0) {
      const free = freeOf(await statfs(this.#path).catch(() => undefined));
      if (free !== undefined) this.#judge(free);
      const room = (free ?? Number.POSITIVE_INFINITY) - (this.#limit ?? 0);
      const ms = (room / FASTEST_PER_SECOND) * 1_000;
      await pause(Math.min(Math.max(ms, SHORTEST_MS), LONGEST_MS), undefined, { ref: false });
    }
    this.#isLooking = false;
  }

  #judge(free: number): void {
    if (free >= this.#floor) this.#limit = this.#floor;
    else if (this.#limit === undefined) this.#limit = free / 2;
    else if (free < this.#limit && this.#ending === undefined) this.#endOne();
  }

  #endOne(): void {
    const [first, ...others] = this.#writers;
    if (first === undefined) return;
    // To ask costs a look at all processes. Where nothing can be told, it is the newest.
    const most = others.length === 0 ? first : mostWritten([first, ...others]);
    this.#ending = most;
    most.end();
  }
}

function mostWritten(writers: readonly Writer[]): Writer {
  const sized = writers.map((writer) => ({ writer, bytes: writer.written() }));
  return sized.reduce((most, each) => (each.bytes >= most.bytes ? each : most)).writer;
}

function freeNow(path: string): number {
  try {
    return freeOf(statfsSync(path)) ?? Number.POSITIVE_INFINITY;
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}

/** Undefined where it cannot be told: the directory may be gone. */
function freeOf(found: StatsFs | undefined): number | undefined {
  if (found === undefined) return undefined;
  const bytes = found.bavail * found.bsize;
  // Some file systems have no fixed number of files, and give 0.
  return found.files === 0 ? bytes : Math.min(bytes, found.ffree * BYTES_PER_FILE);
}
