/**
 * The HTTP API, one function per route, typed: `import { createClient } from 'capybara/client'`. It loads the shapes on the wire and
 * nothing of the server. Every answer is checked; what is refused is thrown as `ProblemError`, what cannot be reached as
 * `UnreachableError`.
 */
import { type AdminCalls, adminCalls } from './admin.ts';
import { type ApprovalCalls, approvalCalls } from './approvals.ts';
import { type CatalogCalls, catalogCalls } from './catalog.ts';
import { type EventCalls, eventCalls } from './events.ts';
import { type ClientOptions, Http } from './http.ts';
import { type McpServerCalls, mcpServerCalls } from './mcp-servers.ts';
import { type ScheduleCalls, scheduleCalls } from './schedules.ts';
import type { Server } from './server.ts';
import { type SessionCalls, sessionCalls } from './sessions.ts';
import { type TaskCalls, taskCalls } from './tasks.ts';
import { type WebhookCalls, webhookCalls } from './webhooks.ts';
import { type WorkspaceCalls, workspaceCalls } from './workspaces.ts';

export type {
  Approval,
  CreateTask,
  Entry,
  Event,
  Problem,
  Session,
  SessionDetails,
  SessionTree,
  Task,
  ToolCall,
  Why,
  Workspace,
} from '../api/wire.ts';
export type { Key } from '../api/wire-admin.ts';
export type { Schedule } from '../api/wire-schedules.ts';
export { UserError } from '../core/errors.ts';
export { isTransient, ProblemError, UnreachableError } from './errors.ts';
export type { Delta, Frame, LiveFrame } from './events.ts';
export {
  type ClientOptions,
  IDLE_BODY_MS,
  PATIENCE_MS,
  type Page,
  type Query,
  REQUEST_TIMEOUT_MS,
  type SentRequest,
} from './http.ts';
export type { SentFile } from './sent-file.ts';
export type { Server } from './server.ts';

export interface Client
  extends TaskCalls,
    SessionCalls,
    EventCalls,
    ApprovalCalls,
    WorkspaceCalls,
    CatalogCalls,
    AdminCalls,
    WebhookCalls,
    ScheduleCalls,
    McpServerCalls {}

/** A client of a Capybara. `server` may be a function, which is asked before each request, where the address may change. */
export function createClient(server: Server | (() => Server), options: ClientOptions = {}): Client {
  const http = new Http(typeof server === 'function' ? server : () => server, options);
  return {
    ...taskCalls(http),
    ...sessionCalls(http),
    ...eventCalls(http),
    ...approvalCalls(http),
    ...workspaceCalls(http),
    ...catalogCalls(http),
    ...adminCalls(http),
    ...webhookCalls(http),
    ...scheduleCalls(http),
    ...mcpServerCalls(http),
  };
}
