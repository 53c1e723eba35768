/** A bus in a process of its own: `postgres|redis URL`. Hears itself once, closes, and ends only if nothing is left open. */
import type { Bus } from '../../src/bus/bus.ts';
import { createPostgresBus } from '../../src/bus/postgres.ts';
import { createRedisBus } from '../../src/bus/redis.ts';
import { silentLog } from '../../src/log.ts';

const [kind, url = ''] = process.argv.slice(2);
const options = { url, log: silentLog };
const bus: Bus = kind === 'postgres' ? createPostgresBus(options) : createRedisBus(options);
const heard = Promise.withResolvers<void>();
await bus.subscribe(() => heard.resolve());
bus.publish({ type: 'cancel', rootId: 'root', taskId: 'task' });
await heard.promise;
await bus.close();
