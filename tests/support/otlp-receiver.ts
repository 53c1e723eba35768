/** An OTLP receiver over HTTP: what was sent to it, decoded from protobuf by the numbers of its fields (opentelemetry-proto v1). */
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface ReceivedSpan {
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string;
  readonly kind: number;
  readonly attributes: Readonly<Record<string, unknown>>;
  /** 2: an error. */
  readonly status: number;
  /** Of whoever sent it. */
  readonly resource: Readonly<Record<string, unknown>>;
}

export interface OtlpReceiver {
  readonly url: string;
  readonly spans: ReceivedSpan[];
  readonly requests: {
    readonly path: string;
    readonly headers: IncomingHttpHeaders;
    readonly body: Buffer;
  }[];
  close(): Promise<void>;
}

export async function startOtlpReceiver(): Promise<OtlpReceiver> {
  const spans: ReceivedSpan[] = [];
  const requests: OtlpReceiver['requests'] = [];
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks);
    requests.push({ path: request.url ?? '', headers: request.headers, body });
    spans.push(...spansOf(body));
    response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const close = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, spans, requests, close };
}

type Value = bigint | Buffer;
type Message = ReadonlyMap<number, readonly Value[]>;

/** ExportTraceServiceRequest: resource_spans = 1; of each resource = 1, scope_spans = 2; of each spans = 2. */
function spansOf(body: Buffer): ReceivedSpan[] {
  return inside(decode(body), 1).flatMap((of) => {
    const resource = attributesOf(inside(of, 1).flatMap((each) => inside(each, 1)));
    return inside(of, 2)
      .flatMap((scope) => inside(scope, 2))
      .map((span) => spanOf(span, resource));
  });
}

/** trace_id = 1, span_id = 2, parent_span_id = 4, name = 5, kind = 6, attributes = 9, status = 15 (code = 3). */
function spanOf(span: Message, resource: ReceivedSpan['resource']): ReceivedSpan {
  const [status] = inside(span, 15);
  return {
    ...{ traceId: bytes(span, 1).toString('hex'), spanId: bytes(span, 2).toString('hex') },
    ...{ parentSpanId: bytes(span, 4).toString('hex'), name: bytes(span, 5).toString() },
    ...{ kind: Number(span.get(6)?.[0] ?? 0), attributes: attributesOf(inside(span, 9)), resource },
    status: Number(status?.get(3)?.[0] ?? 0),
  };
}

/** KeyValue: key = 1, value = 2. */
function attributesOf(pairs: readonly Message[]): Record<string, unknown> {
  return Object.fromEntries(pairs.map((pair) => [bytes(pair, 1).toString(), anyOf(inside(pair, 2)[0])]));
}

/** AnyValue: string = 1, bool = 2, int = 3, double = 4, array = 5 (values = 1). */
function anyOf(value: Message | undefined): unknown {
  if (value?.has(1)) return bytes(value, 1).toString();
  if (value?.has(2)) return value.get(2)?.[0] === 1n;
  if (value?.has(3)) return Number(value.get(3)?.[0]);
  if (value?.has(4)) return bytes(value, 4).readDoubleLE();
  const [array] = value === undefined ? [] : inside(value, 5);
  return array === undefined ? undefined : inside(array, 1).map(anyOf);
}

function bytes(message: Message, field: number): Buffer {
  const [value] = message.get(field) ?? [];
  return Buffer.isBuffer(value) ? value : Buffer.alloc(0);
}

function inside(message: Message, field: number): Message[] {
  return (message.get(field) ?? []).flatMap((value) => (Buffer.isBuffer(value) ? [decode(value)] : []));
}

/** Wire types: 0 a varint, 1 eight bytes, 2 a length and as many bytes, 5 four bytes. */
function decode(body: Buffer): Message {
  const fields = new Map<number, Value[]>();
  let at = 0;
  const varint = () => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = body.readUInt8(at++);
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  const take = (length: number) => {
    at += length;
    return body.subarray(at - length, at);
  };
  while (at < body.length) {
    const tag = Number(varint());
    const wire = tag & 7;
    const value = wire === 0 ? varint() : take(wire === 2 ? Number(varint()) : wire === 1 ? 8 : 4);
    fields.set(tag >> 3, [...(fields.get(tag >> 3) ?? []), value]);
  }
  return fields;
}
