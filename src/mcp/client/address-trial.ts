/** A server at an address, asked once what it offers: as a worker would, and with nothing of it left afterwards. */
import { NotSignedIn } from './access.ts';
import { bridgedTools, type LeftOut, leftOut } from './bridged-tool.ts';
import { Connection, type ConnectionOptions } from './connection.ts';
import { HiddenKeys } from './hidden-keys.ts';
import type { UrlServer } from './server.ts';
import { ServerGone } from './server-gone.ts';
import { UrlTransport, type UrlTransportOptions } from './url-transport.ts';

export interface WorkingServer {
  readonly ok: true;
  /** Until it had said what it offers. */
  readonly ms: number;
  /** As it calls itself. */
  readonly name: string;
  readonly version: string;
  /** As agents see them. One that is not asked about merely reads. */
  readonly tools: readonly { readonly name: string; readonly isAsked: boolean }[];
  readonly leftOut: readonly LeftOut[];
  /** Entries of its list that are no tools. */
  readonly refused: number;
}

export interface FailedAddress {
  readonly ok: false;
  readonly ms: number;
  /** Completes "the MCP server x …". */
  readonly why: string;
  /** A stranger's words. */
  readonly said: string | null;
  /** It lets in who has signed in, and nobody has, or for something else. */
  readonly isGuarded: boolean;
}

export interface AddressPlace
  extends UrlTransportOptions,
    Pick<ConnectionOptions, 'version' | 'connectMs' | 'callMs'> {
  readonly signal: AbortSignal;
}

/** Throws what the signal was aborted with. */
export async function tryAddress(
  server: string,
  settings: UrlServer,
  { signal, version, connectMs, callMs, access, ...transport }: AddressPlace,
): Promise<WorkingServer | FailedAddress> {
  const begunAt = performance.now();
  const sinceBegun = () => Math.round(performance.now() - begunAt);
  const keys = new HiddenKeys(settings);
  const connection = new Connection({
    open: () => new UrlTransport(settings, { ...transport, access: access && keys.noting(access) }),
    shown: (words) => keys.shown(words),
    roots: async () => [],
    ...{ version, connectMs, callMs },
  });
  try {
    const offer = await connection.tools(signal);
    const ms = sinceBegun();
    const tools = bridgedTools({ server, settings, connection: async () => connection }, offer);
    const shown = tools.map(({ name, effect }) => ({ name, isAsked: effect !== 'read' }));
    const { server: said, refused, tools: offered } = offer;
    return { ok: true, ms, ...said, tools: shown, leftOut: leftOut(settings, offered), refused };
  } catch (error) {
    if (!(error instanceof ServerGone)) throw error;
    const isGuarded = error instanceof NotSignedIn;
    return { ok: false, ms: sinceBegun(), why: error.message, said: error.errors ?? null, isGuarded };
  } finally {
    await connection.close();
  }
}
