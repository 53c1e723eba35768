import { NAME } from './check.ts';
import { imageOf, type ScriptedImage } from './images.ts';
import { type Body, type ScriptedCall, type ScriptedMessage, textOf, type WireBody } from './request.ts';

/** What the model wrote, as opposed to what was said to it. */
function isAnswer({ type, role }: Body): boolean {
  return role === 'assistant' || type === 'function_call' || type === 'reasoning';
}

export function readResponses(body: Body): WireBody {
  const tools = (body.tools ?? []).map((tool: Body) => String(tool.name));
  return {
    model: String(body.model),
    system: body.instructions ?? '',
    messages: messagesIn(body.input),
    tools,
  };
}

/** Items of the model's that follow each other are one answer. */
function messagesIn(input: Body[]): ScriptedMessage[] {
  const messages: ScriptedMessage[] = [];
  let answer: { role: 'assistant'; text: string; calls: ScriptedCall[] } | undefined;
  for (const item of input) {
    if (!isAnswer(item)) {
      answer = undefined;
      messages.push(saidBy(item));
      continue;
    }
    if (answer === undefined) {
      answer = { role: 'assistant', text: '', calls: [] };
      messages.push(answer);
    }
    if (item.role === 'assistant') answer.text += contentText(item.content);
    if (item.type === 'function_call')
      answer.calls.push({ id: item.call_id, name: item.name, arguments: item.arguments });
  }
  return messages;
}

function saidBy(item: Body): ScriptedMessage {
  if (item.type !== 'function_call_output') return { role: 'user', text: contentText(item.content) };
  return { role: 'tool', callId: item.call_id, text: contentText(item.output), isError: false };
}

function contentText(content: Body): string {
  if (typeof content === 'string') return content;
  return textOf(
    content.map((part: Body) => ({ ...part, type: String(part.type).replace(/^(in|out)put_/, '') })),
  );
}

export function responsesImages(body: Body): ScriptedImage[] {
  return body.input.flatMap(({ type, content, output }: Body) =>
    [content, output].flatMap((parts: Body) =>
      (Array.isArray(parts) ? parts : [])
        .filter((part: Body) => part.type === 'input_image')
        .map((part: Body) => imageOf(part.image_url, type === 'function_call_output' ? 'tool' : 'user')),
    ),
  );
}

/** Why the real API would refuse a body, in its words. */
export function responsesRefusal(body: Body): string | undefined {
  if (!Array.isArray(body.input) || body.input.length === 0) return "Missing required parameter: 'input'.";
  for (const field of ['messages', 'max_tokens', 'stream_options'])
    if (field in body) return `Unknown parameter: '${field}'.`;
  if ('temperature' in body && /^(o\d|gpt-5)/.test(body.model)) return "Unsupported parameter: 'temperature'";
  if (body.include?.length > 0 && body.model.startsWith('gpt-4'))
    return 'Encrypted content is not supported with this model.';
  return (
    body.input.map(itemRefusal).find((words: unknown) => words !== undefined) ?? orderRefusal(body.input)
  );
}

const ID = /^[a-zA-Z0-9_-]{1,64}$/;

function itemRefusal(item: Body): string | undefined {
  switch (item.type ?? 'message') {
    case 'message':
      return contentText(item.content) === '' ? 'a message must have content' : undefined;
    case 'reasoning':
      if (!Array.isArray(item.summary)) return "Missing required parameter: 'input[].summary'.";
      return item.encrypted_content ? undefined : `Item with id '${item.id}' not found.`;
    case 'function_call':
      if (!ID.test(item.call_id)) return `Invalid 'input[].call_id': ${item.call_id}`;
      if (!NAME.test(item.name)) return `Invalid 'input[].name': ${item.name}`;
      return typeof item.arguments === 'string' ? undefined : 'arguments must be a string';
    case 'function_call_output':
      return typeof item.output === 'string' || item.output?.length > 0 ? undefined : 'output is missing';
    default:
      return `Invalid value: '${item.type}'.`;
  }
}

/** Every call has one output behind it, and reasoning stands before what it led to. */
function orderRefusal(input: Body[]): string | undefined {
  const open = new Set<string>();
  const known = new Set<string>();
  for (const [at, item] of input.entries()) {
    const next = input[at + 1];
    if (item.type === 'reasoning' && !(next !== undefined && isAnswer(next)))
      return `Item '${item.id}' of type 'reasoning' was provided without its required following item.`;
    if (item.type === 'function_call' && known.has(item.call_id)) return `Duplicate call_id ${item.call_id}`;
    if (item.type === 'function_call') for (const calls of [open, known]) calls.add(item.call_id);
    if (item.type === 'function_call_output' && !open.delete(item.call_id))
      return `No tool call found for function call output with call_id ${item.call_id}.`;
  }
  const [missing] = open;
  return missing === undefined ? undefined : `No tool output found for function call ${missing}.`;
}
