import { type Body, blocksOf } from './request.ts';

/** Why the real APIs would refuse a body, in their words, or undefined. Only rules that real servers enforce. */

function listRefusal(body: Body): string | undefined {
  const isList = Array.isArray(body.messages) && body.messages.length > 0;
  return isList ? undefined : 'messages: at least one message is required';
}

export const NAME = /^[a-zA-Z0-9_-]{1,64}$/;

export function chatRefusal(body: Body): string | undefined {
  const none = listRefusal(body);
  if (none !== undefined) return none;
  const open = new Set<string>();
  for (const message of body.messages) {
    if (message.role !== 'user' && blocksOf(message.content).some((block) => block.type !== 'text')) {
      return `image_url is only supported in messages of the user, found in one of '${message.role}'`;
    }
    if (message.role === 'tool') {
      if (!open.delete(message.tool_call_id)) {
        return "messages with role 'tool' must be a response to a preceding message with 'tool_calls'";
      }
      continue;
    }
    if (open.size > 0) return unanswered(open);
    for (const item of message.tool_calls ?? []) {
      if (!NAME.test(item.function?.name ?? '')) return `invalid name of a tool call: ${item.function?.name}`;
      if (typeof item.function.arguments !== 'string') return 'arguments of a tool call must be a string';
      open.add(item.id);
    }
  }
  return open.size > 0 ? unanswered(open) : undefined;
}

function unanswered(open: Set<string>): string {
  return `an assistant message with 'tool_calls' must be followed by tool messages; missing: ${[...open].join(', ')}`;
}

export function messagesRefusal(body: Body): string | undefined {
  const none = listRefusal(body);
  if (none !== undefined) return none;
  if (!Number.isInteger(body.max_tokens) || body.max_tokens < 1) return 'max_tokens: Field required';
  if (body.messages[0].role !== 'user') return 'messages: first message must use the "user" role';
  let open = new Set<string>();
  const known = new Set<string>();
  for (const message of body.messages) {
    const blocks = blocksOf(message.content);
    const refusal =
      blocks.map(blockRefusal).find((text) => text !== undefined) ?? resultRefusal(message, blocks, open);
    if (refusal !== undefined) return refusal;
    if (message.role === 'assistant' && /thinking$/.test(blocks.at(-1)?.type))
      return 'The final block in an assistant message cannot be `thinking`.';
    const ids = blocks.filter((block) => block.type === 'tool_use').map((block) => block.id);
    open = new Set(ids);
    if (open.size < ids.length || ids.some((id) => known.has(id))) return 'tool_use ids must be unique';
    for (const id of ids) known.add(id);
  }
  return open.size > 0
    ? `tool_use ids were found without tool_result blocks: ${[...open].join(', ')}`
    : undefined;
}

function blockRefusal(block: Body): string | undefined {
  if (block.type === 'text' && block.text.trim() === '')
    return 'text content blocks must contain non-whitespace text';
  if (block.type === 'thinking' && typeof block.signature !== 'string')
    return 'thinking.signature: Field required';
  if (block.type === 'tool_result') return resultBlockRefusal(block);
  if (block.type !== 'tool_use') return undefined;
  if (typeof block.input !== 'object' || block.input === null)
    return 'tool_use.input: Input should be an object';
  if (!NAME.test(block.name)) return 'tool_use.name: String should match pattern';
  return NAME.test(block.id) ? undefined : 'tool_use.id: String should match pattern';
}

function resultBlockRefusal({ content, is_error: isError }: Body): string | undefined {
  const blocks = blocksOf(content);
  if (isError === true && blocks.some((block) => block.type !== 'text'))
    return 'tool_result: all content must be type "text" if "is_error" is true';
  return blocks.map(blockRefusal).find((text) => text !== undefined);
}

/** Every result answers a call of the message before, all of them are there, and they come first. */
function resultRefusal(message: Body, blocks: Body[], open: Set<string>): string | undefined {
  const results = blocks.filter((block) => block.type === 'tool_result');
  const unexpected = results.find((block) => message.role !== 'user' || !open.has(block.tool_use_id));
  if (unexpected !== undefined)
    return `unexpected tool_use_id found in tool_result blocks: ${unexpected.tool_use_id}`;
  const missing = [...open].filter((id) => !results.some((block) => block.tool_use_id === id));
  if (missing.length > 0) return `tool_use ids were found without tool_result blocks: ${missing.join(', ')}`;
  const first = blocks.slice(0, results.length);
  return first.every((block) => block.type === 'tool_result') || results.length === 0
    ? undefined
    : 'tool_result blocks must come before other content';
}
