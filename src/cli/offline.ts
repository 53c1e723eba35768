import type { Config } from '../config.ts';
import { OFFLINE_RULE, UserError } from '../core/errors.ts';
import { isPublicHost, stayPrivate } from '../private-network.ts';

/** `--offline`: from now on. Git connects to what snapshots are shared in by itself, so that is refused here. */
export async function stayOffline({ snapshots = '' }: Pick<Config, 'snapshots'>): Promise<void> {
  stayPrivate();
  const host = hostOfRemote(snapshots);
  if (host === undefined || !(await isPublicHost(host))) return;
  throw new UserError(
    'offline',
    `CAPYBARA_SNAPSHOTS leads to ${host}, which has a public address, and ${OFFLINE_RULE}: leave out --offline, or set it to a directory.`,
    3,
  );
}

/** Of `scheme://host/path` and `user@host:path`; undefined of a directory. */
function hostOfRemote(remote: string): string | undefined {
  const url = /^(?!file:)[a-z][a-z+.-]*:\/\/(?:[^/@]*@)?(\[[^\]]*\]|[^/:]+)/i.exec(remote);
  const scp = /^(?:[^/@:]+@)?([^/:]+):(?!\/\/)/.exec(remote);
  return url?.[1] ?? scp?.[1];
}
