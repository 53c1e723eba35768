/** Writes files and takes snapshots of them until it is killed: `snapshots-child.ts STORE ROOT`. A line for each. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openSnapshots } from '../../src/workspace/snapshots/open-snapshots.ts';

const [directory = '', path = ''] = process.argv.slice(2);
const store = openSnapshots({ directory }).of('tree');
for (let round = 0; ; round += 1) {
  for (let file = 0; file < 200; file += 1)
    writeFileSync(join(path, `${file}`), `${round} ${file}`.repeat(100));
  const { id } = await store.take({ roots: [{ name: 'main', path, writable: true }] });
  process.stdout.write(`${id}\n`);
}
