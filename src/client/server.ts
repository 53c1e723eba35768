/** Where a Capybara answers, and the key it wants. */
export interface Server {
  readonly url: string;
  readonly apiKey?: string | undefined;
}

export function hostOf({ url }: Server): string {
  return `The Capybara at ${new URL(url).origin}`;
}

/** The server may live under a path of its host. User and password are not for `fetch`, which would quote them. */
export function addressOf(server: Server, path: string): URL {
  const base = new URL(server.url);
  base.username = '';
  base.password = '';
  base.search = '';
  base.pathname = base.pathname.endsWith('/') ? base.pathname : `${base.pathname}/`;
  return new URL(path.slice(1), base);
}
