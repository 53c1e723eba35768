/**
 * Wraps commands by @anthropic-ai/sandbox-runtime, in a process of its own: the library holds one configuration per process, and
 * reads its environment, home and working directory, which are not to be the worker's. Started by `runtime-wrapper.ts`.
 *
 * Reads lines of JSON: first a `Setup`, which it answers with the library's version; then `Order`s, each answered with the words that run the command,
 * and `{ "done": true }` when such a command has ended. `{ "error": … }` answers what cannot be done. The end of its input, which
 * is that of its worker, is its own: nothing of an agent runs in it or is started by it.
 */
import { readFileSync, rmSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { SandboxManager, type SandboxRuntimeConfig } from '@anthropic-ai/sandbox-runtime';
import { messageOf } from '../core/errors.ts';
import type { FileRules } from './runtime-view.ts';

export interface Setup {
  /** Of ripgrep, and of bwrap(1) and socat(1) on Linux: absolute. */
  readonly programs: { readonly rg: string; readonly bwrap?: string; readonly socat?: string };
  /** Where the proxy listens that leads out; left out, nothing does. */
  readonly proxyPort?: number;
}

export interface Order {
  /** For `sh -c`, in the sandbox. */
  readonly text: string;
  readonly files: FileRules;
}

export type Answer = Told | { readonly error: string };

export interface Told {
  readonly argv?: readonly string[];
  /** Of the library. */
  readonly version?: string;
}

/** On Linux, what the library needs in the sandbox: the program that begins each command, and the sockets to its proxy. */
const NEEDED = [inLibrary('../vendor/seccomp'), process.cwd()].map((path) => ({
  path,
  literal: true as const,
}));

/** Nothing is allowed here: the proxy decides, and there may be none. */
const NO_HOSTS = { allowedDomains: [], deniedDomains: [] };
const NO_FILES = { denyRead: [], allowRead: [], allowWrite: [], denyWrite: [] };

async function setUp({ programs: { rg, bwrap, socat }, proxyPort }: Setup): Promise<Answer> {
  const config: SandboxRuntimeConfig = {
    // One port for both of the library's ways: what speaks SOCKS to it is refused by the proxy, which decides by more than names.
    network: { ...NO_HOSTS, ...(proxyPort && { httpProxyPort: proxyPort, socksProxyPort: proxyPort }) },
    filesystem: NO_FILES,
    ripgrep: { command: rg },
    ...(bwrap && { bwrapPath: bwrap }),
    ...(socat && { socatPath: socat }),
  };
  if (proxyPort === undefined) SandboxManager.updateConfig(config);
  else await SandboxManager.initialize(config);
  return { version: JSON.parse(readFileSync(inLibrary('../package.json'), 'utf8')).version };
}

/** A path beside the library's own code. */
function inLibrary(path: string): string {
  return fileURLToPath(new URL(path, import.meta.resolve('@anthropic-ai/sandbox-runtime')));
}

async function wrap({ text, files }: Order): Promise<Answer> {
  const { denyRead, allowRead, allowWrite, denyWrite } = files;
  const filesystem = {
    ...{ denyRead: [...denyRead], allowRead: [...allowRead, ...NEEDED] },
    ...{ allowWrite: [...allowWrite], denyWrite: [...denyWrite] },
  };
  const { argv } = await SandboxManager.wrapWithSandboxArgv(text, '/bin/sh', {
    network: NO_HOSTS,
    filesystem,
  });
  return { argv };
}

function obey(line: string): Promise<Answer> | undefined {
  const said = JSON.parse(line) as Setup | Order | { readonly done: true };
  if ('programs' in said) return setUp(said);
  if ('text' in said) return wrap(said);
  SandboxManager.cleanupAfterCommand();
  return undefined;
}

for await (const line of createInterface({ input: process.stdin })) {
  const answer = await obey(line)?.catch((error: unknown) => ({ error: messageOf(error) }));
  if (answer) process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await SandboxManager.reset();
// Its own place: whoever made it may be dead.
rmSync(process.cwd(), { recursive: true, force: true });
process.exit(0);
