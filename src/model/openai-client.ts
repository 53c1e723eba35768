import type OpenAI from 'openai';
import { guardedFetch } from './guarded-fetch.ts';

/**
 * Made when it is first needed: an SDK takes long to load. Everything is passed explicitly, because what is left out the SDK
 * reads from the environment. The key travels in each request's headers, so the client never holds it.
 */
export async function createOpenAiClient(baseURL: string): Promise<OpenAI> {
  const { default: Client } = await import('openai');
  return new Client({
    apiKey: 'sent-as-header',
    adminAPIKey: null,
    organization: null,
    project: null,
    webhookSecret: null,
    baseURL,
    maxRetries: 0,
    logLevel: 'off',
    fetch: guardedFetch,
  });
}
