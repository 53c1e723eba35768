import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  realpathSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createBubblewrapSandbox } from '../../src/sandbox/bubblewrap.ts';
import { probeBubblewrap } from '../../src/sandbox/probes.ts';
import { UNPRIVILEGED } from '../../src/sandbox/runner.ts';
import type { LeasedSandbox } from '../../src/sandbox/sandbox.ts';
import type { Profile } from '../../src/sandbox/view.ts';

const probe = await probeBubblewrap(process.env);

/** The path of a bwrap that works here; undefined where there is none, which is said once for each file that asks. */
export const bubblewrap: string | undefined = probe.works ? probe.program : undefined;

if (!probe.works) console.warn(`Tests of bubblewrap are skipped: ${probe.found}; ${probe.cure}.`);

/** A sandbox as one's own machine has it, with its guard. */
export function openBubblewrap(options: { readonly leaseMs?: number } = {}): LeasedSandbox {
  return createBubblewrapSandbox({
    ...{ environment: process.env, profile: 'local', program: bubblewrap ?? '', killGraceMs: 100 },
    ...options,
  });
}

export interface SandboxPlace {
  /** To be removed. */
  readonly path: string;
  readonly workspace: string;
  readonly scratch: string;
}

/** A workspace as a worker would make it for this profile, and a place for its scratch directory. */
export function makePlace(profile: Profile): SandboxPlace {
  const path = realpathSync(mkdtempSync(join(tmpdir(), 'capybara-sandbox-')));
  const workspace = join(path, 'workspace');
  mkdirSync(workspace);
  if (process.getuid?.() === 0 && profile === 'strict') {
    chmodSync(path, 0o711);
    chownSync(workspace, UNPRIVILEGED.uid, UNPRIVILEGED.gid);
  }
  return { path, workspace, scratch: join(path, 'scratch') };
}

/** The pids that run in a directory or below it, in whatever namespace. */
export function pidsIn(path: string): string[] {
  return readdirSync('/proc').filter((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      return `${readlinkSync(`/proc/${pid}/cwd`)}/`.startsWith(`${path}/`);
    } catch {
      return false;
    }
  });
}
