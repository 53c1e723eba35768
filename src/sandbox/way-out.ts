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
/** Where a command finds the proxy, also in the sandbox of another library on Linux. */
export const PORT = 3128;
const RELAY = fileURLToPath(new URL(`./egress-relay${extname(import.meta.url)}`, import.meta.url));
/** What is on its own machine is reached without. */
const NO_PROXY = 'localhost,127.0.0.1,::1';

export interface WayOut {
  /** What runs the command, given behind it. */
  readonly wrapper: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Arguments of bwrap(1). */
  mounts(handed: Handed): string[];
  /** The same, by paths: for who may open all of them. */
  readonly binds: readonly { readonly from: string; readonly to: string; readonly isWritable: boolean }[];
  close(): Promise<void>;
}

export interface WayOutOptions {
  readonly hosts: readonly EgressHost[];
  readonly runner: Runner | undefined;
  /** Where the socket is made; the directory for temporary files where left out. */
  readonly directory?: string;
  /** Where it stands for the command. */
  readonly inside?: string;
}

export async function openWayOut(options: WayOutOptions): Promise<WayOut> {
  const { hosts, runner, directory = tmpdir(), inside = PLACE } = options;
  const egress = await openEgress({ directory, hosts, runner });
  const place = dirname(egress.socket);
  const relay = `relay.m${extname(RELAY).slice(1)}`;
  // Where files are to be mounted there must be some. Handed over open: their paths may be closed to whom the command runs as.
  for (const name of ['node', relay]) writeFileSync(join(place, name), '');
  const files = [process.execPath, RELAY].map((path) => openSync(path, 'r'));
  return {
    wrapper: [join(inside, 'node'), join(inside, relay), join(inside, basename(egress.socket)), `${PORT}`],
    env: proxyVariables(PORT),
    mounts: (handed) => [
      ...['--bind', place, inside],
      ...['node', relay].flatMap((name, index) => {
        const descriptor = handed.give(files[index] ?? -1);
        return ['--ro-bind', `/proc/self/fd/${descriptor}`, join(inside, name)];
      }),
    ],
    binds: [
      { from: place, to: inside, isWritable: true },
      { from: process.execPath, to: join(inside, 'node'), isWritable: false },
      { from: RELAY, to: join(inside, relay), isWritable: false },
    ],
    close: async () => {
      for (const file of files) closeSync(file);
      await egress.close();
    },
  };
}

/** By which programs find the proxy, on a port of what they take for their own machine. */
export function proxyVariables(port: number): Record<string, string> {
  const proxy = `http://127.0.0.1:${port}`;
  return Object.fromEntries(
    ['http_proxy', 'https_proxy', 'HTTP_PROXY', 'HTTPS_PROXY', 'all_proxy', 'ALL_PROXY']
      .map((name) => [name, proxy])
      .concat([
        ['no_proxy', NO_PROXY],
        ['NO_PROXY', NO_PROXY],
        ['NODE_USE_ENV_PROXY', '1'],
      ]),
  );
}
