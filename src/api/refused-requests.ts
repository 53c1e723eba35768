/**
 * What Node refuses before any route is asked, which it would answer without a body: a problem like all others, and the connection ends, since
 * nobody knows where the next request on it begins.
 */
import {
  type IncomingMessage,
  maxHeaderSize,
  type Server,
  type ServerResponse,
  STATUS_CODES,
} from 'node:http';
import type { Duplex } from 'node:stream';
import { ApiProblem, PROBLEM_JSON, problemOf } from './problem.ts';

/** How long a client has to read why, in milliseconds: a connection that is cut while it still sends loses what was answered. */
const LINGER_MS = 1_000;

/** `inHand`: the answers that are owed on a connection, in their order. What was asked well is answered before the connection ends. */
export function answerRefused(server: Server, inHand: (socket: Duplex) => readonly ServerResponse[]): void {
  const parting = new WeakSet<Duplex>();
  const refuse = (socket: Duplex, problem: ApiProblem) => {
    // What comes behind it is refused as well, and is answered by now.
    if (socket.writableEnded || parting.has(socket)) return;
    parting.add(socket);
    const owed = inHand(socket);
    if (!socket.writable || owed.some(isUnderWay)) socket.destroy();
    else
      part(socket, { problem, last: owed.findLast(({ req, headersSent }) => req.complete || headersSent) });
  };
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => refuse(socket, unreadable(error.code)));
  server.on('connect', (_request, socket) => {
    socket.on('error', () => socket.destroy());
    refuse(socket, NO_PROXY);
  });
  server.on('checkExpectation', (_request, response) => {
    send(response, EXPECTATION_FAILED);
  });
}

/** It may never end, as an event stream, and nothing can come before it does. */
function isUnderWay({ headersSent, writableEnded }: ServerResponse): boolean {
  return headersSent && !writableEnded;
}

interface Parting {
  readonly problem: ApiProblem;
  /** The answer behind which the connection ends; where there is none, the problem is it. */
  readonly last: ServerResponse | undefined;
}

function part(socket: Duplex, { problem, last }: Parting): void {
  if (last === undefined) {
    linger(socket);
    socket.end(messageOf(problem));
  } else {
    if (!last.headersSent) last.setHeader('connection', 'close');
    last.once('close', () => linger(socket.end()));
  }
}

function linger(socket: Duplex): void {
  const timer = setTimeout(() => socket.destroy(), LINGER_MS);
  socket.once('close', () => clearTimeout(timer));
  socket.resume();
}

const NO_PROXY = new ApiProblem({
  status: 405,
  code: 'method_not_allowed',
  detail: 'This server is no proxy, and does not take CONNECT.',
  headers: { allow: 'GET, POST, PATCH, DELETE' },
});

const EXPECTATION_FAILED = new ApiProblem({
  status: 417,
  code: 'expectation_failed',
  detail: 'Nothing but "100-continue" can be expected: leave the header Expect out.',
  field: 'expect',
});

/** Whether a request does not say whom it asks, or says it twice, against RFC 9112 §3.2; it is answered. */
export function refuseHost(request: IncomingMessage, response: ServerResponse): boolean {
  const hosts = request.headersDistinct.host?.length ?? 0;
  if (hosts === 1 || (hosts === 0 && request.httpVersion !== '1.1')) return false;
  const found = hosts === 0 ? 'no header Host' : `${hosts} headers Host`;
  send(response, malformed(`The request has ${found}, and HTTP/1.1 demands one.`, 'host'));
  return true;
}

/** Of a body that stopped in the middle; where its request is answered, nothing but the end of the connection is left to say. */
export function refuseSilent(request: IncomingMessage, response: ServerResponse): void {
  // Node forgets a request that is answered: without this its handler would wait for the rest of the body.
  request.socket.once('close', () => request.destroy());
  if (response.headersSent) request.socket.destroy();
  else send(response, SILENT_BODY);
}

const SILENT_BODY = new ApiProblem({
  status: 408,
  code: 'request_timeout',
  detail: 'The request body stopped in the middle: send it again.',
});

function send(response: ServerResponse, problem: ApiProblem): void {
  const { status, headers, body } = answerOf(problem);
  response.writeHead(status, headers).end(body);
}

function unreadable(code: string | undefined): ApiProblem {
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return new ApiProblem({
        status: 431,
        code: 'request_header_too_large',
        detail: `The address and the headers of the request have more than the ${maxHeaderSize} bytes that are accepted together.`,
      });
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return new ApiProblem({
        status: 408,
        code: 'request_timeout',
        detail: 'The request did not arrive in time: send it again.',
      });
    default:
      return malformed('What was sent is no request by HTTP/1.1.');
  }
}

function malformed(detail: string, field?: string): ApiProblem {
  return new ApiProblem({ status: 400, code: 'malformed_request', detail, field });
}

function answerOf(problem: ApiProblem) {
  const body = JSON.stringify(problemOf(problem));
  const headers = {
    'content-type': `${PROBLEM_JSON}; charset=utf-8`,
    'content-length': String(Buffer.byteLength(body)),
    'x-content-type-options': 'nosniff',
    connection: 'close',
    ...problem.headers,
  };
  return { status: problem.status, headers, body };
}

function messageOf(problem: ApiProblem): string {
  const { status, headers, body } = answerOf(problem);
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  return [`HTTP/1.1 ${status} ${STATUS_CODES[status]}`, ...lines, '', body].join('\r\n');
}
