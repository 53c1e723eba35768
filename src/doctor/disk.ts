import { statfsSync } from 'node:fs';
import { isAbsolute } from 'node:path';
import type { Config } from '../config.ts';
import { type Check, nearestPlace } from './check.ts';

const MIB = 1024 ** 2;
/** A first start of the embedded Postgres takes about 60 MiB. */
const LEAST_MIB = 256;
/** Of what must stay free: below that, little work is left to do. */
const SCARCE = 4;

export interface Space {
  readonly freeMib: number;
  /** Files that can still be made; undefined of a file system that has no end to them. */
  readonly freeFiles?: number;
}

/** Whether there is room where Capybara writes. */
export function disks(config: Pick<Config, 'dataDir' | 'snapshots' | 'commands'>): Check[] {
  const { dataDir, snapshots, commands } = config;
  const shared = snapshots !== undefined && isAbsolute(snapshots) ? [snapshots] : [];
  const least = Math.max(commands.freeMib, LEAST_MIB);
  return [
    judgeSpace('disk', { path: dataDir, space: spaceOf(dataDir), least, setting: 'CAPYBARA_DATA_DIR' }),
    ...shared.map((path) =>
      judgeSpace('disk of shared snapshots', {
        ...{ path, space: spaceOf(path), least, setting: 'CAPYBARA_SNAPSHOTS' },
      }),
    ),
  ];
}

function spaceOf(path: string): Space {
  const { bavail, bsize, files, ffree } = statfsSync(nearestPlace(path));
  const freeMib = Math.floor((bavail * bsize) / MIB);
  return files === 0 ? { freeMib } : { freeMib, freeFiles: ffree };
}

interface Place {
  readonly path: string;
  readonly space: Space;
  /** MiB that must stay free. */
  readonly least: number;
  readonly setting: string;
}

export function judgeSpace(name: string, { path, space, least, setting }: Place): Check {
  const { freeMib, freeFiles } = space;
  const cure = `remove what is not needed there, or set ${setting} to a place on a larger disk`;
  if (freeFiles !== undefined && freeFiles < 1_000)
    return { name, state: 'wrong', found: `only ${freeFiles} more files can be made at ${path}`, cure };
  const found = `${shownSize(freeMib)} free at ${path}`;
  if (freeMib < least)
    return { name, state: 'wrong', found: `only ${found}, and ${shownSize(least)} have to be`, cure };
  if (freeMib < least * SCARCE) return { name, state: 'warning', found: `only ${found}`, cure };
  return { name, state: 'ok', found };
}

function shownSize(mib: number): string {
  return mib < 10_240 ? `${mib} MiB` : `${Math.floor(mib / 1024)} GiB`;
}
