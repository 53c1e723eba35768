/**
 * Models of Oracle's cloud. Oracle's own client is not what asks: it takes no signal, so that a request could not be ended; it
 * tries again by itself; and it hands a stream on as bytes. Its library signs in, and signs.
 */
import { DEFAULT_ANSWER_BYTES, DEFAULT_TIMEOUTS, type ModelOptions, sentHeaders } from './connection.ts';
import { dataOf } from './event-stream.ts';
import { exchanging, guardedFetch } from './guarded-fetch.ts';
import type { Model, ModelRequest } from './model.ts';
import { createCohereFormat } from './oci-cohere.ts';
import { type OciChunk, type OciFormat, reportedIn } from './oci-format.ts';
import { createMessageFormat } from './oci-messages.ts';
import { type OciModelName, ociModelOf, ociRangeOf, ociSettingsOf, ociTakesImages } from './oci-names.ts';
import { OciService } from './oci-service.ts';
import { KnownFailure } from './report.ts';
import { streamAnswer } from './stream.ts';

export function createOciModel(options: ModelOptions): Model {
  const name = ociModelOf(options.model);
  const format = formatOf(name, options);
  const service = new OciService(options);
  const info = { ...knownOf(name), ...options.settings };
  return {
    name: `${options.provider}/${options.model}`,
    takesImages: (options.images ?? true) && (info.images ?? ociTakesImages(options.model)),
    info,
    stream: (request, signal) =>
      streamAnswer<OciChunk>(
        {
          origin: service.origin,
          timeouts: { ...DEFAULT_TIMEOUTS, ...options.timeouts },
          answerBytes: options.answerBytes ?? DEFAULT_ANSWER_BYTES,
          collector: format.collector(),
          open: async (abort, onBytes) => {
            const asked = within(request, name, info);
            return ask({ options, service, format }, asked, { signal: abort, onBytes });
          },
        },
        signal,
      ),
  };
}

function formatOf(name: OciModelName, { provider, model }: ModelOptions): OciFormat {
  return name.format === 'COHERE'
    ? createCohereFormat({ name, provider, model })
    : createMessageFormat({ name, provider, model });
}

function knownOf(name: OciModelName): Model['info'] {
  const { temperature, outputTokens } = ociRangeOf(name);
  return {
    ...(outputTokens === undefined ? {} : { outputTokens }),
    ...(temperature === null ? { temperature: false } : {}),
  };
}

function within(request: ModelRequest, name: OciModelName, info: Model['info']): ModelRequest {
  const { temperature: _t, maxTokens: _m, ...rest } = request;
  const settings = ociSettingsOf(name, request, info);
  if ('kind' in settings) throw new KnownFailure(settings);
  return { ...rest, ...settings };
}

interface Asked {
  readonly options: ModelOptions;
  readonly service: OciService;
  readonly format: OciFormat;
}

interface Heard {
  readonly signal: AbortSignal;
  readonly onBytes: (bytes: number) => void;
}

async function ask(
  { options, service, format }: Asked,
  request: ModelRequest,
  { signal, onBytes }: Heard,
): Promise<AsyncIterable<OciChunk>> {
  const caller = await service.caller('inference', signal);
  const body = format.bodyOf(request, caller.compartment);
  const url = `${caller.base}/actions/chat`;
  const unsigned = { method: 'POST', url, headers: { 'content-type': 'application/json' }, body } as const;
  const signed = await service.signed(caller, unsigned, signal);
  // Set by the connection itself; what was signed of them is the same.
  for (const each of ['host', 'content-length', 'date']) signed.delete(each);
  const headers = {
    ...sentHeaders(options, request.trace, Object.fromEntries(signed)),
    accept: 'text/event-stream',
  };
  const response = await guardedFetch(url, {
    method: 'POST',
    signal,
    ...exchanging({ body, headers, onBytes }),
  });
  if (response.status >= 400) throw service.refusal(response, await response.text(), caller);
  return chunksOf(response, (error) => service.reported(error, caller));
}

async function* chunksOf(
  { body }: Response,
  failureOf: (error: Readonly<Record<string, unknown>>) => object,
): AsyncGenerator<OciChunk> {
  if (body === null) return;
  for await (const data of dataOf(body)) {
    // Behind some models the end is told in the words of another API.
    if (data.trim() === '[DONE]') continue;
    const chunk = JSON.parse(data);
    const error = reportedIn(chunk);
    if (error !== undefined) throw failureOf(error);
    yield chunk;
  }
}
