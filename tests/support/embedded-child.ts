/**
 * A process that starts the embedded Postgres in its first argument, prints the address, and waits to be killed.
 */
import { startPostgres } from '../../src/embedded/postgres.ts';

const [dataDir = '', ignoreInterrupt] = process.argv.slice(2);
if (ignoreInterrupt === 'ignore-interrupt') process.on('SIGINT', () => {});
process.stdout.write('starting\n');
const postgres = await startPostgres({ dataDir, log: () => {}, fsync: false });
process.stdout.write(`${postgres.url}\n`);
