/**
 * The other half of `launch.js`. Descriptor 3 is a pipe that the launcher holds: it brings the signals that the launcher
 * got, and it closes when the launcher is gone.
 */
import { Socket } from 'node:net';
import { createInterface } from 'node:readline';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR2'];

/** A terminal or a service manager signals both processes; both then arrive here within this time. */
const PAIR_MS = 200;

/** Signals that reached this process itself, and were not told by the launcher yet. */
const direct = [];
let passingOn = false;

function takeDirect(signal) {
  if (passingOn) passingOn = false;
  else direct.push({ signal, at: Date.now() });
  if (process.listenerCount(signal) > 1) return;
  // Nobody else listens: what would have happened without this listener.
  process.off(signal, takeDirect);
  process.kill(process.pid, signal);
}

function takeTold(signal) {
  const found = direct.findIndex((one) => one.signal === signal && Date.now() - one.at <= 2 * PAIR_MS);
  if (found !== -1) {
    direct.splice(found, 1);
    return;
  }
  passingOn = true;
  process.kill(process.pid, signal);
}

for (const signal of SIGNALS) process.on(signal, takeDirect);

const lifeline = new Socket({ fd: 3, readable: true, writable: false });
const endWithLauncher = () => process.kill(process.pid, 'SIGKILL');
lifeline.on('close', endWithLauncher).on('error', endWithLauncher).unref();
createInterface({ input: lifeline }).on('line', (signal) => setTimeout(takeTold, PAIR_MS, signal));

await import('./run.js');
