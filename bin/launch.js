/**
 * Runs a program under the Node that came with the package, as if this process were that program: same terminal, same
 * signals, same end. `launched.js` is the other half.
 */
import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** `npm run` is told of Ctrl-C by the terminal as this process is, and tells it too: within this time that is one press. */
const ECHO_MS = 100;

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR2'];

/** @param {URL} program */
export async function launch(program) {
  const node = bundledNode();
  if (node === undefined) refuse();
  const child = spawn(node, [fileURLToPath(program), ...process.argv.slice(2)], {
    stdio: ['inherit', 'inherit', 'inherit', 'pipe'],
  });
  child.on('error', refuse);
  // A terminal signals the child too, so signals are told through the pipe and the child takes each one once. The pipe
  // also says that this process is gone: it closes.
  const lifeline = child.stdio[3];
  lifeline.on('error', () => {});
  for (const signal of SIGNALS)
    process.on(
      signal,
      withoutEcho(() => lifeline.write(`${signal}\n`)),
    );
  child.on('exit', (code, signal) => endLike(code, signal));
}

/** @param {() => void} act */
function withoutEcho(act) {
  let actedAt = Number.NEGATIVE_INFINITY;
  return () => {
    if (performance.now() - actedAt < ECHO_MS) return;
    actedAt = performance.now();
    act();
  };
}

function bundledNode() {
  try {
    const manifest = `node-${process.platform}-${process.arch}/package.json`;
    return join(dirname(createRequire(import.meta.url).resolve(manifest)), 'bin', 'node');
  } catch {
    return undefined;
  }
}

function endLike(code, signal) {
  if (signal === null) process.exit(code);
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
}

function refuse() {
  process.stderr.write(
    `Capybara needs Node 24 or newer and this is Node ${process.versions.node}: install Node 24, or reinstall Capybara with its optional dependencies.\n`,
  );
  process.exit(1);
}
