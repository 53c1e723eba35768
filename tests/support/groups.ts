/** A place for control groups of tests: with limits where this process may set them, else such as only end what is in them. */
import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import {
  type Controller,
  enable,
  findGroupPlace,
  groupsSentence,
  prepareGroupPlace,
} from '../../src/sandbox/group-place.ts';
import { type GroupLimits, Groups, removeEmptyGroup } from '../../src/sandbox/groups.ts';

const LIMITED: readonly Controller[] = ['memory', 'pids'];
const limited = findGroupPlace(LIMITED);
const found = limited.works ? limited : findGroupPlace([]);

/** Whether groups have limits here. */
export const limitsGroups = limited.works;
/** Whether there can be groups at all. */
export const hasGroups = found.works;
export const controllers = limitsGroups ? LIMITED : [];

if (!found.works) console.warn(`Tests of control groups are skipped: ${found.found}; ${found.cure}.`);
else if (!limited.works) console.warn(`Tests of their limits are skipped. ${groupsSentence(limited)}`);

export interface GroupBase {
  readonly path: string;
  open(limits?: Partial<GroupLimits>): Promise<Groups>;
  /** The groups in it. */
  list(): string[];
  remove(): void;
}

export async function makeGroupBase(): Promise<GroupBase> {
  if (!found.works) throw new Error(found.found);
  await prepareGroupPlace(found.base, controllers);
  const path = join(found.base, `test-${randomBytes(6).toString('hex')}`);
  mkdirSync(path);
  await enable(path, controllers);
  const list = () =>
    readdirSync(path, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? [entry.name] : []));
  return {
    ...{ path, list },
    open: (limits = {}) =>
      Groups.open(path, { memoryBytes: 1024 ** 3, processes: 1_000, ...limits }, controllers),
    remove: () => {
      for (const name of list()) removeEmptyGroup(join(path, name));
      rmdirSync(path);
    },
  };
}
