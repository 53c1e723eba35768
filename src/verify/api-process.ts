/** An API as `capybara api` runs it, on this machine's own address, that knows the sink's tool. */
import { runApi } from '../api/main.ts';
import { runProcess } from './process.ts';
import { sinkTool } from './sink.ts';

await runProcess((config, log, { sink }) =>
  runApi(config, log, { host: '127.0.0.1', moreTools: [sinkTool(sink)] }),
);
