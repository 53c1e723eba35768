/**
 * Inside the sandbox of a command that may reach some hosts: hands connections to a port of its own network over to the proxy's socket,
 * and runs the command, whose end is its own. Imports nothing of Capybara: the sandbox shows it this file alone.
 *
 * Arguments: the socket, the port, and the command with its arguments.
 */
import { spawn } from 'node:child_process';
import { connect, createServer } from 'node:net';
import { constants } from 'node:os';

const [socket = '', port = '', program = '', ...args] = process.argv.slice(2);

const server = createServer((inside) => {
  const outside = connect(socket);
  for (const [one, other] of [
    [inside, outside],
    [outside, inside],
  ] as const) {
    one.on('error', () => other.destroy()).once('close', () => other.destroy());
  }
  inside.pipe(outside).pipe(inside);
});
// It ends when the command has: to end before would end the command's processes before they could tidy up.
process.on('SIGTERM', () => {});
server.listen(Number(port), '127.0.0.1', () => {
  const child = spawn(program, args, { stdio: 'inherit' });
  child.once('error', (error) => {
    process.stderr.write(`${error.message}\n`);
    process.exit(127);
  });
  // As shells tell of a command that a signal ended.
  child.once('exit', (code, signal) =>
    process.exit(signal === null ? (code ?? 0) : 128 + constants.signals[signal]),
  );
});
