/** An MCP server that misbehaves as its tools are called. Its state is told by `count`: how many calls this process has had. */
import { createInterface } from 'node:readline';

const [mode = ''] = process.argv.slice(2);
const say = (message) => process.stdout.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`);
const text = (id, words) => say({ id, result: { content: [{ type: 'text', text: words }] } });
const TOOLS = [
  'count',
  'die',
  'orphan',
  'hang',
  'flood',
  'small',
  'trickle',
  'huge',
  'nonsense',
  'wrong',
  'lost',
  'slow',
  'more',
  'env',
  'write',
  'draw',
  'pid',
  'mark',
];
/** Two by two. */
const PICTURE =
  'iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAEUlEQVR4nGP4z8AARGDiPwMAHfAD/aAzCYkAAAAASUVORK5CYII=';
const tool = (name) => ({
  name,
  description: `Does ${name}.`,
  inputSchema: { type: 'object', properties: { n: { type: 'integer' }, path: { type: 'string' } } },
  annotations: { readOnlyHint: name === 'count', openWorldHint: false },
});
let tools = TOOLS.map(tool);
let calls = 0;
if (mode === 'repeats') tools = [...tools, ...tools, ...tools];
if (mode === 'many') {
  const names = Array.from({ length: 300 }, (_, index) => `tool_${index}`);
  tools = [...TOOLS, ...names, 'forecast'].map(tool);
}

if (mode === 'dies') {
  process.stderr.write('no such thing as a key\n');
  process.exit(3);
}
if (mode === 'greets') process.stdout.write('Welcome!\n');

const ACTS = {
  count: (id) => text(id, `calls ${calls}`),
  die: () => process.exit(7),
  /** Ends, and leaves one that holds its standard error. */
  orphan: async () => {
    const { spawn } = await import('node:child_process');
    spawn('sleep', ['600'], { stdio: ['ignore', 'ignore', 'inherit'] }).once('spawn', () => {
      process.stderr.write('goodbye\n');
      process.exit(7);
    });
  },
  hang: () => {},
  flood: () => {
    const line = `${JSON.stringify({ jsonrpc: '2.0', method: 'notifications/message', params: { level: 'info', data: 'x'.repeat(1000) } })}\n`;
    const more = () => {
      while (process.stdout.write(line));
      process.stdout.once('drain', more);
    };
    more();
  },
  /** As many as it is told, which are as short as they can be. */
  small: (id, { n }) => {
    process.stdout.write('{"jsonrpc":"2.0","method":"a"}\n'.repeat(n));
    text(id, 'all said');
  },
  /** Each letter by itself. */
  trickle: async (id) => {
    const line = `${JSON.stringify({ jsonrpc: '2.0', id, result: { content: [{ type: 'text', text: 'slowly' }] } })}\n`;
    for (const letter of line)
      await new Promise((resolve) => process.stdout.write(letter, () => setImmediate(resolve)));
  },
  huge: () => process.stdout.write('x'.repeat(10_000_000)),
  nonsense: () => process.stdout.write('what?\n'.repeat(1_000)),
  wrong: (id) => say({ id, result: { content: [{ type: 'dance' }] } }),
  lost: (id) => say({ id, error: { code: 404, message: 'no such order' } }),
  slow: (id, { n = 3 }, token) => {
    let done = 0;
    const timer = setInterval(() => {
      done += 1;
      say({
        method: 'notifications/progress',
        params: { progressToken: token, progress: done, total: n, message: 'step' },
      });
      if (done < n) return;
      clearInterval(timer);
      // Clients drop news of progress that comes together with the answer.
      setTimeout(() => text(id, 'slow and done'), 50);
    }, 150);
  },
  more: (id) => {
    tools = [...TOOLS, 'another'].map(tool);
    say({ method: 'notifications/tools/list_changed' });
    text(id, 'there is more');
  },
  draw: (id) =>
    say({
      id,
      result: {
        content: [
          { type: 'image', mimeType: 'image/png', data: PICTURE },
          { type: 'resource', resource: { uri: 'mem://red', mimeType: 'image/png', blob: PICTURE } },
          { type: 'resource', resource: { uri: 'mem://note', text: 'a note' } },
          { type: 'resource_link', uri: 'mem://far', name: 'far' },
          { type: 'audio', mimeType: 'audio/wav', data: 'AAAA' },
        ],
        structuredContent: { drawn: 2 },
      },
    }),
  pid: (id) => text(id, `pid ${process.pid}`),
  /** Answers nothing, and says in a file that it was asked. */
  mark: async (_, { path }) => {
    const { appendFile } = await import('node:fs/promises');
    await appendFile(path, `${process.pid}\n`);
  },
  env: (id) => text(id, JSON.stringify(process.env)),
  write: async (id, { path }) => {
    const { writeFile } = await import('node:fs/promises');
    await writeFile(path, 'by a server\n').then(
      () => text(id, 'written'),
      (error) => text(id, `not written: ${error.code}`),
    );
  },
};

createInterface({ input: process.stdin }).on('line', (line) => {
  const { id, method, params } = JSON.parse(line);
  if (mode === 'silent') return;
  if (method === 'initialize')
    say({
      id,
      result: {
        protocolVersion: params.protocolVersion,
        capabilities: { tools: { listChanged: true } },
        serverInfo: { name: 'odd', version: '1' },
      },
    });
  if (method === 'ping') say({ id, result: {} });
  if (method === 'tools/list') say({ id, result: { tools: [...tools, { nonsense: true }] } });
  if (method === 'notifications/cancelled') process.stderr.write('cancelled\n');
  if (method !== 'tools/call') return;
  calls += 1;
  ACTS[params.name](id, params.arguments ?? {}, params._meta?.progressToken);
});
