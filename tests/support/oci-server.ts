/**
 * Oracle's generative AI service, as far as its callers see it: it checks the signature of each request with the caller's
 * public key (draft-cavage-http-signatures), and answers what it is told.
 */
import { createHash, createPublicKey, generateKeyPairSync, type KeyObject, verify } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { onTestFinished } from 'vitest';

let made: KeyObject | undefined;

/** Made once it is needed, which takes a moment. */
function privateKey(): KeyObject {
  made ??= generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
  return made;
}

export function ownPublicKey(): KeyObject {
  return createPublicKey(privateKey());
}

export function pem(passphrase?: string): string {
  const options = { type: 'pkcs8', format: 'pem' } as const;
  const cipher = passphrase === undefined ? {} : { cipher: 'aes-256-cbc', passphrase };
  return privateKey()
    .export({ ...options, ...cipher })
    .toString();
}

export const TENANCY = 'ocid1.tenancy.oc1..t';
export const PROFILE = `[DEFAULT]
user=ocid1.user.oc1..u
fingerprint=aa:bb
tenancy=${TENANCY}
region=us-chicago-1
key_file=key.pem
`;

/** A directory with a profile and its key, until the test ends. */
export async function profileAt(config = PROFILE, files: Record<string, string> = {}): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'capybara-oci-'));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  for (const [name, text] of Object.entries({ config, 'key.pem': pem(), ...files }))
    await writeFile(join(directory, name), text);
  return join(directory, 'config');
}

export interface SeenRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
  // biome-ignore lint/suspicious/noExplicitAny: a parsed body, which comes from the code under test
  readonly body: any;
  /** What the signature is made by; undefined where it does not fit the request. */
  readonly keyId: string | undefined;
}

export interface OciServer {
  readonly url: string;
  readonly requests: readonly SeenRequest[];
}

type Answer = (response: ServerResponse, request: SeenRequest) => void;

export async function serveOci(
  answer: Answer,
  publicKey: () => KeyObject = ownPublicKey,
): Promise<OciServer> {
  const requests: SeenRequest[] = [];
  const server = createServer(async (message, response) => {
    const bytes = await buffer(message);
    const { method = '', url = '', headers } = message;
    const body = bytes.length === 0 ? undefined : JSON.parse(bytes.toString());
    const seen = { method, url, headers, body, keyId: signerOf(message, bytes, publicKey()) };
    requests.push(seen);
    if (seen.keyId === undefined)
      return refuse(response, 401, 'NotAuthenticated', 'The required information…');
    return answer(response, seen);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(async () => {
    server.close();
    server.closeAllConnections();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, requests };
}

export function refuse(
  response: ServerResponse,
  status: number,
  ...[code, message, headers = {}]: [code: string, message: string, headers?: Record<string, string>]
): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(JSON.stringify({ code, message }));
}

/** An answer that streams. */
export function stream(response: ServerResponse, chunks: readonly unknown[]): void {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  response.end(chunks.map((chunk) => `data: ${JSON.stringify(chunk)}\n\n`).join(''));
}

const NEEDED: Readonly<Record<string, readonly string[]>> = {
  GET: ['x-date', '(request-target)', 'host'],
  POST: ['x-date', '(request-target)', 'host', 'content-type', 'content-length', 'x-content-sha256'],
};
const SKEW_MS = 5 * 60 * 1000;

function signerOf(message: IncomingMessage, body: Buffer, publicKey: KeyObject): string | undefined {
  const { method = '', url = '', headers } = message;
  const said = Object.fromEntries(
    [...(headers.authorization ?? '').matchAll(/(\w+)="([^"]*)"/g)].map(([, name, value]) => [name, value]),
  );
  const signed = String(said.headers).toLowerCase().split(' ');
  const digest = createHash('sha256').update(body).digest('base64');
  if (!(NEEDED[method] ?? []).every((name) => signed.includes(name))) return undefined;
  if (method === 'POST' && headers['x-content-sha256'] !== digest) return undefined;
  if (Math.abs(Date.parse(String(headers['x-date'])) - Date.now()) > SKEW_MS) return undefined;
  const text = signed
    .map(
      (name) => `${name}: ${name === '(request-target)' ? `${method.toLowerCase()} ${url}` : headers[name]}`,
    )
    .join('\n');
  const isRight = verify(
    'sha256',
    Buffer.from(text),
    publicKey,
    Buffer.from(String(said.signature), 'base64'),
  );
  return isRight && said.version === '1' && said.algorithm === 'rsa-sha256' ? said.keyId : undefined;
}
