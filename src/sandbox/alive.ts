/**
 * A pipe with a name that is open as long as its process lives, however that ends. Who reads from it, in a container too, finds its end
 * in that moment. Nobody else can open it to write, not even its owner without root's privileges, so nobody can keep it open.
 */
import { execFileSync } from 'node:child_process';
import { chmodSync, closeSync, constants, openSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { isOver, processName } from './containers.ts';

const BEGINNING = 'alive-';

export interface Alive {
  readonly path: string;
  close(): void;
}

/** In a directory where those of processes that are gone are removed. */
export function openAlive(directory: string): Alive {
  for (const name of readdirSync(directory)) {
    const [, owner] = name.split(BEGINNING);
    if (owner !== undefined && isOver(owner.replaceAll('_', '/').replace(/\.\d+$/, '')))
      rmSync(join(directory, name), { force: true });
  }
  opened += 1;
  const path = join(directory, `${BEGINNING}${processName().replaceAll('/', '_')}.${opened}`);
  execFileSync('mkfifo', ['-m', '600', path]);
  // To open one end alone waits for the other.
  const both = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
  chmodSync(path, 0o444);
  return {
    path,
    close() {
      closeSync(both);
      rmSync(path, { force: true });
    },
  };
}

let opened = 0;
