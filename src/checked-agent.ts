/**
 * Connections to addresses that were checked. A name is resolved and each of its addresses checked when the connection is made,
 * and the connection goes to exactly an address that was checked: a name that means something else a moment later (DNS
 * rebinding) leads nowhere.
 */
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { Agent, buildConnector } from 'undici';

/** How names and machines are reached. Nothing but a test hands in another: no setting does. */
export interface Reach {
  /** All addresses of a name. */
  resolve(name: string): Promise<readonly string[]>;
  /** Connects to `hostname`, an address. */
  readonly connect: buildConnector.connector;
}

/** Where a connection is about to go: a host as it was asked for, without brackets, and one of its addresses. */
export interface Way {
  readonly host: string;
  readonly address: string;
  /** By TLS. */
  readonly isSecure: boolean;
}

/** Which ways may be gone; every address of a host is asked about, before any is connected to. */
export interface Check {
  /** Throws where that one may not. */
  way(way: Way): void;
  /** What is thrown where a name has no address. */
  nowhere(host: string): Error;
}

const CONNECT_MS = 5_000;
/** Of a name with many, the first that can be connected to is taken. */
const MOST_ADDRESSES = 4;

export function systemReach(): Reach {
  return {
    resolve: async (name) => (await lookup(name, { all: true })).map(({ address }) => address),
    connect: buildConnector({ timeout: CONNECT_MS }),
  };
}

/** The caller closes it. It has no cookies, no proxy, and follows no redirect. */
export function checkedAgent(reach: Reach, check: Check): Agent {
  return new Agent({
    connect: (options, callback) => {
      connectChecked(reach, check, options).then(
        (socket) => callback(null, socket),
        (error: Error) => callback(error, null),
      );
    },
  });
}

type Socket = NonNullable<Parameters<buildConnector.Callback>[1]>;

async function connectChecked(reach: Reach, check: Check, options: buildConnector.Options): Promise<Socket> {
  const to = { host: options.hostname, isSecure: options.protocol === 'https:' };
  let failure: unknown;
  for (const address of (await checkedAddresses(reach, check, to)).slice(0, MOST_ADDRESSES)) {
    try {
      return await connected(reach.connect, { ...options, hostname: address });
    } catch (error) {
      failure = error;
    }
  }
  throw failure;
}

function connected(connect: buildConnector.connector, options: buildConnector.Options): Promise<Socket> {
  return new Promise((resolve, reject) => {
    // Where it fails it is called with the error alone, whatever its type says.
    connect(options, (error, socket) => (error ? reject(error) : resolve(socket as Socket)));
  });
}

/** The addresses that a host means. Throws what `check` does. */
async function checkedAddresses(
  reach: Pick<Reach, 'resolve'>,
  check: Check,
  to: Omit<Way, 'address'>,
): Promise<readonly string[]> {
  const host = to.host.replace(/^\[(.*)\]$/, '$1');
  const addresses = isIP(host) === 0 ? await reach.resolve(host).catch(() => []) : [host];
  if (addresses.length === 0) throw check.nowhere(host);
  for (const address of addresses) check.way({ ...to, host, address });
  return addresses;
}

/** For what hears no signal, such as a name that is being resolved. */
export async function raced<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const onAbort = () => aborted.reject(signal.reason);
  if (signal.aborted) onAbort();
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', onAbort);
    work.catch(() => undefined);
    aborted.promise.catch(() => undefined);
  }
}
