/**
 * Offline: this process connects to loopback and private addresses, and to no other, whoever asks for the connection: models, tools,
 * gateways of clones, webhooks, databases, the CLI itself.
 */
import { lookup } from 'node:dns/promises';
import { BlockList, isIP, Socket } from 'node:net';

const THIS_MACHINE = ['0.0.0.0/32', '127.0.0.0/8', '::/128', '::1/128'];
const PRIVATE = ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10', 'fc00::/7'];
const LOCAL_LINK = ['169.254.0.0/16', 'fe80::/10'];

/** Knows an IPv4 address also where it is written as one of IPv6 (`::ffff:10.0.0.1`). */
const allowed = new BlockList();
for (const range of [...THIS_MACHINE, ...PRIVATE, ...LOCAL_LINK]) {
  const [subnet = '', bits] = range.split('/');
  allowed.addSubnet(subnet, Number(bits), familyOf(subnet));
}

function familyOf(address: string): 'ipv4' | 'ipv6' {
  return isIP(address) === 4 ? 'ipv4' : 'ipv6';
}

/** `address` as the system writes it, with its zone or without. */
export function isPrivateAddress(address: string): boolean {
  const [bare = ''] = address.split('%');
  return isIP(bare) !== 0 && allowed.check(bare, familyOf(bare));
}

/** Whether a host, as a URL has it, leads to a public address; one that leads nowhere does not. */
export async function isPublicHost(host: string): Promise<boolean> {
  const name = host.replace(/^\[(.*)\]$/, '$1');
  const found = isIP(name) === 0 ? await lookup(name, { all: true }).catch(() => []) : [{ address: name }];
  return found.some(({ address }) => !isPrivateAddress(address));
}

class PublicAddresses extends BlockList {
  override check(address: unknown): boolean {
    return !isPrivateAddress(String(address));
  }
}

/**
 * From now on, in this thread and until it ends. Node looks at a socket's `blockList` right before it connects to an address, after a
 * name was resolved, so nothing lies between the look and the connection; what is refused fails with `ERR_IP_BLOCKED`. Returns what
 * ends it, for tests.
 */
export function stayPrivate(): () => void {
  const value = new PublicAddresses();
  Object.defineProperty(Socket.prototype, 'blockList', { value, configurable: true, writable: true });
  return () => void Reflect.deleteProperty(Socket.prototype, 'blockList');
}
