/** What a confined command that may reach some hosts gets beside the rest: the proxy's socket, and the relay that leads to it. */
import { closeSync, openSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { EgressHost } from '../core/egress.ts';
import { openEgress } from './egress.ts';
import type { Handed } from './handed.ts';
import type { Runner } from './runner.ts';

/** In the sandbox. */
const PLACE = '/tmp/.capybara-egress';
const PORT = 3128;
const RELAY = fileURLToPath(new URL(`./egress-relay${extname(import.meta.url)}`, import.meta.url));
const PROXY = `http://127.0.0.1:${PORT}`;
/** What is on its own machine is reached without. */
const NO_PROXY = 'localhost,127.0.0.1,::1';

export interface WayOut {
  /** What runs the command, given behind it. */
  readonly wrapper: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Arguments of bwrap(1). */
  mounts(handed: Handed): string[];
  close(): Promise<void>;
}

export async function openWayOut(hosts: readonly EgressHost[], runner: Runner | undefined): Promise<WayOut> {
  const egress = await openEgress({ directory: tmpdir(), hosts, runner });
  const place = dirname(egress.socket);
  const relay = `relay.m${extname(RELAY).slice(1)}`;
  // Where files are to be mounted there must be some. Handed over open: their paths may be closed to whom the command runs as.
  for (const name of ['node', relay]) writeFileSync(join(place, name), '');
  const files = [process.execPath, RELAY].map((path) => openSync(path, 'r'));
  return {
    wrapper: [join(PLACE, 'node'), join(PLACE, relay), join(PLACE, basename(egress.socket)), `${PORT}`],
    env: Object.fromEntries(
      ['http_proxy', 'https_proxy', 'HTTP_PROXY', 'HTTPS_PROXY', 'all_proxy', 'ALL_PROXY']
        .map((name) => [name, PROXY])
        .concat([
          ['no_proxy', NO_PROXY],
          ['NO_PROXY', NO_PROXY],
          ['NODE_USE_ENV_PROXY', '1'],
        ]),
    ),
    mounts: (handed) => [
      ...['--bind', place, PLACE],
      ...['node', relay].flatMap((name, index) => {
        const descriptor = handed.give(files[index] ?? -1);
        return ['--ro-bind', `/proc/self/fd/${descriptor}`, join(PLACE, name)];
      }),
    ],
    close: async () => {
      for (const file of files) closeSync(file);
      await egress.close();
    },
  };
}
