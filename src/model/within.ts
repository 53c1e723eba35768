import type { ModelSettings } from '../core/provider.ts';
import { DEFAULT_MAX_TOKENS } from './anthropic.ts';
import type { Model, ModelRequest } from './model.ts';

/** The same model, asked for no more than it is known to take: here for all of them, so that no provider has to. */
export function withinSettings(model: Model): Model {
  return {
    ...model,
    stream: (request, signal) => model.stream(requestWithin(request, model.info), signal),
  };
}

/** Without a temperature or an effort where the model refuses one, and with no longer an answer than it can give. */
export function requestWithin(request: ModelRequest, info: ModelSettings): ModelRequest {
  const { temperature, maxTokens, effort, ...others } = request;
  const most = answerTokens(maxTokens, info);
  return {
    ...others,
    ...(temperature === undefined || info.temperature === false ? {} : { temperature }),
    ...(effort === undefined || info.effort === false ? {} : { effort }),
    ...(most === undefined ? {} : { maxTokens: most }),
  };
}

/** Tokens that an answer is asked for; undefined leaves it to the provider. */
function answerTokens(asked: number | undefined, { outputTokens }: ModelSettings): number | undefined {
  if (outputTokens === undefined) return asked;
  // What a provider asks for by itself is no more than this.
  if (asked === undefined) return outputTokens < DEFAULT_MAX_TOKENS ? outputTokens : undefined;
  return Math.min(asked, outputTokens);
}
