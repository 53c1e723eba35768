/** What `capybara up` says when it is there. */

interface Running {
  readonly url: string;
  readonly dataDir: string;
  readonly apiKeyFile: string;
  readonly sandbox: { readonly name: keyof typeof WAYS; readonly reason: string };
  /** Of the key. */
  readonly notice?: string | undefined;
  /** Of webhooks that nothing can be signed for. */
  readonly webhooks?: string | undefined;
  /** Of an Ollama that was found. */
  readonly models?: string | undefined;
}

const WAYS = {
  none: 'run unconfined',
  bubblewrap: 'run in bubblewrap',
  runtime: 'run in the sandbox runtime',
  docker: 'run in docker',
} as const;

export function upLines(running: Running): string[] {
  const { url, dataDir, apiKeyFile, sandbox, notice, webhooks, models } = running;
  return [
    `Capybara runs at ${url}`,
    `  data directory  ${dataDir}`,
    `  key for the API ${apiKeyFile}`,
    ...(notice === undefined ? [] : [`                  ${notice}`]),
    `  commands        ${WAYS[sandbox.name]}: ${sandbox.reason}`,
    ...(webhooks === undefined ? [] : [`  webhooks        ${webhooks}`]),
    ...(models === undefined ? [] : [`  models          ${models}`]),
    'Try, in a repository: capybara run "explain what this project does"',
  ];
}
