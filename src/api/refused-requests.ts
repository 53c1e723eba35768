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

/** `isAnswering`: whether the beginning of an answer is on its way there, behind which no other can come. */
export function answerRefused(server: Server, isAnswering: (socket: Duplex) => boolean): void {
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Duplex) => {
    // What comes behind it is refused as well, and is answered by now.
    if (socket.writableEnded) return;
    if (!socket.writable || isAnswering(socket)) {
      socket.destroy();
      return;
    }
    const timer = setTimeout(() => socket.destroy(), LINGER_MS);
    socket.once('close', () => clearTimeout(timer));
    socket.end(messageOf(unreadable(error.code)));
    socket.resume();
  });
  server.on('checkExpectation', (_request, response) => {
    send(response, EXPECTATION_FAILED);
  });
}

const EXPECTATION_FAILED = new ApiProblem({
  status: 417,
  code: 'expectation_failed',
  detail: 'Nothing but "100-continue" can be expected: leave the header Expect out.',
  field: 'expect',
});

/** Whether a request does not say whom it asks, which HTTP/1.1 demands (RFC 9112 §3.2); it is answered. */
export function refuseHostless(request: IncomingMessage, response: ServerResponse): boolean {
  if (request.headers.host !== undefined || request.httpVersion !== '1.1') return false;
  send(response, malformed('The request has no header Host, which HTTP/1.1 demands.', 'host'));
  return true;
}

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
  };
  return { status: problem.status, headers, body };
}

function messageOf(problem: ApiProblem): string {
  const { status, headers, body } = answerOf(problem);
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  return [`HTTP/1.1 ${status} ${STATUS_CODES[status]}`, ...lines, '', body].join('\r\n');
}
