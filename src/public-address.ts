/**
 * Which addresses belong to the public internet. Of IPv4 all but what IANA's registry of special purposes sets apart; of IPv6
 * only global unicast (2000::/3), but for what is set apart there: so no form that carries an IPv4 address within
 * (mapped, compatible, translated, 6to4, Teredo) passes.
 */
import { BlockList, isIP } from 'node:net';

const SPECIAL_IPV4: readonly (readonly [kind: string, subnets: readonly string[]])[] = [
  ['this machine', ['0.0.0.0/8', '127.0.0.0/8']],
  ['a private network', ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16']],
  ["a provider's own network", ['100.64.0.0/10']],
  // With the metadata services of clouds, of which one has an address that looks public.
  ['the local link, or the metadata of a cloud', ['169.254.0.0/16', '168.63.129.16/32']],
  [
    'a range for protocols, documentation or tests',
    ['192.0.0.0/24', '192.0.2.0/24', '192.88.99.0/24', '198.18.0.0/15', '198.51.100.0/24', '203.0.113.0/24'],
  ],
  ['a group of machines, or reserved', ['224.0.0.0/4', '240.0.0.0/4']],
];

const GLOBAL_IPV6 = ['2000::/3'];
const SPECIAL_IPV6 = ['2001::/23', '2001:db8::/32', '2002::/16', '3fff::/20', '2620:4f:8000::/48'];

const ipv4 = SPECIAL_IPV4.map(([kind, subnets]) => ({ kind, list: listOf(subnets, 'ipv4') }));
const globalIpv6 = listOf(GLOBAL_IPV6, 'ipv6');
const specialIpv6 = listOf(SPECIAL_IPV6, 'ipv6');

function listOf(subnets: readonly string[], family: 'ipv4' | 'ipv6'): BlockList {
  const list = new BlockList();
  for (const subnet of subnets) {
    const [address = '', bits] = subnet.split('/');
    list.addSubnet(address, Number(bits), family);
  }
  return list;
}

/** What an address belongs to that is not public; undefined of one that is. `address` as the system writes it. */
export function whyNotPublic(address: string): string | undefined {
  switch (isIP(address)) {
    case 4:
      return ipv4.find(({ list }) => list.check(address, 'ipv4'))?.kind;
    case 6:
      if (address.includes('%')) return 'the local link';
      if (!globalIpv6.check(address, 'ipv6'))
        return 'this machine, a private network or another special range';
      return specialIpv6.check(address, 'ipv6') ? 'a range for protocols, documentation or tests' : undefined;
    default:
      return 'nothing that is an address';
  }
}
