import http from 'node:http';
import https from 'node:https';
import { Agent, getGlobalDispatcher, setGlobalDispatcher } from 'undici';
import type { Config } from '../config.ts';
import { OFFLINE_RULE, UserError } from '../core/errors.ts';
import { isPublicHost, stayPrivate } from '../private-network.ts';

/** `--offline`: from now on. Git connects to what snapshots are shared in by itself, so that is refused here. */
export async function stayOffline({ snapshots = '' }: Pick<Config, 'snapshots'>): Promise<void> {
  stayPrivate();
  leaveProxies();
  const host = hostOfRemote(snapshots);
  if (host === undefined || !(await isPublicHost(host))) return;
  throw new UserError(
    'offline',
    `CAPYBARA_SNAPSHOTS leads to ${host}, which has a public address, and ${OFFLINE_RULE}: leave out --offline, or set it to a directory.`,
    3,
  );
}

/**
 * From now on no request goes by a proxy that `NODE_USE_ENV_PROXY` or `--use-env-proxy` has Node ask: one on this machine would be allowed, and would
 * go out for us. Returns what ends it, for tests.
 */
export function leaveProxies(): () => void {
  const before = { dispatcher: getGlobalDispatcher(), http: http.globalAgent, https: https.globalAgent };
  setGlobalDispatcher(new Agent());
  // As Node makes its own where it is told of no proxy.
  const options = { keepAlive: true, scheduling: 'lifo', timeout: 5_000 } as const;
  http.globalAgent = new http.Agent(options);
  https.globalAgent = new https.Agent(options);
  return () => {
    setGlobalDispatcher(before.dispatcher);
    http.globalAgent = before.http;
    https.globalAgent = before.https;
  };
}

/** Of `scheme://host/path` and `user@host:path`; undefined of a directory. */
function hostOfRemote(remote: string): string | undefined {
  const url = /^(?!file:)[a-z][a-z+.-]*:\/\/(?:[^/@]*@)?(\[[^\]]*\]|[^/:]+)/i.exec(remote);
  const scp = /^(?:[^/@:]+@)?([^/:]+):(?!\/\/)/.exec(remote);
  return url?.[1] ?? scp?.[1];
}
