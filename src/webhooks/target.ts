/**
 * Where webhooks may be sent: to public addresses by https, and to what an administrator allows by either. Literal addresses are
 * refused when a webhook is made, and so are names that nothing could be sent to whatever they mean; the addresses of other names
 * when a connection is, since they may be others by then.
 */
import { isIP } from 'node:net';
import { isAllowed, mayBeAllowed } from '../allowed-hosts.ts';
import type { Way } from '../checked-agent.ts';
import { MAX_WEBHOOK_URL_LENGTH } from '../core/webhook.ts';
import { whyNotPublic } from '../public-address.ts';

/** Why nothing was sent, or may be, in a sentence for a person. */
export class TargetError extends Error {
  override readonly name = 'TargetError';
}

export interface TargetPolicy {
  /** Hosts, addresses and ranges of addresses (`10.0.0.0/8`) that may be private, and sent to without TLS. */
  readonly allow: readonly string[];
  /** False: of what `allow` names only private addresses are contacted. */
  readonly online: boolean;
}

const PROTOCOLS = ['http:', 'https:'];
const SETTING = 'webhooks.allow (CAPYBARA_WEBHOOKS_ALLOW)';

/** The URL that may be sent to, as far as that can be seen of it. Throws `TargetError`. */
export function readTarget(text: string, policy: TargetPolicy): URL {
  const url = URL.parse(text);
  if (url === null || !PROTOCOLS.includes(url.protocol))
    throw new TargetError(
      `${JSON.stringify(text.slice(0, 80))} is no address to send to: expected https://host/path.`,
    );
  if (url.username !== '' || url.password !== '')
    throw new TargetError(
      'The URL holds a user name or a password: leave them out, deliveries are signed instead.',
    );
  url.hash = '';
  checkLength(url);
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  const to = { host, isSecure: url.protocol === 'https:' };
  if (url.port === '0') throw new TargetError('Nothing listens at port 0: expected 1 to 65535, or none.');
  if (isIP(host) !== 0) checkWay({ ...to, address: host }, policy);
  else if (!HOST_NAME.test(host)) throw noHostName(host);
  else if (LOOPBACK_NAME.test(host)) checkAny(LOOPBACK, to, policy);
  else checkName(to, policy);
  return url;
}

/** As it is sent: what is no ASCII takes up to nine characters there. */
function checkLength({ href }: URL): void {
  if (href.length <= MAX_WEBHOOK_URL_LENGTH) return;
  throw new TargetError(
    `The URL has ${href.length} characters as it is sent; expected at most ${MAX_WEBHOOK_URL_LENGTH}.`,
  );
}

/** Of what the DNS could know (RFC 1035 §2.3.4), in ASCII as `URL` has it: labels of 1 to 63 characters, 253 in all, and a dot at the end at most. */
const HOST_NAME = /^(?=.{1,253}\.?$)([^.]{1,63}\.)*[^.]{1,63}\.?$/;

function noHostName(host: string): TargetError {
  return new TargetError(
    `${JSON.stringify(host.slice(0, 80))} is no name of a host: expected labels of 1 to 63 characters with a dot between them, 253 in all.`,
  );
}

/** Never anything but this machine (RFC 6761 §6.3). */
const LOOPBACK_NAME = /(^|\.)localhost\.?$/i;
const LOOPBACK = ['127.0.0.1', '::1'];

/** Throws `TargetError` where none of these may be sent to. */
function checkAny(
  [address = '', ...more]: readonly string[],
  to: Omit<Way, 'address'>,
  policy: TargetPolicy,
): void {
  try {
    checkWay({ ...to, address }, policy);
  } catch (error) {
    if (more.length === 0) throw error;
    checkAny(more, to, policy);
  }
}

/** Of a name, whatever it means: throws `TargetError` where no address of it could be sent to. */
function checkName({ host, isSecure }: Omit<Way, 'address'>, { allow, online }: TargetPolicy): void {
  if (mayBeAllowed(host, allow)) return;
  if (!online) throw offline();
  if (!isSecure) throw unencrypted(host);
}

/** Throws `TargetError` where nothing may be sent that way. */
export function checkWay({ host, address, isSecure }: Way, policy: TargetPolicy): void {
  const why = whyNotPublic(address);
  if (why === undefined && !policy.online) throw offline();
  if (isAllowed({ host, address }, policy.allow)) return;
  if (why !== undefined)
    throw new TargetError(
      `${host} belongs to ${why}: webhooks go to public addresses, unless ${SETTING} names it.`,
    );
  if (!isSecure) throw unencrypted(host);
}

function offline(): TargetError {
  return new TargetError(
    `This Capybara is offline: it sends only to private addresses, those that ${SETTING} names.`,
  );
}

function unencrypted(host: string): TargetError {
  return new TargetError(
    `${host} would be sent to without encryption: use https, unless ${SETTING} names it.`,
  );
}
