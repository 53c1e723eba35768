/**
 * The scripted model as a process of its own: `main.ts SCRIPT [--port N] [--host ADDRESS] [--api-key KEY] [--model NAME]...`.
 *
 * SCRIPT is a module whose default export is a script. Prints one line, `{"url": …, "baseUrl": …}`, when it listens, and
 * ends when its standard input does, so that it cannot outlive whoever started it.
 */
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { type Script, startScriptedModel } from './scripted-model.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    port: { type: 'string' },
    host: { type: 'string' },
    'api-key': { type: 'string' },
    model: { type: 'string', multiple: true },
  },
});
const [path] = positionals;
if (path === undefined)
  throw new Error('usage: main.ts SCRIPT [--port N] [--host ADDRESS] [--api-key KEY] [--model NAME]...');

const module: { default: Script } = await import(pathToFileURL(resolve(path)).href);
const server = await startScriptedModel({
  script: module.default,
  ...(values.port === undefined ? {} : { port: Number(values.port) }),
  ...(values.host === undefined ? {} : { host: values.host }),
  ...(values['api-key'] === undefined ? {} : { apiKey: values['api-key'] }),
  ...(values.model === undefined ? {} : { models: values.model }),
});
process.stdin.once('close', () => void server.close().then(() => process.exit(0)));
process.stdin.resume();
process.stdout.write(`${JSON.stringify({ url: server.url, baseUrl: server.baseUrl })}\n`);
