/** Where a team's servers may be: at public addresses by https, and at what whoever runs this Capybara allows by either. */
import { isIP } from 'node:net';
import { isAllowed, mayBeAllowed } from '../../allowed-hosts.ts';
import { whyNotPublic } from '../../public-address.ts';

const SETTING = 'mcp.allow (CAPYBARA_MCP_ALLOW)';
/** Never anything but this machine (RFC 6761 §6.3). */
const LOOPBACK_NAME = /(^|\.)localhost\.?$/i;
const LOOPBACK = ['127.0.0.1', '::1'];

/**
 * Why no server of a team can be at `url`, in a sentence; undefined where one may be, as far as that can be seen of it. What a name means is
 * looked at when a connection is made.
 */
export function refusedForTeam(url: URL, allow: readonly string[]): string | undefined {
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  const addresses = isIP(host) !== 0 ? [host] : LOOPBACK_NAME.test(host) ? LOOPBACK : [];
  if (addresses.length === 0 ? mayBeAllowed(host, allow) : isAnyAllowed(host, addresses, allow))
    return undefined;
  const why = addresses.map(whyNotPublic).find((each) => each !== undefined);
  if (why !== undefined)
    return `${host} belongs to ${why}: a team's MCP servers have public addresses, unless ${SETTING} names it.`;
  if (url.protocol === 'https:') return undefined;
  return `${host} would be reached without encryption: use https, unless ${SETTING} names it.`;
}

function isAnyAllowed(host: string, addresses: readonly string[], allow: readonly string[]): boolean {
  return addresses.some((address) => isAllowed({ host, address }, allow));
}
