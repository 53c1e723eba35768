/** When a request is through with its handler, which goes on after a client that hung up: what it made is made, whoever hears of it. */
import type { Response } from 'express';

const SETTLED = Symbol('settled');

/** The status of the response is known by then, and in `locals.made` what the request made. */
export function onceSettled(response: Response, tell: () => void): void {
  response.once(SETTLED, tell);
}

export function settled(response: Response): void {
  response.emit(SETTLED);
}
