/**
 * Connections to the public internet alone. A name is resolved and each of its addresses checked when the connection is made,
 * and the connection goes to exactly an address that was checked: a name that means something else a moment later (DNS
 * rebinding) leads nowhere.
 */
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { Agent, buildConnector } from 'undici';
import { whyNotPublic } from '../../public-address.ts';
import { WebError } from './web-error.ts';

/** How names and machines are reached. Nothing but a test hands in another: no setting does. */
export interface Reach {
  /** All addresses of a name. */
  resolve(name: string): Promise<readonly string[]>;
  /** Connects to `hostname`, an address. */
  readonly connect: buildConnector.connector;
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
export function publicAgent(reach: Reach): Agent {
  return new Agent({
    connect: (options, callback) => {
      connectPublic(reach, options).then(
        (socket) => callback(null, socket),
        (error: Error) => callback(error, null),
      );
    },
  });
}

type Socket = NonNullable<Parameters<buildConnector.Callback>[1]>;

async function connectPublic(reach: Reach, options: buildConnector.Options): Promise<Socket> {
  let failure: unknown;
  for (const address of (await publicAddresses(reach, options.hostname)).slice(0, MOST_ADDRESSES)) {
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

/** The addresses that a host means; throws `WebError` where it has none, or any that is not public. */
export async function publicAddresses(
  reach: Pick<Reach, 'resolve'>,
  host: string,
): Promise<readonly string[]> {
  const name = host.replace(/^\[(.*)\]$/, '$1');
  const addresses = isIP(name) === 0 ? await resolved(reach, name) : [name];
  for (const address of addresses) {
    const why = whyNotPublic(address);
    if (why === undefined) continue;
    throw new WebError(
      `'${name}' belongs to ${why}; only public addresses are fetched. For a server of the workspace, use bash.`,
    );
  }
  return addresses;
}

async function resolved(reach: Pick<Reach, 'resolve'>, name: string): Promise<readonly string[]> {
  const addresses = await reach.resolve(name).catch(() => []);
  if (addresses.length > 0) return addresses;
  throw new WebError(`there is no address for '${name}': check the spelling, or whether it exists.`);
}
