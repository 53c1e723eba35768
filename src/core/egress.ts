/** Which hosts a confined command may reach, where its agent's profile allows any. */

/** One entry of the list: `api.example.com`, `*.example.com`, `example.com:8443`, `private:registry.local:5000`. */
export interface EgressHost {
  /** In lower case: a name, `*.` and a name for all below it, or an address. */
  readonly host: string;
  /** Left out: 80 and 443. */
  readonly port?: number | undefined;
  /** Whether it may lie in a private network; a name that leads there without this is refused. */
  readonly isPrivate: boolean;
}

const WEB_PORTS: readonly number[] = [80, 443];
const ENTRY =
  /^(private:)?((?:\*\.)?[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*|\[[0-9a-f:.]+\])(?::(\d{1,5}))?$/;
const MAX_PORT = 65_535;

/** Undefined: it is none. */
export function parseEgressHost(text: string): EgressHost | undefined {
  const [, mark, name, digits] = ENTRY.exec(text.trim().toLowerCase()) ?? [];
  const port = digits === undefined ? undefined : Number(digits);
  if (name === undefined || port === 0 || (port ?? 1) > MAX_PORT) return undefined;
  const host = name.startsWith('[') ? name.slice(1, -1) : name;
  return { host, ...(port === undefined ? {} : { port }), isPrivate: mark !== undefined };
}

export function sayEgressHost({ host, port, isPrivate }: EgressHost): string {
  const name = host.includes(':') ? `[${host}]` : host;
  return `${isPrivate ? 'private:' : ''}${name}${port === undefined ? '' : `:${port}`}`;
}

/** The entry that lets a command reach this host at this port: the one that lets it into a private network, if there is one. */
export function egressTo(
  { host, port }: { readonly host: string; readonly port: number },
  allowed: readonly EgressHost[],
): EgressHost | undefined {
  const name = host.toLowerCase().replace(/\.$/, '');
  const fitting = allowed.filter((entry) => fits(name, entry.host) && portsOf(entry).includes(port));
  return fitting.find((entry) => entry.isPrivate) ?? fitting[0];
}

function portsOf({ port }: EgressHost): readonly number[] {
  return port === undefined ? WEB_PORTS : [port];
}

function fits(name: string, pattern: string): boolean {
  return pattern.startsWith('*.')
    ? name.endsWith(pattern.slice(1)) && name.length > pattern.length - 1
    : name === pattern;
}
