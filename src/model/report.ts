import type { Failure } from '../core/errors.ts';

/** An error that a provider reported in a form that its SDK does not recognise. `headers`: where it was the whole response. */
export class ReportedError extends Error {
  override readonly name = 'ReportedError';
  readonly status: number;
  readonly headers: Headers | undefined;
  constructor(status: number, message: string, headers?: Headers) {
    super(message);
    this.status = status;
    this.headers = headers;
  }
}

/** Thrown where a response shows that the address is not that of an API: what it did, and what to do about it. */
export class BadEndpoint extends Error {
  override readonly name = 'BadEndpoint';
  readonly found: string;
  readonly remedy: string;
  constructor(found: string, remedy = 'check its base URL') {
    super(found);
    this.found = found;
    this.remedy = remedy;
  }
}

/** Thrown where it is known already what failure it is: of signing in, or of a request that was never sent. */
export class KnownFailure extends Error {
  override readonly name = 'KnownFailure';
  readonly failure: Failure;
  constructor(failure: Failure) {
    super(failure.message);
    this.failure = failure;
  }
}

/** An error that a provider reported as JSON at a status of success. Its message stays out of the SDKs' sight. */
export class JsonError extends Error {
  override readonly name = 'JsonError';
  readonly error: unknown;
  constructor(error: unknown) {
    super('an error at status 200');
    this.error = error;
  }
}

/** An error object that a provider reported inside a stream, where its SDK takes it for one of the answer's events. */
export class ReportedBody extends Error {
  override readonly name = 'ReportedBody';
  readonly error: unknown;
  constructor(error: unknown) {
    super('an error inside the stream');
    this.error = error;
  }
}

/** Thrown where a piece of an answer is JSON, but not what the API knows. `message` completes "The stream … held". */
export class MalformedAnswer extends Error {
  override readonly name = 'MalformedAnswer';
}

/** An error that a provider reported as JSON in the middle of an answer. */
export class StreamError extends Error {
  override readonly name = 'StreamError';
  readonly error: unknown;
  constructor(error: unknown) {
    super('an error inside the stream');
    this.error = error;
  }
}

/** What a provider said about an error, from either SDK's error classes (which share these fields) or ours. */
export interface Report {
  readonly status: number | undefined;
  /** True where the provider sent an error object. */
  readonly body: boolean;
  readonly code: string;
  readonly text: string;
  readonly headers: Headers | undefined;
  /** How long to wait, in seconds, where the error object says it: Google's says it nowhere else. */
  readonly retrySeconds: string;
}

export function reportOf(error: unknown): Report {
  const outer = fields(error);
  const body = fields(outer.error);
  const inner = typeof body.error === 'object' ? fields(body.error) : body;
  const code = [inner.code, inner.type, outer.code, outer.type].map(wordOf).find((word) => word !== '') ?? '';
  // Compatible servers also send `{detail}`, or a plain text where the error object belongs.
  const spoken = [inner.message, inner.detail, body.error, outer.error].find(
    (value) => typeof value === 'string',
  );
  const status = [outer.status, Number(wordOf(inner.code)), statusOf(code), statusOf(wordOf(inner.type))];
  return {
    status: status.find((value): value is number => typeof value === 'number' && value >= 400 && value < 600),
    body: outer.error !== undefined && outer.error !== null,
    code,
    text: spoken ?? (error instanceof ReportedError ? error.message : ''),
    headers: outer.headers instanceof Headers ? outer.headers : undefined,
    retrySeconds: retrySecondsIn(inner.details),
  };
}

/** `google.rpc.RetryInfo`, a duration such as `39s` or `0.5s`. */
function retrySecondsIn(details: unknown): string {
  const all = Array.isArray(details) ? details.map((detail) => stringOf(fields(detail).retryDelay)) : [];
  return all.find((delay) => delay.endsWith('s'))?.slice(0, -1) ?? '';
}

export function fields(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

/** A provider's text, where it is one: what else stands in its place counts as nothing. */
export function stringOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function wordOf(value: unknown): string {
  return typeof value === 'number' ? String(value) : stringOf(value);
}

/** The status that a provider's word for an error would have had, where the error comes inside a stream. */
function statusOf(code: string): number | undefined {
  // OpenAI has a dozen words for an image that it does not take.
  return STATUS_OF_CODE[code] ?? (/image/.test(code) ? 400 : undefined);
}

const STATUS_OF_CODE: Readonly<Record<string, number>> = {
  invalid_request_error: 400,
  invalid_prompt: 400,
  context_length_exceeded: 400,
  data_residency_mismatch: 400,
  bio_policy: 400,
  cyber_policy: 400,
  misalignment_policy_violation: 400,
  authentication_error: 401,
  invalid_api_key: 401,
  billing_error: 402,
  permission_error: 403,
  not_found_error: 404,
  model_not_found: 404,
  request_too_large: 413,
  rate_limit_error: 429,
  rate_limit_exceeded: 429,
  insufficient_quota: 429,
  api_error: 500,
  server_error: 500,
  timeout_error: 504,
  overloaded_error: 529,
};
