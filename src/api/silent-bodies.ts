import type { IncomingMessage } from 'node:http';

/** How long nothing of a body may come, in milliseconds; then at most as long again until it is noticed. */
export const SILENCE_MS = 30_000;

/** Calls `giveUp` once where a body stops in the middle. One that moves, however slowly, is waited for. */
export function watchBody(request: IncomingMessage, silenceMs: number, giveUp: () => void): void {
  if (!hasBody(request)) return;
  const { socket } = request;
  let seen = socket.bytesRead;
  const timer = setInterval(() => {
    // What has come and was not read yet is no silence of the client's.
    const isSilent = socket.bytesRead === seen && request.readableLength === 0;
    seen = socket.bytesRead;
    if (!isSilent && !request.complete) return;
    clearInterval(timer);
    if (!request.complete) giveUp();
  }, silenceMs);
  request.once('close', () => clearInterval(timer));
}

function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
}
