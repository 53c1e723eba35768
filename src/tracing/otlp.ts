/** Spans sent by OTLP over HTTP, in batches, beside the work. What cannot be sent is dropped: no turn waits or fails for it. */
import { setTimeout as delay } from 'node:timers/promises';
import * as api from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import {
  defaultResource,
  detectResources,
  resourceAttributesEnvDetector,
  resourceFromAttributes,
} from '@opentelemetry/resources';
import {
  AlwaysOnSampler,
  BatchSpanProcessor,
  ParentBasedSampler,
  type ReadableSpan,
  type SpanExporter,
  TracerProvider,
} from '@opentelemetry/sdk-trace';
import { messageOf } from '../core/errors.ts';
import { atMostEvery, type Log } from '../log.ts';
import type { Attributes, Span, SpanKind, Tracing, TracingConfig } from './tracing.ts';

/** How long a process that ends waits for what is left to be sent. */
export const FLUSH_MS = 2_000;
/** A receiver that is away is told of once in so long. */
const REPEAT_LOG_MS = 60_000;
/** Beyond as many spans that wait to be sent, new ones are dropped. */
const QUEUE = { maxQueueSize: 4_096, maxExportBatchSize: 512, scheduledDelayMillis: 1_000 };

const KINDS: Readonly<Record<SpanKind, api.SpanKind>> = {
  server: api.SpanKind.SERVER,
  client: api.SpanKind.CLIENT,
  consumer: api.SpanKind.CONSUMER,
  internal: api.SpanKind.INTERNAL,
};

/** The library itself reads the other `OTEL_EXPORTER_OTLP_…` variables, and `OTEL_RESOURCE_ATTRIBUTES`. */
export function openOtlp(
  { endpoint, headers, service = 'capybara' }: TracingConfig & { readonly endpoint: string },
  { log, role }: { readonly log: Log; readonly role: string },
): Tracing {
  const exporter = new OTLPTraceExporter({
    url: `${endpoint.replace(/\/+$/, '')}/v1/traces`,
    ...(headers === undefined ? {} : { headers: readHeaders(headers) }),
  });
  const named = resourceFromAttributes({
    'service.name': service,
    'service.namespace': 'capybara',
    'capybara.role': role,
  });
  const provider = new TracerProvider({
    resource: defaultResource()
      .merge(detectResources({ detectors: [resourceAttributesEnvDetector] }))
      .merge(named),
    sampler: new ParentBasedSampler({ root: new AlwaysOnSampler() }),
    spanProcessors: [new BatchSpanProcessor({ exporter: telling(exporter, log), ...QUEUE })],
  });
  const tracer = provider.getTracer('capybara');
  return {
    isOn: true,
    span: (name, { kind, parent, attributes = {} }) =>
      new OtlpSpan(
        tracer.startSpan(name, { kind: KINDS[kind], attributes: known(attributes) }, contextOf(parent)),
      ),
    close: async () => {
      const over = new AbortController();
      const late = delay(FLUSH_MS, undefined, { signal: over.signal }).catch(() => {});
      await Promise.race([provider.shutdown().catch(() => {}), late]);
      over.abort();
    },
  };
}

class OtlpSpan implements Span {
  readonly #span: api.Span;

  constructor(span: api.Span) {
    this.#span = span;
  }

  get traceparent(): string {
    const { traceId, spanId, traceFlags } = this.#span.spanContext();
    return `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, '0')}`;
  }

  rename(name: string): void {
    this.#span.updateName(name);
  }

  set(attributes: Attributes): void {
    this.#span.setAttributes(known(attributes));
  }

  fail(type: string): void {
    this.#span.setAttribute('error.type', type);
    this.#span.setStatus({ code: api.SpanStatusCode.ERROR, message: type });
  }

  end(): void {
    this.#span.end();
  }
}

function known(attributes: Attributes): api.Attributes {
  const given = Object.entries(attributes).filter(([, value]) => value !== undefined);
  return Object.fromEntries(given) as api.Attributes;
}

/** `parent` was read by `readTraceparent`. */
function contextOf(parent: string | undefined): api.Context {
  const [, traceId, spanId, flags] = parent?.split('-') ?? [];
  if (traceId === undefined || spanId === undefined) return api.ROOT_CONTEXT;
  const traceFlags = Number.parseInt(flags ?? '0', 16);
  return api.trace.setSpanContext(api.ROOT_CONTEXT, { traceId, spanId, traceFlags, isRemote: true });
}

/** `a=b,c=d`, percent-encoded, as the specification of the variable says. */
function readHeaders(text: string): Record<string, string> {
  const pairs = text.split(',').map((pair) => {
    const [name = '', ...value] = pair.split('=');
    return [name.trim(), decoded(value.join('=').trim())];
  });
  return Object.fromEntries(pairs.filter(([name]) => name !== ''));
}

function decoded(value: string): string {
  try {
    return decodeURIComponent(value);
  } catch {
    return value;
  }
}

/** One that says in the log that spans were lost, and why. */
function telling(exporter: SpanExporter, log: Log): SpanExporter {
  const warn = atMostEvery(REPEAT_LOG_MS, log);
  return {
    export: (spans: ReadableSpan[], done) =>
      exporter.export(spans, (result) => {
        if (result.error !== undefined)
          warn({ spans: spans.length, error: messageOf(result.error) }, 'traces could not be sent');
        done(result);
      }),
    shutdown: () => exporter.shutdown(),
    forceFlush: async () => exporter.forceFlush?.(),
  };
}
