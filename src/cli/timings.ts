/** What `--debug` tells of how long things took, on stderr. */
import type { ClientOptions } from '../client/client.ts';

/** For a client whose requests are told. */
export function toldRequests({ debug }: { readonly debug: boolean }): ClientOptions {
  if (!debug) return {};
  return {
    onRequest: ({ method, path, status, ms }) =>
      process.stderr.write(`debug: ${method} ${path} ${status ?? 'no answer'}, ${Math.round(ms)} ms\n`),
  };
}

/** `ownMs`: what a command took of all that its process did. */
export function tellTime(ownMs: number): void {
  const all = Math.round(performance.now());
  process.stderr.write(`debug: ${all} ms, of which the command took ${Math.round(ownMs)} ms\n`);
}
