/**
 * Cohere's first format, `COHERE`: what is said now stands beside what was said before, calls have no ids, and a tool's
 * parameters are a flat list.
 */
import type { models } from 'oci-generativeaiinference';
import type { Part, ToolPart } from '../core/entry.ts';
import { argumentsOf, type Round, roundsOf, type ToolResult, wireName } from './history.ts';
import type { ModelMessage, ModelRequest, ToolSpec } from './model.ts';
import { CohereAnswer } from './oci-cohere-answer.ts';
import { type FormatOptions, framed, type OciFormat, STREAMED } from './oci-format.ts';
import { objectOf, plainSchema } from './oci-schema.ts';
import { Transcript } from './transcript.ts';

type UserRound = Extract<Round, { role: 'user' }>;
type Message = models.CohereUserMessage | models.CohereChatBotMessage | models.CohereToolMessage;

/** What stands for no text: a message must have some. */
const NO_TEXT = ' ';
/** Between results and what a person said behind them: results must be followed by the model. */
const TOOK_RESULTS = 'I have the results.';
/** Said where nobody said anything. */
const GO_ON = 'Go on.';

/** The format has none. */
const NO_REASONING = () => false;

export function createCohereFormat({ name, model }: FormatOptions): OciFormat {
  const transcript = new Transcript(historyMessages, { opens: NO_REASONING });
  return {
    bodyOf: (request, compartment) => {
      const { before, now, calls } = halvesOf(request.messages);
      const { added, ...current } = currentOf(now, calls);
      const settings = { apiFormat: 'COHERE', ...STREAMED, ...settingsOf(request), ...current };
      const past = transcript.listOf({ messages: before });
      const newest = Buffer.from(JSON.stringify(added).slice(1, -1));
      const lists = [past, newest.length === 0 ? [] : [newest]].filter((list) => list.length > 0);
      const items = lists.flatMap((list, index) => (index === 0 ? list : [Buffer.from(','), ...list]));
      return framed({ name, compartment, settings, list: 'chatHistory', items });
    },
    collector: () => new CohereAnswer(model),
  };
}

interface Halves {
  /** Up to the model's last answer. */
  readonly before: readonly ModelMessage[];
  /** What it was told since. */
  readonly now: UserRound;
  /** Its calls, whose results are in `now`. */
  readonly calls: readonly ToolPart[];
}

function halvesOf(messages: readonly ModelMessage[]): Halves {
  const last = messages.findLastIndex(
    (message) => message.role === 'assistant' && roundsOf([message], NO_REASONING)[0],
  );
  const [answer] = roundsOf(messages.slice(last, last + 1), NO_REASONING);
  const [now] = roundsOf(messages.slice(last + 1));
  return {
    before: messages.slice(0, last + 1),
    now: now?.role === 'user' ? now : { role: 'user', results: [], images: [], texts: [] },
    calls: answer?.role === 'assistant' ? callsIn(answer.parts) : [],
  };
}

/** What is said now, and what is to be added to what was said before. */
function currentOf({ results, texts }: UserRound, calls: readonly ToolPart[]) {
  const message = texts.join('\n\n');
  if (results.length === 0) return { message: message || GO_ON, added: [] };
  const toolResults = wireResults(results, calls);
  // The service refuses results beside a message.
  if (message === '') return { message, toolResults, added: [] };
  return { message, added: [{ role: 'TOOL', toolResults }, chatBot(TOOK_RESULTS)] satisfies Message[] };
}

/** Results name the calls that they belong to: those of the answer before. */
function historyMessages(round: Round, index: number, rounds: readonly Round[]): Message[] {
  if (round.role === 'assistant') return [chatBot(textIn(round.parts), callsIn(round.parts))];
  const before = rounds[index - 1];
  return userMessages(round, before?.role === 'assistant' ? callsIn(before.parts) : []);
}

function userMessages({ results, texts }: UserRound, calls: readonly ToolPart[]): Message[] {
  const toolResults = wireResults(results, calls);
  const said = texts.join('\n\n');
  return [
    ...(results.length === 0 ? [] : [{ role: 'TOOL', toolResults }]),
    ...(results.length === 0 || said === '' ? [] : [chatBot(TOOK_RESULTS)]),
    ...(said === '' ? [] : [{ role: 'USER', message: said }]),
  ];
}

function chatBot(said: string, calls: readonly ToolPart[] = []): models.CohereChatBotMessage {
  const toolCalls = calls.map(wireCall);
  return { role: 'CHATBOT', message: said || NO_TEXT, ...(toolCalls.length === 0 ? {} : { toolCalls }) };
}

function wireResults(results: readonly ToolResult[], calls: readonly ToolPart[]): models.CohereToolResult[] {
  return results.map(({ callId, text }) => {
    const call = calls.find((each) => each.callId === callId);
    return { call: call ? wireCall(call) : { name: 'unnamed', parameters: {} }, outputs: [{ output: text }] };
  });
}

function wireCall(call: ToolPart): models.CohereToolCall {
  return { name: wireName(call.name), parameters: argumentsOf(call) };
}

function callsIn(parts: readonly Part[]): ToolPart[] {
  return parts.filter((part) => part.type === 'tool');
}

function textIn(parts: readonly Part[]): string {
  return parts.map((part) => (part.type === 'text' ? part.text : '')).join('');
}

function settingsOf({ system, tools, temperature, maxTokens }: ModelRequest): object {
  return {
    ...(system === '' ? {} : { preambleOverride: system }),
    ...(tools.length === 0 ? {} : { tools: tools.map(wireTool) }),
    ...(temperature === undefined ? {} : { temperature }),
    ...(maxTokens === undefined ? {} : { maxTokens }),
  };
}

/** The types of parameters are Python's. */
const TYPES: Readonly<Record<string, string>> = {
  string: 'str',
  integer: 'int',
  number: 'float',
  boolean: 'bool',
  array: 'list',
  object: 'dict',
};

function wireTool({ name, description, parameters }: ToolSpec): models.CohereTool {
  const { properties, required } = plainSchema(parameters);
  const needed = Array.isArray(required) ? required : [];
  const parameterDefinitions = Object.fromEntries(
    Object.entries(objectOf(properties)).map(([key, value]) => {
      const { type, description: said, ...more } = objectOf(value);
      const words = [
        said,
        Object.keys(more).length === 0 ? undefined : `JSON Schema: ${JSON.stringify(more)}`,
      ];
      const definition: models.CohereParameterDefinition = {
        description: words.filter((each) => typeof each === 'string').join('\n'),
        type: TYPES[String(type)] ?? 'str',
        isRequired: needed.includes(key),
      };
      return [key, definition];
    }),
  );
  return { name, description, parameterDefinitions };
}
