/** A worker as `capybara worker` runs it, that has the sink's tool. */
import { runWorker } from '../worker/main.ts';
import { runProcess } from './process.ts';
import { sinkTool } from './sink.ts';

await runProcess((config, log, { sink }) => runWorker(config, log, { moreTools: [sinkTool(sink)] }));
