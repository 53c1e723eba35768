/**
 * What every part of Capybara is configured by. Only this file reads the environment.
 */
export interface Config {
  readonly databaseUrl?: string;
  /** For LISTEN and session locks where `databaseUrl` is a pooler; else the same. */
  readonly databaseDirectUrl?: string;
  readonly redisUrl?: string;
  /** The server that the CLI talks to; none: the embedded Capybara. */
  readonly url?: string;
  readonly apiKey?: string;
  readonly port: number;
  /** Absolute. */
  readonly dataDir: string;
  readonly concurrency: number;
  /** `provider/model`, or a bare model name where one provider is configured. */
  readonly model?: string;
  readonly temperature?: number;
  readonly maxTokens?: number;
  readonly offline: boolean;
  readonly debug: boolean;
  readonly sandbox: 'off';
  readonly providers: ProvidersConfig;
}

export interface ProvidersConfig {
  readonly anthropic?: ProviderConfig;
  readonly openai?: ProviderConfig;
  /** `CAPYBARA_MODEL_ENDPOINT`: any endpoint that speaks Chat Completions. */
  readonly env?: ProviderConfig;
}

export interface ProviderConfig {
  readonly apiKey?: string;
  readonly baseUrl?: string;
}
