/** Oracle's library, by which its cloud is signed in to. It takes long to load and is not needed by most: it may be absent. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { messageOf } from '../core/errors.ts';
import { fields, KnownFailure } from './report.ts';

export type OciSdk = typeof import('oci-common');

/** What `npm install` brings where nothing else is asked for. */
const PACKAGE = 'oci-common@2.142.0';

let loaded: Promise<OciSdk> | undefined;

/** `load` is another's in tests. Throws `KnownFailure` where it is not installed. */
export async function ociSdk(load = loadOnce): Promise<OciSdk> {
  try {
    return await load();
  } catch (error) {
    const isAbsent = fields(error).code === 'ERR_MODULE_NOT_FOUND';
    const found = isAbsent ? 'is not installed' : `does not load (${messageOf(error)})`;
    const message = `Oracle's cloud is signed in to by the package oci-common, which ${found}: npm install ${PACKAGE}.`;
    throw new KnownFailure({ kind: 'terminal', code: 'missing_package', message });
  }
}

async function loadOnce(): Promise<OciSdk> {
  loaded ??= import('oci-common');
  try {
    return await loaded;
  } catch (error) {
    loaded = undefined;
    throw error;
  }
}

const quiet = new AsyncLocalStorage<true>();
const WORDS = ['log', 'info', 'warn'] as const;
let isHeld = false;

/**
 * Runs what asks the library for something. It tells the console of its tries and of regions that it does not know, which
 * would stand in the middle of a command's output; only what is said from here is left out.
 */
export function quietly<T>(act: () => Promise<T>): Promise<T> {
  if (!isHeld) holdConsole();
  return quiet.run(true, act);
}

function holdConsole(): void {
  isHeld = true;
  for (const word of WORDS) {
    const say = console[word].bind(console);
    console[word] = (...said: unknown[]) => {
      if (quiet.getStore() === undefined) say(...said);
    };
  }
}
