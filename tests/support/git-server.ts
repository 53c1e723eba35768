/** A real git remote over HTTP (`git http-backend`), which a test may let misbehave. */
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import type { Duplex } from 'node:stream';

export interface GitServer {
  readonly port: number;
  /** Below `http://127.0.0.1:PORT/`. */
  url(name: string): string;
  /** What came, in order: `GET /app.git/info/refs?service=git-upload-pack`. */
  readonly requests: readonly string[];
  /** The `Authorization` of each. */
  readonly authorizations: readonly (string | undefined)[];
  /** Decides about a request before git does; true: it was answered. */
  behave: (asked: IncomingMessage, answer: ServerResponse) => boolean | Promise<boolean>;
  close(): Promise<void>;
}

/** Serves the bare repositories below `root`, each under its path. */
export async function startGitServer(root: string): Promise<GitServer> {
  const requests: string[] = [];
  const authorizations: (string | undefined)[] = [];
  const sockets = new Set<Duplex>();
  const server = createServer(async (asked, answer) => {
    requests.push(`${asked.method} ${asked.url}`);
    authorizations.push(asked.headers.authorization);
    if (!(await running.behave(asked, answer))) serve(root, asked, answer);
  });
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const running: GitServer = {
    ...{ port, requests, authorizations },
    url: (name) => `http://127.0.0.1:${port}/${name}`,
    behave: () => false,
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
  return running;
}

/** git-http-backend(1), as a web server runs it (RFC 3875). */
function serve(root: string, asked: IncomingMessage, answer: ServerResponse): void {
  const { pathname, search } = new URL(asked.url ?? '', 'http://127.0.0.1');
  const header = (name: string) => [asked.headers[name] ?? ''].flat()[0] ?? '';
  const child = spawn('git', ['http-backend'], {
    env: {
      PATH: process.env.PATH,
      GIT_PROJECT_ROOT: root,
      GIT_HTTP_EXPORT_ALL: '1',
      GIT_CONFIG_NOSYSTEM: '1',
      PATH_INFO: decodeURIComponent(pathname),
      QUERY_STRING: search.slice(1),
      REQUEST_METHOD: asked.method,
      CONTENT_TYPE: header('content-type'),
      HTTP_CONTENT_ENCODING: header('content-encoding'),
      HTTP_GIT_PROTOCOL: header('git-protocol'),
      GIT_PROTOCOL: header('git-protocol'),
    },
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  child.stdin.on('error', () => undefined);
  asked.pipe(child.stdin);
  answer.once('close', () => child.kill());
  let head = Buffer.alloc(0);
  const onHead = (piece: Buffer) => {
    head = Buffer.concat([head, piece]);
    const end = head.indexOf('\r\n\r\n');
    if (end < 0) return;
    child.stdout.off('data', onHead);
    let status = 200;
    for (const line of head.subarray(0, end).toString().split('\r\n')) {
      const [, name = '', value = ''] = /^([^:]+): (.*)$/.exec(line) ?? [];
      if (name === 'Status') status = Number(value.split(' ')[0]);
      else if (name !== '') answer.setHeader(name, value);
    }
    answer.writeHead(status);
    answer.write(head.subarray(end + 4));
    child.stdout.pipe(answer);
  };
  child.stdout.on('data', onHead);
}

const IDENTITY = {
  GIT_AUTHOR_NAME: 'Ana',
  GIT_AUTHOR_EMAIL: 'ana@example.com',
  GIT_COMMITTER_NAME: 'Ana',
  GIT_COMMITTER_EMAIL: 'ana@example.com',
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_CONFIG_NOSYSTEM: '1',
};

/** Runs git in a directory; what it printed. */
export function git(cwd: string, ...args: readonly string[]): string {
  return gitWith(cwd, {}, args);
}

export function gitWith(
  cwd: string,
  { input, env = {} }: { readonly input?: string | Buffer; readonly env?: Record<string, string> },
  args: readonly string[],
): string {
  const options = {
    cwd,
    env: { PATH: process.env.PATH, ...IDENTITY, ...env },
    stdio: ['pipe', 'pipe', 'pipe'] as 'pipe'[],
    maxBuffer: 256 * 1024 * 1024,
  };
  return execFileSync('git', [...args], input === undefined ? options : { ...options, input })
    .toString()
    .trimEnd();
}

/** Writes files and commits them all; the commit's id. */
export function commit(work: string, files: Readonly<Record<string, string>>, message: string): string {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(work, name)), { recursive: true });
    writeFileSync(join(work, name), text);
  }
  git(work, 'add', '-A');
  git(work, 'commit', '-q', '--allow-empty', '-m', message);
  return git(work, 'rev-parse', 'HEAD');
}

export function bareOf(root: string, work: string, name: string): string {
  git(root, 'clone', '-q', '--mirror', work, name);
  return join(root, name);
}
