/** How git is led to a repository, by the protocol of its URL. */
import { realpath, stat } from 'node:fs/promises';
import { isIP } from 'node:net';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { messageOf, UserError } from '../../core/errors.ts';
import type { RepositoryPolicy, RepositoryUrl } from '../../core/repository.ts';
import { checkLocalPath } from '../kinds.ts';
import { isWithin } from '../paths.ts';
import { keyFor, type RepositoryKey } from './credentials.ts';
import { type Gateway, openGateway, type Reach, refusePublic } from './gateway.ts';
import type { GitCall } from './git-command.ts';

export interface WayOptions {
  readonly policy: RepositoryPolicy;
  readonly keys: readonly RepositoryKey[];
  /** The private key for ssh: a path. */
  readonly sshKey?: string | undefined;
  /** The socket of the person's own ssh agent, on their own machine. */
  readonly sshAgent?: string | undefined;
  readonly dataDir: string;
  /** All that may come, in bytes. */
  readonly bytes: number;
  readonly idleMs: number;
  readonly reach: Reach;
}

export interface Way {
  /** What git is given. */
  readonly url: string;
  readonly call: Pick<GitCall, 'protocols' | 'settings' | 'environment'>;
  /** Options of `fetch` and `ls-remote`. */
  readonly options: readonly string[];
  readonly hasKey: boolean;
  readonly secrets: readonly string[];
  /** Where it leads by way of one. */
  readonly gateway?: Gateway;
}

/** Throws `UserError` where a directory of this machine cannot be used. The caller closes the gateway. */
export async function openWay(source: RepositoryUrl, options: WayOptions): Promise<Way> {
  switch (source.protocol) {
    case 'https':
    case 'http':
      return webWay(source, options);
    case 'ssh':
      return sshWay(source, options);
    case 'file':
      return fileWay(source, options);
  }
}

async function webWay(source: RepositoryUrl, options: WayOptions): Promise<Way> {
  const key = keyFor(options.keys, source);
  const gateway = await openGateway(options);
  const header = key && Buffer.from(`${key.user}:${key.secret}`).toString('base64');
  const settings = {
    ...gateway.settings,
    // A key is for the host that it was set for: it follows no redirect.
    'http.followRedirects': key === undefined ? 'initial' : 'false',
    ...(header === undefined ? {} : { 'http.extraHeader': `Authorization: Basic ${header}` }),
  };
  return {
    url: source.url,
    // Never from https to http.
    call: { protocols: source.protocol === 'https' ? 'https' : 'http:https', settings },
    options: [],
    hasKey: key !== undefined,
    secrets: [...(key === undefined ? [] : [key.secret]), ...(header === undefined ? [] : [header])],
    gateway,
  };
}

/** Nothing is asked, and no host is trusted that is not in known_hosts. */
const SSH_OPTIONS = [
  ...['BatchMode=yes', 'StrictHostKeyChecking=yes', 'ConnectTimeout=10', 'ServerAliveInterval=15'],
  ...['ServerAliveCountMax=4', 'ClearAllForwardings=yes', 'ControlMaster=no', 'ControlPath=none'],
];

/** Git connects by itself there: offline its host is looked up before, as it stands in the URL. */
async function sshWay(source: RepositoryUrl, options: WayOptions): Promise<Way> {
  const { policy, reach, sshKey, sshAgent } = options;
  if (!policy.online) refusePublic(source.host, await addressesOf(source.host, reach));

  const key = sshKey === undefined ? [] : ['-i', shellWord(sshKey), '-o', 'IdentitiesOnly=yes'];
  const command = ['ssh', '-T', ...SSH_OPTIONS.flatMap((option) => ['-o', option]), ...key].join(' ');
  const environment = {
    ...{ GIT_SSH_COMMAND: command, GIT_SSH_VARIANT: 'ssh' },
    ...(sshAgent === undefined ? {} : { SSH_AUTH_SOCK: sshAgent }),
  };
  return {
    ...{ url: source.url, call: { protocols: 'ssh', environment } },
    ...{ options: [], hasKey: sshKey !== undefined, secrets: [] },
  };
}

/** None of a name that nobody knows: ssh says it better. */
function addressesOf(host: string, { resolve }: Reach): Promise<readonly string[]> {
  const name = host.replace(/^\[(.*)\]$/, '$1');
  return isIP(name) === 0 ? resolve(name).catch(() => []) : Promise.resolve([name]);
}

function shellWord(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

async function fileWay(source: RepositoryUrl, options: WayOptions): Promise<Way> {
  const path = await directoryOf(source, options);
  return {
    url: pathToFileURL(path).href,
    call: { protocols: 'file' },
    // Whoever listed the directory, or owns the machine, trusts what is in it, whichever user it belongs to.
    options: ['--upload-pack=git -c safe.directory=* upload-pack'],
    ...{ hasKey: false, secrets: [] },
  };
}

/** Where it really is: a link in a listed directory leads out of it for nobody. */
async function directoryOf(
  source: RepositoryUrl,
  { policy, dataDir }: Pick<WayOptions, 'policy' | 'dataDir'>,
): Promise<string> {
  if (policy.own) return checkLocalPath(fileURLToPath(source.url), { dataDir });
  const path = await existing(source.url);
  const listed = policy.allowed.filter(({ protocol }) => protocol === 'file');
  const roots = await Promise.all(listed.map(({ url }) => existing(url).catch(() => undefined)));
  if (roots.some((root) => root !== undefined && isWithin(root, path))) return path;
  throw new UserError(
    'repository_not_allowed',
    `The repository ${source.url} leads out of the directories that are listed for repositories (CAPYBARA_GIT_ALLOW).`,
  );
}

async function existing(url: string): Promise<string> {
  const path = fileURLToPath(url);
  try {
    const real = await realpath(path);
    if ((await stat(real)).isDirectory()) return real;
  } catch (error) {
    throw new UserError(
      'repository_denied',
      `The repository ${path} cannot be opened (${messageOf(error)}); give a directory that exists.`,
    );
  }
  throw new UserError('repository_denied', `The repository ${path} is no directory.`);
}
