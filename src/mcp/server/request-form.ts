/** What has another form than the protocol says is the client's fault, told in a sentence; the SDK would call it an internal error. */
import { Server } from '@modelcontextprotocol/sdk/server/index.js';
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js';
import {
  CallToolRequestSchema,
  CancelTaskRequestSchema,
  ErrorCode,
  GetTaskPayloadRequestSchema,
  GetTaskRequestSchema,
  InitializeRequestSchema,
  isJSONRPCRequest,
  type JSONRPCErrorResponse,
  type JSONRPCMessage,
  ListTasksRequestSchema,
  ListToolsRequestSchema,
} from '@modelcontextprotocol/sdk/types.js';
import { sayIssue } from './refusal.ts';

const FORMS = [
  InitializeRequestSchema,
  ListToolsRequestSchema,
  CallToolRequestSchema,
  GetTaskRequestSchema,
  GetTaskPayloadRequestSchema,
  ListTasksRequestSchema,
  CancelTaskRequestSchema,
];

/** A server whose handlers see requests of their form alone. */
export class FormedServer extends Server {
  override async connect(transport: Transport): Promise<void> {
    await super.connect(transport);
    const { onmessage } = transport;
    transport.onmessage = (message, extra) => {
      const refused = refusalOf(message);
      if (refused === undefined) onmessage?.(message, extra);
      else void transport.send(refused).catch((error: Error) => this.onerror?.(error));
    };
  }
}

function refusalOf(message: JSONRPCMessage): JSONRPCErrorResponse | undefined {
  if (!isJSONRPCRequest(message)) return undefined;
  const { id, method } = message;
  const error = FORMS.find(({ shape }) => shape.method.value === method)?.safeParse(message).error;
  if (error === undefined) return undefined;
  const sentence = `The request ${method} cannot be answered${sayIssue(error)}.`;
  return { jsonrpc: '2.0', id, error: { code: ErrorCode.InvalidParams, message: sentence } };
}
