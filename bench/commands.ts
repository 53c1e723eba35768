/** What it costs to confine a command: the same `true` confined and not, in turns. */
import { mkdirSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { createBubblewrapSandbox } from '../src/sandbox/bubblewrap.ts';
import { probeBubblewrap } from '../src/sandbox/probes.ts';
import type { Sandbox } from '../src/sandbox/sandbox.ts';
import { createUnconfinedSandbox } from '../src/sandbox/unconfined.ts';
import { more } from './files.ts';
import { type Row, spread } from './under.ts';

const HERE = { backend: 'commands' };
const WARM_UP = 10;

export async function measureCommands(place: string, times: number): Promise<Row[]> {
  const environment = process.env;
  const probe = await probeBubblewrap(environment);
  if (!probe.works) {
    console.error(`commands are not measured: ${probe.found}; ${probe.cure}`);
    return [];
  }
  const root = join(place, 'commands');
  mkdirSync(root, { recursive: true });
  const plain = createUnconfinedSandbox({ environment });
  const confined = createBubblewrapSandbox({
    ...{ environment, profile: 'local', program: probe.program },
    hidden: [],
  });
  try {
    const places = { root: realpathSync(root), scratch: join(realpathSync(place), 'scratch') };
    const took: { plain: number[]; confined: number[] } = { plain: [], confined: [] };
    for (let round = 0; round < times + WARM_UP; round += 1) {
      took.plain.push(await runTrue(plain, places));
      took.confined.push(await runTrue(confined, places));
    }
    const [without, within] = [took.plain.slice(WARM_UP), took.confined.slice(WARM_UP)];
    return [
      spread('true, unconfined', HERE, without),
      spread('true in bubblewrap', HERE, within),
      more('what bubblewrap adds to true', HERE, [within, without]),
    ];
  } finally {
    await Promise.all([plain.close(), confined.close()]);
  }
}

async function runTrue(
  sandbox: Sandbox,
  { root, scratch }: { readonly root: string; readonly scratch: string },
): Promise<number> {
  const began = performance.now();
  const command = { script: 'true', cwd: root, timeoutMs: 10_000, writable: [root], scratch };
  const { end } = await sandbox.run(command, new AbortController().signal);
  if (end.type !== 'exit' || end.code !== 0)
    throw new Error(`true of the bench ended: ${JSON.stringify(end)}`);
  return performance.now() - began;
}
