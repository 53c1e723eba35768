/** A service that searches the web: what is sent to it, and how its answer is read. One file each. */
import type { z } from 'zod';

export interface SearchQuery {
  readonly query: string;
  /** How many results are wanted. */
  readonly count: number;
}

export interface SearchHit {
  readonly title: string;
  readonly url: string;
  /** A few sentences of the page, plain text. */
  readonly snippet: string;
}

export interface SearchRequest {
  /** Below the base URL, with its query. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON, by POST; without one it is a GET. */
  readonly body?: object;
}

export interface SearchProvider<Answer = unknown> {
  /** Where it is, unless configured otherwise; none: it has to be. */
  readonly baseUrl?: string;
  readonly needsKey: boolean;
  readonly answer: z.ZodType<Answer>;
  request(query: SearchQuery, apiKey: string): SearchRequest;
  hits(answer: Answer): readonly SearchHit[];
}

/** Lets TypeScript infer the shape of a provider's answer. */
export function defineProvider<Answer>(provider: SearchProvider<Answer>): SearchProvider {
  return provider as SearchProvider;
}
