/**
 * What happens where stdout or stderr cannot be written. In place of oclif's own listener, which throws whatever is not a
 * closed pipe. Imported after `@oclif/core`.
 */
import { getSystemErrorMessage } from 'node:util';

let isTold = false;

process.stdout.removeAllListeners('error');
process.stdout.on('error', (error) => {
  // Whoever closed the pipe (`| head`) has what they wanted.
  if (isTold || error.code === 'EPIPE') return;
  isTold = true;
  process.exitCode = 1;
  process.stderr.write(`Cannot write to stdout: ${whatIs(error)}.\n`);
});
// There is nowhere left to say it.
process.stderr.on('error', () => {});

function whatIs({ errno, message }) {
  return errno === undefined ? message : getSystemErrorMessage(errno);
}
