/** What scenes come to undisturbed: read once in a run of the tests, by whichever file comes to a scene first. */
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { inject } from 'vitest';
import { messageOf } from '../../src/core/errors.ts';
import { type Reading, read } from './play.ts';
import type { Scene } from './scenes.ts';

/** Much of a scene is waiting; two files read at the same time. */
const AT_ONCE = 2;
/** For a scene that another file reads. */
const PATIENCE_MS = 120_000;
const LOOK_MS = 50;

/** A file of the run: what was read, or why it could not be. */
type Kept = Omit<Reading, 'scene'> | { readonly failure: string };

/** All scenes, undisturbed, on the queue that every place has. */
export async function readAll(scenes: readonly Scene[]): Promise<Reading[]> {
  const readings: Reading[] = [];
  // What another file has begun comes last: this one does not stand about.
  const begun: (readonly [number, Scene])[] = [];
  const next = scenes.entries();
  const readOn = async () => {
    for (const [index, scene] of next)
      if (isFirstAt(scene)) readings[index] = await readAndKeep(scene);
      else begun.push([index, scene]);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, readOn));
  for (const [index, scene] of begun) readings[index] = await keptReading(scene);
  return readings;
}

/** True for one file of the run. */
function isFirstAt(scene: Scene): boolean {
  mkdirSync(join(inject('runTmpDir'), 'readings'), { recursive: true });
  try {
    mkdirSync(placeOf(scene));
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    return false;
  }
}

async function readAndKeep(scene: Scene): Promise<Reading> {
  try {
    const { outcome, trace } = await read({ kind: 'postgres' }, scene);
    keep(scene, { outcome, trace });
  } catch (error) {
    keep(scene, { failure: messageOf(error) });
    throw error;
  }
  return keptReading(scene);
}

function keep(scene: Scene, kept: Kept): void {
  const unfinished = join(placeOf(scene), 'unfinished');
  writeFileSync(unfinished, JSON.stringify(kept));
  renameSync(unfinished, fileOf(scene));
}

async function keptReading(scene: Scene): Promise<Reading> {
  const giveUpAt = performance.now() + PATIENCE_MS;
  while (!existsSync(fileOf(scene))) {
    if (performance.now() > giveUpAt) throw new Error(`nobody has read '${scene.name}' to its end`);
    await delay(LOOK_MS);
  }
  const kept = JSON.parse(readFileSync(fileOf(scene), 'utf8')) as Kept;
  if ('failure' in kept) throw new Error(`'${scene.name}', undisturbed: ${kept.failure}`);
  return { scene, ...kept };
}

function placeOf({ name }: Scene): string {
  return join(inject('runTmpDir'), 'readings', name);
}

function fileOf(scene: Scene): string {
  return join(placeOf(scene), 'reading.json');
}
