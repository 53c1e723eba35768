/**
 * The formats that are lists of messages: `GENERIC`, which Meta's, xAI's and everyone else's models speak, and Cohere's
 * second, `COHEREV2`.
 */
import type { models } from 'oci-generativeaiinference';
import type { FilePart, Part } from '../core/entry.ts';
import type { Effort } from '../core/profile.ts';
import {
  argumentsOf,
  isBlank,
  opened,
  REASONING_CONTENT,
  type Round,
  type ToolResult,
  wireName,
} from './history.ts';
import type { ModelRequest, ToolSpec } from './model.ts';
import { OciMessageAnswer } from './oci-answer.ts';
import { type FormatOptions, framed, type OciFormat, ociSealOf, STREAMED } from './oci-format.ts';
import { plainSchema } from './oci-schema.ts';
import { MAX_CHAT_ID, shortId } from './openai-servers.ts';
import { imageMark, Transcript } from './transcript.ts';

type Message = models.Message & { readonly toolCalls?: object[]; readonly toolCallId?: string };
type Content = models.TextContent | models.ImageContent | models.CohereImageContentV2;

/** In what the two formats differ. */
interface Words {
  readonly apiFormat: 'GENERIC' | 'COHEREV2';
  readonly image: 'IMAGE' | 'IMAGE_URL';
  call(call: { readonly id: string; readonly name: string; readonly arguments: string }): object;
  tool(tool: models.Function): object;
  effort(effort: Effort): object;
  reasoning(text: string): { readonly content?: object[]; readonly reasoningContent?: string };
}

const GENERIC_EFFORTS: Readonly<Record<Effort, string>> = {
  ...{ none: 'MINIMAL', minimal: 'MINIMAL', low: 'LOW', medium: 'MEDIUM' },
  ...{ high: 'HIGH', xhigh: 'HIGH', max: 'HIGH' },
};

const GENERIC: Words = {
  apiFormat: 'GENERIC',
  image: 'IMAGE',
  call: (call) => ({ ...call, type: 'FUNCTION' }) satisfies models.FunctionCall,
  tool: (tool) => ({ type: 'FUNCTION', ...tool }) satisfies models.FunctionDefinition,
  effort: (effort) => ({ reasoningEffort: GENERIC_EFFORTS[effort] }),
  reasoning: (reasoningContent) => ({ reasoningContent }),
};

const COHERE_V2: Words = {
  apiFormat: 'COHEREV2',
  image: 'IMAGE_URL',
  call: ({ id, ...called }) => ({ id, type: 'FUNCTION', function: called }),
  tool: (called) => ({ type: 'FUNCTION', function: called }),
  effort: (effort) => ({ thinking: { type: effort === 'none' ? 'DISABLED' : 'ENABLED' } }),
  reasoning: (thinking) => ({ content: [{ type: 'THINKING', thinking }] }),
};

export function createMessageFormat(options: FormatOptions): OciFormat {
  const { name, model } = options;
  const seal = ociSealOf(options);
  const words = name.format === 'COHEREV2' ? COHERE_V2 : GENERIC;
  const idOf = name.vendor === 'openai' ? (id: string) => shortId(id, MAX_CHAT_ID) : (id: string) => id;
  const transcript = new Transcript((round) => wireMessages(round, { ...words, seal, idOf }), {
    opens: (signature) => signature.startsWith(seal),
  });
  return {
    bodyOf: (request, compartment) => {
      const items = transcript.listOf(request, systemMessages(request.system));
      const settings = settingsOf(request, words, name.vendor);
      return framed({ name, compartment, settings, list: 'messages', items });
    },
    collector: () => new OciMessageAnswer(model, seal),
  };
}

function settingsOf(
  { tools, temperature, maxTokens, effort }: ModelRequest,
  words: Words,
  vendor: string,
): object {
  return {
    apiFormat: words.apiFormat,
    ...STREAMED,
    ...(tools.length === 0 ? {} : { tools: tools.map((tool) => words.tool(wireTool(tool))) }),
    ...(temperature === undefined ? {} : { temperature }),
    ...(maxTokens === undefined ? {} : maxTokensOf(maxTokens, vendor)),
    ...(effort === undefined ? {} : words.effort(effort)),
  };
}

