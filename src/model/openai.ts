import type OpenAI from 'openai';
import type { FilePart, Part } from '../core/entry.ts';
import {
  DEFAULT_ANSWER_BYTES,
  DEFAULT_TIMEOUTS,
  type ModelOptions,
  originOf,
  sentHeaders,
} from './connection.ts';
import { exchanging } from './guarded-fetch.ts';
import { argumentsOf, opened, type Round, sealOf, type ToolResult, wireName } from './history.ts';
import type { Model, ModelRequest, ToolSpec } from './model.ts';
import { OpenAiAnswer, type ResponseEvent } from './openai-answer.ts';
import { createOpenAiClient } from './openai-client.ts';
import type { Proof } from './openai-items.ts';
import {
  bearer,
  encryptsReasoning,
  methodBase,
  OPENAI_URL,
  shortId,
  takesTemperature,
} from './openai-servers.ts';
import { streamAnswer } from './stream.ts';
import { imageMark, JSON_BODY, Transcript } from './transcript.ts';

type Settings = Omit<OpenAI.Responses.ResponseCreateParamsStreaming, 'input'>;
type Item = OpenAI.Responses.ResponseInputItem;
type Output = OpenAI.Responses.ResponseInputItem.FunctionCallOutput['output'];

/** A model behind the Responses API, at OpenAI or at any endpoint that speaks it. The server keeps nothing of a conversation. */
export function createOpenAiModel(options: ModelOptions): Model {
  const baseUrl = baseUrlOf(options);
  const timeouts = { ...DEFAULT_TIMEOUTS, ...options.timeouts };
  const origin = originOf(options, baseUrl);
  const seal = sealOf('responses', origin);
  let client: ReturnType<typeof createOpenAiClient> | undefined;
  const transcript = new Transcript((round) => wireItems(round, seal), {
    list: 'input',
    opens: (signature) => signature.startsWith(seal),
  });
  const takes = takesTemperature(options.model, { settings: options.settings, baseUrl });
  return {
    name: `${options.provider}/${options.model}`,
    takesImages: options.images ?? options.settings?.images ?? true,
    info: options.settings ?? {},
    stream: (request, signal) =>
      streamAnswer<ResponseEvent>(
        {
          origin,
          timeouts,
          answerBytes: options.answerBytes ?? DEFAULT_ANSWER_BYTES,
          collector: new OpenAiAnswer(options.model, seal),
          open: async (abort, onBytes) => {
            client ??= createOpenAiClient(baseUrl);
            const sdk = await client;
            const headers = sentHeaders(options, request.trace, bearer(origin.apiKey, baseUrl));
            const settings = settingsOf(takes ? request : withoutTemperature(request), options.model);
            const body = transcript.requestOf(settings, request);
            // The SDK's own timer must not fire before ours: ours knows what it was waiting for.
            const timeout = timeouts.firstTokenMs * 2;
            const fetchOptions = exchanging({ body, headers, onBytes });
            // Not `responses.create`: that would write the whole conversation anew.
            return sdk.post<AsyncIterable<ResponseEvent>>('/responses', {
              ...{ signal: abort, headers: JSON_BODY, timeout, fetchOptions },
              stream: true,
            });
          },
        },
        signal,
      ),
  };
}

/** People also give the address of Chat Completions. */
function baseUrlOf({ baseUrl, model }: ModelOptions): string {
  const given = (baseUrl?.trim() || OPENAI_URL).replace(/\/chat\/completions\/*$/, '');
  return methodBase(given, '/responses', model);
}

function withoutTemperature({ temperature: _, ...request }: ModelRequest): ModelRequest {
  return request;
}

function settingsOf(request: ModelRequest, model: string): Settings {
  const { system, tools, temperature, maxTokens, effort, trace } = request;
  return {
    model,
    ...(system === '' ? {} : { instructions: system }),
    ...(tools.length > 0 ? { tools: tools.map(wireTool) } : {}),
    ...(temperature === undefined ? {} : { temperature }),
    ...(maxTokens === undefined ? {} : { max_output_tokens: maxTokens }),
    ...(effort === undefined ? {} : { reasoning: { effort } }),
    ...(encryptsReasoning(model) ? { include: ['reasoning.encrypted_content'] } : {}),
    // Requests of one conversation are led to the server that has its beginning at hand.
    prompt_cache_key: trace.sessionId,
    store: false,
    stream: true,
  };
}

function wireTool({ name, description, parameters }: ToolSpec): OpenAI.Responses.FunctionTool {
  // Strict ones may have no optional parameters.
  return { type: 'function', name, description, parameters: { ...parameters }, strict: false };
}

function wireItems(round: Round, seal: string): Item[] {
  if (round.role === 'assistant') return assistantItems(round.parts, seal);
  const results = round.results.map(
    (result): Item => ({
      type: 'function_call_output',
      call_id: shortId(result.callId),
      output: outputOf(result),
    }),
  );
  return [...results, ...userItems(round)];
}

/** What a person says: each text by itself, but for what stands behind images. */
function userItems({ images, texts }: Extract<Round, { role: 'user' }>): Item[] {
  if (images.length === 0) return texts.map((content) => ({ role: 'user', content }));
  const said = texts.map((text) => ({ type: 'input_text' as const, text }));
  return [{ role: 'user', content: [...images.map(wireImage), ...said] }];
}

function outputOf({ text, images = [] }: ToolResult): Output {
  return images.length === 0 ? text : [{ type: 'input_text', text }, ...images.map(wireImage)];
}

function wireImage({ mediaType, hash }: FilePart): OpenAI.Responses.ResponseInputImage {
  return { type: 'input_image', detail: 'auto', image_url: `data:${mediaType};base64,${imageMark(hash)}` };
}

/** Reasoning stands before the message or call that it led to; what led to nothing, of an answer that was cut, is refused. */
function assistantItems(parts: readonly Part[], seal: string): Item[] {
  const items: Item[] = [];
  let thoughts: Item[] = [];
  let phase: Phase;
  for (const part of parts) {
    if (part.type === 'reasoning') {
      const proof = proofOf(part.signature, seal);
      if (proof !== undefined && 'encrypted' in proof) thoughts.push(reasoningItem(proof));
      if (proof !== undefined && 'phase' in proof) phase = proof.phase as Phase;
      continue;
    }
    items.push(...thoughts, part.type === 'text' ? messageItem(part.text, phase) : callItem(part));
    thoughts = [];
    phase = undefined;
  }
  return items;
}

type Phase = 'commentary' | 'final_answer' | undefined;

function proofOf(signature: string | undefined, seal: string): Proof | undefined {
  const text = opened(signature, seal);
  return text === undefined ? undefined : JSON.parse(text);
}

function reasoningItem({ id, encrypted, summary }: Extract<Proof, { id: string }>): Item {
  return {
    type: 'reasoning',
    id,
    summary: summary.map((text) => ({ type: 'summary_text', text })),
    encrypted_content: encrypted,
  };
}

function messageItem(content: string, phase: Phase): Item {
  return { role: 'assistant', content, ...(phase === undefined ? {} : { phase }) };
}

function callItem(part: Extract<Part, { type: 'tool' }>): Item {
  return {
    type: 'function_call',
    call_id: shortId(part.callId),
    name: wireName(part.name),
    arguments: JSON.stringify(argumentsOf(part)),
  };
}
