/**
 * What a worker tells of in a trace: the attempts at a turn, the requests to models and the calls. Each is part of what its row in Postgres
 * says, so that whoever takes a turn over goes on with the same trace. Names are those of OpenTelemetry's conventions for generative
 * AI; ids are UUIDs, as in the log. Nothing that anybody said is in them.
 */
import { toPublicId } from '../core/id.ts';
import type { Call } from '../core/turn.ts';
import type { ModelRequest } from '../model/model.ts';
import { type Attributes, NO_SPAN, type Span } from '../tracing/tracing.ts';
import type { Streamed } from './call-model.ts';
import type { Run } from './run.ts';
import { idsOf, type Shell } from './shell.ts';

/** One attempt at a turn. */
export function turnSpan({ tracing }: Shell, { turn, profile }: Run): Span {
  if (!tracing.isOn) return NO_SPAN;
  const { teamId, sessionId, taskId, turnId, attemptId, turn: number } = idsOf(turn);
  return tracing.span('capybara.turn', {
    kind: 'consumer',
    parent: turn.traceparent ?? undefined,
    attributes: {
      ...{ 'capybara.team.id': teamId, 'capybara.session.id': sessionId, 'capybara.task.id': taskId },
      ...{ 'capybara.turn.id': turnId, 'capybara.attempt.id': attemptId, 'capybara.turn.number': number },
      'gen_ai.conversation.id': toPublicId('session', sessionId),
      'gen_ai.agent.name': profile.agent,
    },
  });
}

/** `name`: `provider/model`. */
export function chatSpan(
  { tracing }: Shell,
  run: Run,
  { name, request }: { name: string; request: ModelRequest },
): Span {
  if (!tracing.isOn) return NO_SPAN;
  const [provider = name, ...model] = name.split('/');
  const asked = model.join('/');
  return tracing.span(`chat ${asked}`, {
    kind: 'client',
    parent: run.span.traceparent,
    attributes: {
      ...{ 'gen_ai.operation.name': 'chat', 'gen_ai.provider.name': provider, 'gen_ai.request.model': asked },
      'gen_ai.conversation.id': toPublicId('session', run.turn.sessionId),
      'gen_ai.request.stream': true,
      'gen_ai.request.max_tokens': request.maxTokens,
      'gen_ai.request.temperature': request.temperature,
    },
  });
}

export function answeredAttributes({ answer, firstTokenMs }: Streamed): Attributes {
  const { usage, model, stopReason } = answer;
  return {
    ...{ 'gen_ai.response.model': model, 'gen_ai.response.finish_reasons': [stopReason] },
    ...{ 'gen_ai.usage.input_tokens': usage.input, 'gen_ai.usage.output_tokens': usage.output },
    'gen_ai.usage.cache_read.input_tokens': usage.cached,
    'gen_ai.usage.cache_creation.input_tokens': usage.cacheWritten,
    'gen_ai.usage.reasoning.output_tokens': usage.reasoning,
    'gen_ai.response.time_to_first_chunk': firstTokenMs === null ? undefined : firstTokenMs / 1_000,
  };
}

export function toolSpan(
  { tracing }: Shell,
  run: Run,
  { name, callId }: Pick<Call, 'name' | 'callId'>,
): Span {
  if (!tracing.isOn) return NO_SPAN;
  return tracing.span(`execute_tool ${name}`, {
    kind: 'internal',
    parent: run.span.traceparent,
    attributes: {
      ...{
        'gen_ai.operation.name': 'execute_tool',
        'gen_ai.tool.name': name,
        'gen_ai.tool.type': 'function',
      },
      'gen_ai.tool.call.id': callId,
    },
  });
}

/**
 * What a delegated task is part of. The call itself goes on for as long as that takes, at whatever worker, and so ends here: its span says
 * when it was begun.
 */
export function delegatedTrace(shell: Shell, run: Run, call: Call): { readonly traceparent?: string } {
  const span = toolSpan(shell, run, call);
  span.end();
  const { traceparent } = span;
  return traceparent === undefined ? {} : { traceparent };
}
