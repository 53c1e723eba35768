/**
 * A pipe to a command's input. What Node makes are sockets: bash takes one for a login over the network and runs ~/.bashrc, and
 * /dev/stdin cannot be opened.
 */
import { execFile } from 'node:child_process';
import { closeSync, constants, openSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { promisify } from 'node:util';

export interface Input {
  /** The command's end: to be its standard input. */
  readonly descriptor: number | 'ignore';
  /** The command has its end: this process lets go of that, and `from` flows. */
  started(from: Readable | undefined): void;
  /** Nobody reads any more. */
  close(): void;
}

/** For a command that reads nothing. */
export const NO_INPUT: Input = { descriptor: 'ignore', started: () => {}, close: () => {} };

export async function openInput(): Promise<Input> {
  const { reader, writer } = await openPipe();
  const socket = new Socket({ fd: writer, readable: false, writable: true });
  // The command may close its input, or end, before it has read all of it.
  socket.on('error', () => {});
  let isHeld = true;
  const letGo = () => {
    if (isHeld) closeSync(reader);
    isHeld = false;
  };
  return {
    descriptor: reader,
    started: (from) => {
      letGo();
      from?.pipe(socket);
    },
    close: () => {
      letGo();
      socket.destroy();
    },
  };
}

/** By way of a name in the file system that is gone again before anybody could use it. */
async function openPipe(): Promise<{ reader: number; writer: number }> {
  const directory = await mkdtemp(join(tmpdir(), 'capybara-input-'));
  try {
    const path = join(directory, 'input');
    // A command may open /dev/stdin anew, as whatever user it runs.
    await promisify(execFile)('mkfifo', ['-m', '666', path]);
    // To open one end alone waits for the other.
    const both = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
    const reader = openSync(path, constants.O_RDONLY);
    const writer = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
    closeSync(both);
    return { reader, writer };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
