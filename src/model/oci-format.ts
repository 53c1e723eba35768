/** What the message formats of Oracle's cloud share: where they stand in a request, and what an answer's pieces say. */
import type { ModelRequest, TokenUsage } from './model.ts';
import type { OciModelName } from './oci-names.ts';
import { fields, ReportedError, stringOf } from './report.ts';
import type { Collector } from './stream.ts';
import { tokens } from './usage.ts';

/** A message of the answer's event stream: any field may be missing or odd. */
export type OciChunk = Readonly<Record<string, unknown>>;

/** One message format. Made once for each model, because it keeps what it wrote of a conversation. */
export interface OciFormat {
  /** The body's JSON, in pieces. */
  bodyOf(request: ModelRequest, compartment: string): readonly Uint8Array[];
  collector(): Collector<OciChunk>;
}

export interface FormatOptions {
  readonly name: OciModelName;
  /** Its name in the settings. */
  readonly provider: string;
  /** As it was asked for: named where the answer does not say who answered. */
  readonly model: string;
}

/** How the signatures of reasoning begin: only whose model it is gets it back, and by the same account. */
export function ociSealOf({ provider, name }: FormatOptions): string {
  return `oci ${provider}@${name.vendor} `;
}

interface Framed {
  readonly name: OciModelName;
  readonly compartment: string;
  /** The request's settings, without its list of messages. */
  readonly settings: object;
  /** That list's name. */
  readonly list: string;
  readonly items: readonly Uint8Array[];
}

/** The list stands last, so that what was written of it before is sent as it is. */
export function framed({ name, compartment, settings, list, items }: Framed): readonly Uint8Array[] {
  const servingMode = name.isDedicated
    ? { servingType: 'DEDICATED', endpointId: name.id }
    : { servingType: 'ON_DEMAND', modelId: name.id };
  const outer = JSON.stringify({ compartmentId: compartment, servingMode }).slice(0, -1);
  const inner = JSON.stringify(settings).slice(0, -1);
  return [Buffer.from(`${outer},"chatRequest":${inner},"${list}":[`), ...items, Buffer.from(']}}')];
}

/** Asks for the count of tokens at the stream's end. */
export const STREAMED = { isStream: true, streamOptions: { isIncludeUsage: true } } as const;

export function usageOf(value: unknown): TokenUsage | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const usage = fields(value);
  return {
    input: tokens(usage.promptTokens ?? usage.inputTokens),
    output: tokens(usage.completionTokens ?? usage.outputTokens),
    cached: tokens(fields(usage.promptTokensDetails).cachedTokens),
    reasoning: tokens(fields(usage.completionTokensDetails).reasoningTokens),
  };
}

/**
 * The error that a message of the stream is instead of a piece of the answer: `{"code", "message"}` as a refusal has it, with
 * or without its status, or behind some models another API's `{"error": …}`.
 */
export function reportedIn(chunk: unknown): Readonly<Record<string, unknown>> | undefined {
  const { error, code, status, message } = fields(chunk);
  if (typeof error === 'string' && error !== '') return { message: error };
  if (typeof error === 'object' && error !== null) return fields(error);
  const isPiece = typeof message === 'object' && message !== null;
  return isPiece || (code ?? status ?? undefined) === undefined ? undefined : { code, status, message };
}

/** Words of the service for an answer that it could not finish; the first is what a context that is full is called. */
const LIMIT = 'ERROR_LIMIT';
const BROKEN = ['ERROR', 'USER_CANCEL', 'CANCELLED'];

export function failIfBroken(finish: string, chunk: OciChunk): void {
  const said = stringOf(chunk.errorMessage);
  if (finish === LIMIT) throw new ReportedError(413, said);
  if (BROKEN.includes(finish)) throw new ReportedError(502, said || `the answer ended with ${finish}`);
}
