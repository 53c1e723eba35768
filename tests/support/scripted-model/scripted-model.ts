/**
 * A model for tests, the demo and the bench: a real HTTP server that speaks the providers' wire protocols, plays a
 * script, and remembers every request. It knows nothing of Capybara but its `x-capybara-*` headers.
 *
 * ```ts
 * const model = await startScriptedModel({ script: sequence([call('read_file', { path: 'a' }), say('Done.')]) });
 * ```
 */
export type { ScriptedMessage, ScriptedRequest, ScriptedResult } from './request.ts';
export { type ScriptedModel, type ScriptedModelOptions, startScriptedModel } from './server.ts';
export * from './step.ts';
