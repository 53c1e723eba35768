/**
 * The bench's server of streams, a process of its own: answers Chat Completions, Messages and Responses with `WIRES_PIECES` pieces of
 * text, one each `WIRES_PACE_MS`, each of which says when it was sent (`t=1234.5;`, milliseconds since 1970).
 */
import { createServer, type ServerResponse } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';

const pieces = Number(process.env.WIRES_PIECES);
const paceMs = Number(process.env.WIRES_PACE_MS);

interface Wire {
  readonly head: readonly object[];
  piece(text: string): object;
  tail(text: string): readonly object[];
}

const chat = { id: 'bench', object: 'chat.completion.chunk', created: 0, model: 'bench' };
const part = { item_id: 'msg_1', output_index: 0, content_index: 0 };
const message = { id: 'msg_1', type: 'message', role: 'assistant' };

const WIRES: Readonly<Record<string, Wire>> = {
  '/v1/chat/completions': {
    head: [{ ...chat, choices: [{ index: 0, delta: { role: 'assistant' }, finish_reason: null }] }],
    piece: (content) => ({ ...chat, choices: [{ index: 0, delta: { content }, finish_reason: null }] }),
    tail: () => [
      {
        ...chat,
        choices: [{ index: 0, delta: {}, finish_reason: 'stop' }],
        usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 },
      },
    ],
  },
  '/v1/messages': {
    head: [
      {
        type: 'message_start',
        message: { ...message, model: 'bench', content: [], usage: { input_tokens: 1, output_tokens: 1 } },
      },
      { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
    ],
    piece: (text) => ({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } }),
    tail: () => [
      { type: 'content_block_stop', index: 0 },
      { type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage: { output_tokens: 1 } },
      { type: 'message_stop' },
    ],
  },
  '/v1/responses': {
    head: [
      { type: 'response.created', response: { id: 'resp_1', model: 'bench', status: 'in_progress' } },
      { type: 'response.output_item.added', output_index: 0, item: { ...message, content: [] } },
      { ...part, type: 'response.content_part.added', part: { type: 'output_text', text: '' } },
    ],
    piece: (delta) => ({ ...part, type: 'response.output_text.delta', delta }),
    tail: (text) => {
      const item = {
        ...message,
        status: 'completed',
        content: [{ type: 'output_text', text, annotations: [] }],
      };
      const response = { id: 'resp_1', model: 'bench', status: 'completed', output: [item] };
      return [
        { type: 'response.output_item.done', output_index: 0, item },
        {
          type: 'response.completed',
          response: { ...response, usage: { input_tokens: 1, output_tokens: 1 } },
        },
      ];
    },
  },
};

const server = createServer(async (request, response) => {
  const wire = WIRES[request.url ?? ''];
  if (wire === undefined) {
    response.writeHead(404).end();
    return;
  }
  request.resume();
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  let text = '';
  for (const event of wire.head) send(response, event);
  for (let sent = 0; sent < pieces; sent += 1) {
    await delay(paceMs);
    const piece = `t=${(performance.timeOrigin + performance.now()).toFixed(3)};`;
    text += piece;
    send(response, wire.piece(piece));
  }
  for (const event of wire.tail(text)) send(response, event);
  response.end(request.url === '/v1/chat/completions' ? 'data: [DONE]\n\n' : '');
});

function send(response: ServerResponse, event: object): void {
  const name = 'type' in event ? `event: ${event.type}\n` : '';
  response.write(`${name}data: ${JSON.stringify(event)}\n\n`);
}

server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : undefined;
  process.stdout.write(`${JSON.stringify({ url: `http://127.0.0.1:${port}` })}\n`);
});
process.stdin.once('close', () => process.exit(0));
process.stdin.resume();
