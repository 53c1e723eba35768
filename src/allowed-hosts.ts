/** Whether a list of what may be reached though it is private, as settings have them, names an address. */
import { BlockList, isIP } from 'node:net';

/** `allow`: hosts, addresses and ranges of addresses (`10.0.0.0/8`). `address`: what the host means now. */
export function isAllowed(
  { host, address }: { readonly host: string; readonly address: string },
  allow: readonly string[],
): boolean {
  const name = nameOf(host);
  return allow.some((entry) => nameOf(entry) === name || rangeOf(entry)?.(address) === true);
}

/** Whether any address of a host could be allowed, whatever its name means. */
export function mayBeAllowed(host: string, allow: readonly string[]): boolean {
  return allow.some((entry) => nameOf(entry) === nameOf(host) || rangeOf(entry) !== undefined);
}

function nameOf(host: string): string {
  return host.toLowerCase().replace(/\.$/, '');
}

/** Undefined of what is no address and no range of them. */
function rangeOf(entry: string): ((address: string) => boolean) | undefined {
  const [first = '', bits] = entry.split('/');
  const family = isIP(first);
  if (family === 0) return undefined;
  const [kind, whole] = family === 4 ? (['ipv4', 32] as const) : (['ipv6', 128] as const);
  const list = new BlockList();
  list.addSubnet(first, bits === undefined ? whole : Number(bits), kind);
  // An address of the other family is never within: a mapped one is not what was written down.
  return (address) => isIP(address) === family && list.check(address, kind);
}