/** OpenAI's models refuse the older name. */
function maxTokensOf(maxTokens: number, vendor: string) {
  return vendor === 'openai' ? { maxCompletionTokens: maxTokens } : { maxTokens };
}

function wireTool({ name, description, parameters }: ToolSpec): models.Function {
  return { name, description, parameters: plainSchema(parameters) };
}

function systemMessages(system: string): Message[] {
  return system === '' ? [] : [{ role: 'SYSTEM', content: [text(system)] }];
}

function text(said: string): models.TextContent {
  return { type: 'TEXT', text: said };
}

interface Sealed extends Words {
  readonly seal: string;
  /** How the id of a call is sent: as it came, but where another provider's would be refused. */
  readonly idOf: (callId: string) => string;
}

function wireMessages(round: Round, words: Sealed): Message[] {
  if (round.role === 'assistant') return assistantMessages(round.parts, words);
  const results = round.results.map(({ callId, text: said }) => ({
    role: 'TOOL',
    toolCallId: words.idOf(callId),
    content: [text(isBlank(said) ? '(empty)' : said)],
  }));
  const ofTools = round.results.flatMap((result) => wireImages(result, words));
  const images = [...ofTools, ...sentImages(round, words)];
  const texts = round.texts.join('\n\n');
  const content = [...images, ...(texts === '' ? [] : [text(texts)])];
  return [...results, ...(content.length === 0 ? [] : [{ role: 'USER', content }])];
}

/** They are told apart from those of calls, where there are both. */
function sentImages({ results, images }: Extract<Round, { role: 'user' }>, words: Words): Content[] {
  const isMixed = images.length > 0 && results.some((result) => (result.images ?? []).length > 0);
  return [...(isMixed ? [text('Sent by the user:')] : []), ...images.map((image) => wireImage(image, words))];
}

/** A tool's message can hold none: they follow, and say whose they are. */
function wireImages({ callId, images = [] }: ToolResult, words: Sealed): Content[] {
  if (images.length === 0) return [];
  const what = `Returned by the tool call ${words.idOf(callId)}, not sent by the user:`;
  return [text(what), ...images.map((image) => wireImage(image, words))];
}

function wireImage({ mediaType, hash }: FilePart, { image }: Words): Content {
  return { type: image, imageUrl: { url: `data:${mediaType};base64,${imageMark(hash)}` } };
}

/** What stands for no text: the service fails on a message of the model's whose content is missing. */
const NO_TEXT = '.';

function assistantMessages(parts: readonly Part[], words: Sealed): Message[] {
  const said = parts.map((part) => (part.type === 'text' ? part.text : '')).join('');
  const toolCalls = parts.flatMap((part) =>
    part.type === 'tool' ? [words.call(wireCall(part, words))] : [],
  );
  if (said === '' && toolCalls.length === 0) return [];
  const { content = [], ...rest } = reasoningOf(parts, words);
  return [
    {
      role: 'ASSISTANT',
      content: [...(content as models.ChatContent[]), text(said || NO_TEXT)],
      ...(toolCalls.length === 0 ? {} : { toolCalls }),
      ...rest,
    },
  ];
}

function reasoningOf(parts: readonly Part[], words: Sealed): ReturnType<Words['reasoning']> {
  const thought = parts
    .map((part) =>
      part.type === 'reasoning' && opened(part.signature, words.seal) === REASONING_CONTENT ? part.text : '',
    )
    .join('');
  return thought === '' ? {} : words.reasoning(thought);
}

function wireCall(part: Extract<Part, { type: 'tool' }>, { idOf }: Sealed) {
  return { id: idOf(part.callId), name: wireName(part.name), arguments: JSON.stringify(argumentsOf(part)) };
}
