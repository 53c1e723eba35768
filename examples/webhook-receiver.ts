/**
 * Receives Capybara's webhooks: checks who signed them (https://www.standardwebhooks.com), drops what came before, prints the rest.
 *
 *   npm install standardwebhooks
 *   capybara webhooks add https://hooks.example/capybara --event task.succeeded --event task.failed     # prints the secret, once
 *   WEBHOOK_SECRET=whsec_… PORT=8080 node webhook-receiver.ts
 *
 * It speaks plain HTTP: put what ends TLS for hooks.example in front of it.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import { Webhook } from 'standardwebhooks';

const webhook = new Webhook(process.env.WEBHOOK_SECRET ?? '');

/** Ids of what was dealt with. Keep them where your data is, in the same transaction: a restart forgets these. */
const seen = new Set<string>();

interface Delivery {
  readonly type: string;
  readonly timestamp: string;
  /** An event; empty where `webhooks test` sent it. */
  readonly data: { readonly seq?: number; readonly sessionId?: string; readonly taskId?: string };
}

/** What the delivery is about; `undefined` where Capybara did not sign it, or signed it more than five minutes ago. */
function verified(body: string, request: IncomingMessage): Delivery | undefined {
  try {
    // The bytes as they came: what is parsed and written again has another signature.
    return webhook.verify(body, request.headers as Record<string, string>) as Delivery;
  } catch {
    return undefined;
  }
}

function deal({ type, timestamp, data }: Delivery): void {
  process.stdout.write(`${timestamp} ${type} ${data.taskId ?? data.sessionId ?? ''}\n`);
}

async function receive(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const delivery = verified(await text(request), request);
  if (delivery === undefined) return void response.writeHead(401).end();
  // The same for each try, and for a replay.
  const id = String(request.headers['webhook-id']);
  if (!seen.has(id)) deal(delivery);
  seen.add(id);
  // Anything but 2xx, and it comes again. What takes long is done after the answer, which has 15 s.
  response.writeHead(204).end();
}

const server = createServer((request, response) => {
  receive(request, response).catch((error: unknown) => {
    process.stderr.write(`${String(error)}\n`);
    response.writeHead(500).end();
  });
});
server.listen(Number(process.env.PORT ?? 8080), () => {
  process.stderr.write(`Listening on ${JSON.stringify(server.address())}\n`);
});
process.once('SIGTERM', () => server.close());
