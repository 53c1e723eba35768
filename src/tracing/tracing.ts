/**
 * Traces: one from a task's submission through every turn, tool and child. Off unless an endpoint is configured; then alone is the
 * library that sends them loaded (`otlp.ts`). What spans are called and say follows OpenTelemetry's conventions for generative AI; what
 * was said to or by a model is in none.
 */
import type { Log } from '../log.ts';

export type SpanKind = 'server' | 'client' | 'consumer' | 'internal';
export type Attributes = Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>;

export interface SpanOptions {
  readonly kind: SpanKind;
  /** The `traceparent` of what it is part of; a trace of its own without one. */
  readonly parent: string | undefined;
  readonly attributes?: Attributes;
}

export interface Span {
  /** By which others become part of it (W3C Trace Context); undefined where nothing is traced. */
  readonly traceparent: string | undefined;
  rename(name: string): void;
  set(attributes: Attributes): void;
  /** What it was for did not come of it. `type`: a stable code. */
  fail(type: string): void;
  end(): void;
}

export interface Tracing {
  /** Whether what a span would say need be put together at all. */
  readonly isOn: boolean;
  span(name: string, options: SpanOptions): Span;
  /** Sends what is left, and waits for that at most a moment. */
  close(): Promise<void>;
}

export interface TracingConfig {
  /** Where an OTLP receiver takes HTTP; `/v1/traces` is added. */
  readonly endpoint?: string;
  /** `name=value`, with commas between them. */
  readonly headers?: string;
  readonly service?: string;
}

export const NO_SPAN: Span = { traceparent: undefined, rename() {}, set() {}, fail() {}, end() {} };

export const noTracing: Tracing = { isOn: false, span: () => NO_SPAN, close: async () => {} };

/** `role`: what this process is, as those who look at traces see it: `api`, `worker`. */
export async function openTracing(
  config: TracingConfig,
  { log, role }: { readonly log: Log; readonly role: string },
): Promise<Tracing> {
  const { endpoint } = config;
  if (endpoint === undefined) return noTracing;
  const { openOtlp } = await import('./otlp.ts');
  return openOtlp({ ...config, endpoint }, { log, role });
}

const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?=-|$)/;

/** The trace context in a header, in the form that is kept; undefined where there is none, or one that means nothing. */
export function readTraceparent(header: string | undefined): string | undefined {
  const [, traceId, spanId, flags] = TRACEPARENT.exec(header ?? '') ?? [];
  if (traceId === undefined || (header?.startsWith('00') && header.length !== 55)) return undefined;
  return `00-${traceId}-${spanId}-${flags}`;
}
