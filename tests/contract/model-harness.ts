import { expect, onTestFinished } from 'vitest';
import type { ModelOptions } from '../../src/model/connection.ts';
import type { Model, ModelEvent, ModelRequest } from '../../src/model/model.ts';
import {
  type raw,
  type Script,
  type ScriptedModel,
  type Step,
  startScriptedModel,
} from '../support/scripted-model/scripted-model.ts';
import type { Kind } from './model-kind.ts';

/** What the contract tests of models share: each kind of provider against a scripted model, one server per test. */
export const KEY = 'sk-test-0123456789';

/** What is closed when the test ends. Files share this module: a hook of its own would be that of the first of them. */
export const closers = { push: (close: () => Promise<void>) => onTestFinished(close) };

export async function serve(
  script: Script,
  options: { apiKey?: string; models?: string[] } = {},
): Promise<ScriptedModel> {
  const server = await startScriptedModel({ script, ...options });
  closers.push(() => server.close());
  return server;
}

export function requestOf(more: Partial<ModelRequest> = {}): ModelRequest {
  return {
    system: 'You are a test.',
    messages: [{ role: 'user', text: 'Hello' }],
    tools: [],
    trace: { sessionId: 'ses_1', taskId: 'task_1', turn: 3 },
    ...more,
  };
}

export async function collect(model: Model, request = requestOf(), signal = new AbortController().signal) {
  return collectWith(model, { request, signal, onEvent: () => undefined });
}

export async function collectWith(
  model: Model,
  {
    request = requestOf(),
    signal,
    onEvent,
  }: { request?: ModelRequest; signal: AbortSignal; onEvent: () => unknown },
) {
  const events: ModelEvent[] = [];
  for await (const event of model.stream(request, signal)) {
    events.push(event);
    await onEvent();
  }
  return events;
}

export function textIn(events: readonly ModelEvent[], type: 'text' | 'reasoning'): string {
  return events.map((event) => (event.type === type ? event.delta : '')).join('');
}

/** The whole answer, or a failed test that shows the failure. */
export function answerOf(events: readonly ModelEvent[]) {
  const last = events.at(-1);
  if (last?.type !== 'finished') throw new Error(`no answer: ${JSON.stringify(last)}`);
  expect(events.filter((event) => event.type === 'finished' || event.type === 'failed')).toHaveLength(1);
  return last.answer;
}

export function failureOf(events: readonly ModelEvent[]) {
  const last = events.at(-1);
  if (last?.type !== 'failed') throw new Error(`no failure: ${JSON.stringify(last)}`);
  expect(events.filter((event) => event.type === 'finished' || event.type === 'failed')).toHaveLength(1);
  expect(last.failure.message).toMatch(/^[A-Z].*\.$/);
  expect(last.failure.message).not.toContain(KEY);
  return last.failure;
}

/** A model of this kind at a server, and the events of one request to a script. */
export function kitOf({ provider, create, baseUrl }: Kind) {
  const modelAt = (server: { url: string }, options: Partial<ModelOptions> = {}): Model =>
    create({ provider, model: 'm-1', apiKey: KEY, baseUrl: baseUrl(server.url), ...options });
  const answerTo = async (script: Script, request?: ModelRequest) => {
    const server = await serve(script);
    return { server, events: await collect(modelAt(server), request) };
  };
  return { provider, create, modelAt, answerTo };
}

/** The bytes that the scripted model sends for a step. */
export async function rawBody({ path, plainBody }: Kind, step: Step): Promise<Buffer> {
  const server = await serve(() => step);
  const response = await fetch(server.url + path, { method: 'POST', body: JSON.stringify(plainBody) });
  return Buffer.from(await response.arrayBuffer());
}

export function eventStream(body: string, type = 'text/event-stream'): Parameters<typeof raw>[0] {
  return (response) => {
    response.writeHead(200, { 'content-type': type });
    response.end(body);
  };
}
