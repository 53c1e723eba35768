/** A worker in a process of its own, to be killed. Prints `{"id"}` when ready, and ends with its input. */
import { openParts, startBenchWorker } from './parts.ts';

const parts = openParts();
const worker = await startBenchWorker(parts);
process.stdin.once('close', () => void worker.stop().then(() => parts.backends.close()));
process.stdin.resume();
process.stdout.write(`${JSON.stringify({ id: worker.id })}\n`);
