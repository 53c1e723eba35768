import { expect, test } from 'vitest';
import { originOf } from '../../src/model/connection.ts';
import { MAX_QUOTED, MAX_RETRY_AFTER_MS, toFailure } from '../../src/model/failure.ts';
import { MAX_NAME_LENGTH, wireName } from '../../src/model/history.ts';

/** How errors are put into words, where no server is needed to see it. */
const NOW = Date.parse('2026-11-20T12:00:00Z');
const KEY = 'secret-key-of-a-gateway';
const origin = originOf(
  { provider: 'env', model: 'm-1', apiKey: KEY },
  'https://user:pass@host.example/v1?token=t',
);

function failed(error: unknown, stage: 'connecting' | 'streaming' = 'connecting') {
  return toFailure(error, origin, { stage, now: NOW });
}

function refused(status: number, message: string, headers: Record<string, string> = {}) {
  return { status, error: { message }, headers: new Headers(headers) };
}

test.each([
  [{ 'retry-after': '7' }, 7000],
  [{ 'retry-after': '0.25' }, 250],
  [{ 'retry-after': '20', 'retry-after-ms': '1500' }, 1500],
  [{ 'retry-after': 'Fri, 20 Nov 2026 12:00:30 GMT' }, 30_000],
  [{ 'retry-after': 'Fri, 20 Nov 2026 11:00:00 GMT' }, 0],
  [{ 'retry-after': String(MAX_RETRY_AFTER_MS / 1000) }, MAX_RETRY_AFTER_MS],
  [{ 'retry-after': String(MAX_RETRY_AFTER_MS / 1000 + 1) }, MAX_RETRY_AFTER_MS],
  [{ 'retry-after': 'soon' }, undefined],
  [{ 'retry-after': '-5' }, undefined],
  [{}, undefined],
])('%j means %s ms', (headers, expected) => {
  const failure = failed(refused(429, 'slow down', headers as Record<string, string>));
  if (expected === undefined) expect(failure).not.toHaveProperty('retryAfterMs');
  else expect(failure.retryAfterMs).toBe(expected);
});

test('an overloaded provider may say when, too', () => {
  expect(failed(refused(503, 'busy', { 'retry-after': '3' }))).toMatchObject({
    code: 'provider_unavailable',
    retryAfterMs: 3000,
  });
});

test.each([
  'This model’s maximum context length is 8192 tokens, but you sent 9000',
  'the request exceeds the available context size, try increasing it',
  'prompt is too long: 250000 tokens > 200000 maximum',
  'input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000',
  'The input token count (1200000) exceeds the maximum number of tokens allowed',
  'Please reduce the length of the messages or completion.',
  'The decoder prompt (length 4097) is longer than the maximum model length of 4096.',
  "The input (12000 tokens) is longer than the model's context length (8192 tokens).",
  'Trying to keep the first 15857 tokens when context the overflows. However, the model is loaded with context length of only 4096 tokens, which is not enough.',
  'The number of tokens to keep from the initial prompt is greater than the context length.',
  'Context size has been exceeded.',
  'Reached context length of 4096 tokens with model (arch: qwen3) that does not currently support mid-generation context overflow.',
  'prompt too long; exceeded max context length by 4 tokens',
  'prompt token count of 130000 exceeds the limit of 128000',
  'invalid params, context window exceeds limit (2013)',
  'Invalid request: Your request exceeded model token limit: 262144 (requested: 300000)',
  '`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000 `inputs` tokens',
  'InternalError.Algo.InvalidParameter: Range of input length should be [1, 98304]',
  'too many tokens: total number of tokens in the prompt cannot exceed 4081 - received 4292.',
  'too many tokens: size limit exceeded by 11326 tokens. Try using shorter or fewer inputs.',
  'Input length 140000 exceeds maximum allowed token size 128000',
])('"%s" is a context overflow, at a status and inside a stream', (message) => {
  const overflow = { kind: 'terminal', code: 'context_overflow' };
  expect(failed(refused(400, message))).toMatchObject(overflow);
  expect(failed({ error: { message } }, 'streaming')).toMatchObject(overflow);
});

test('how long to wait is also read where only the error object says it, as Google does', () => {
  const details = [{ reason: 'RATE_LIMIT_EXCEEDED' }, { retryDelay: '39.5s' }];
  const error = { code: 429, message: 'You exceeded your quota.', details };
  expect(failed({ status: 429, error, headers: new Headers() })).toEqual({
    ...{ kind: 'retryable', code: 'rate_limited', retryAfterMs: 39_500 },
    message: 'Provider env asks to wait (429): You exceeded your quota.',
  });
});

test.each([
  [400, 'max_tokens: 100000 > 64000, which is the maximum allowed number of output tokens', 'bad_request'],
  [
    400,
    "'max_tokens' or 'max_completion_tokens' is too large: 100000. This model's maximum context length is 32768 tokens",
    'bad_request',
  ],
  [400, "The requested model 'm-1' does not exist.", 'model_not_found'],
  [400, 'You have reached your specified API usage limits.', 'provider_quota'],
  [429, 'Request too large: maximum context length per minute', 'rate_limited'],
])('%i "%s" is no context overflow', (status, message, code) => {
  expect(failed(refused(status, message)).code).toBe(code);
});

test('an overflow is also known by its code', () => {
  const error = { status: 400, error: { message: 'no', code: 'context_length_exceeded' } };
  expect(failed(error).code).toBe('context_overflow');
});

test.each([
  [429, { message: 'You exceeded your quota.', code: 'insufficient_quota' }],
  [429, { message: 'Your account is not active.', code: 'billing_not_active' }],
  [400, { message: 'Billing hard limit has been reached', code: 'billing_hard_limit_reached' }],
  [400, { type: 'invalid_request_error', message: 'Your credit balance is too low to access the API.' }],
  [402, { message: 'Insufficient Balance' }],
  [403, { message: 'Your newly created team doesn’t have any credits or licenses yet.' }],
  [403, { message: 'Key limit exceeded (monthly limit).' }],
  [429, { message: 'Your account is suspended.', type: 'exceeded_current_quota_error' }],
  [429, { message: 'Insufficient balance or no resource package. Please recharge.', code: '1113' }],
])('an account without credit is not worth a retry, whatever its status: %i %j', (status, error) => {
  expect(failed({ status, error })).toMatchObject({ kind: 'terminal', code: 'provider_quota' });
});

test('a key is told with the variable that the settings name for it', () => {
  const at = (apiKey: object) =>
    originOf({ provider: 'work', model: 'm', apiKeyVariable: 'WORK_KEY', ...apiKey }, 'http://h/v1');
  const said = (apiKey: object) =>
    toFailure(refused(401, 'no'), at(apiKey), { stage: 'connecting', now: NOW }).message;
  expect(said({})).toBe('Provider work wants a key (401): set WORK_KEY.');
  expect(said({ apiKey: KEY })).toBe('The key for provider work was refused (401): check WORK_KEY.');
});

test('of a quota that is a rate it is said to wait', () => {
  const message = 'You exceeded your current quota, please check your plan and billing details';
  expect(failed(refused(429, message))).toMatchObject({ kind: 'retryable', code: 'rate_limited' });
});

test('a key that may not do this is told with what was said of it', () => {
  expect(failed(refused(403, 'Country, region, or territory not supported')).message).toBe(
    'The key for provider env was refused (403) (Country, region, or territory not supported): check CAPYBARA_MODEL_API_KEY.',
  );
});

test.each([
  { message: 'm-1 is not a valid model ID', code: 400 },
  { message: 'Model Not Exist', code: 'invalid_request_error' },
  { message: 'Invalid model: m-1', type: 'invalid_model', code: '1500' },
  { message: 'Invalid model name passed in model=m-1', code: '400' },
  { message: 'Model "m-1" not found.', code: 'model_not_found' },
])('an unknown model is told at 400, too: %j', (error) => {
  expect(failed({ status: 400, error })).toMatchObject({
    ...{ kind: 'terminal', code: 'model_not_found' },
    message: expect.stringContaining('Model m-1 was not found at https://host.example/v1 (400): '),
  });
});

test.each([
  'API key not valid. Please pass a valid API key',
  'Incorrect API key provided: xa***. You can obtain an API key from https://console.example',
])('a key is refused where "%s" is said at 400', (message) => {
  expect(failed(refused(400, message))).toEqual({
    kind: 'terminal',
    code: 'provider_auth',
    message: 'The key for provider env was refused (400): check CAPYBARA_MODEL_API_KEY.',
  });
});

test.each([
  ["Unsupported value: 'temperature' does not support 0 with this model.", 'temperature'],
  ['Unrecognized request argument supplied: reasoning_effort', 'effort'],
  ["Unsupported parameter: 'reasoning.effort' is not supported with this model.", 'effort'],
])('"%s" is told with the setting that leaves %s out', (message, setting) => {
  expect(failed(refused(400, message)).message).toMatch(
    new RegExp(`\\. Where it takes none, say so in config.yaml: models: {env/m-1: {${setting}: false}}\\.$`),
  );
});

test.each(['temperature: range: 0..1', 'messages: at least one message is required'])(
  '"%s" needs no setting of that kind',
  (message) => expect(failed(refused(400, message)).message).not.toContain('config.yaml'),
);

test('a provider’s text is one line, without keys, and not too long', () => {
  const { message } = failed(
    refused(400, `key ${KEY} and\n sk-abcdefghijk and Bearer xyz. ${'x'.repeat(MAX_QUOTED)}`),
  );
  expect(message).toMatch(
    /^Provider env refused the request \(400\): key \[key\] and \[key\] and Bearer \[key\] x+…\.$/,
  );
  expect(failed(refused(400, 'y'.repeat(MAX_QUOTED))).message).toContain(`${'y'.repeat(MAX_QUOTED)}.`);
});

test('a key of four characters is hidden, a shorter one is a placeholder', () => {
  const said = (apiKey: string) => {
    const at = originOf({ provider: 'env', model: 'm-1', apiKey }, 'http://host.example/v1');
    return toFailure(refused(400, `abcd ${apiKey}`), at, { stage: 'connecting', now: NOW }).message;
  };
  expect(said('wxyz')).toContain('abcd [key].');
  expect(said('xyz')).toContain('abcd xyz.');
});

test('a tool name is sent as it is up to the longest that is allowed', () => {
  expect(wireName('a'.repeat(MAX_NAME_LENGTH))).toBe('a'.repeat(MAX_NAME_LENGTH));
  expect(wireName('a'.repeat(MAX_NAME_LENGTH + 1))).toBe('a'.repeat(MAX_NAME_LENGTH));
  expect(wireName('mcp.read file')).toBe('mcp_read_file');
  expect(wireName('')).toBe('unnamed');
});

test.each([[{ error: { detail: 'not here' } }], [{ error: 'not here' }], [{ error: { error: 'not here' } }]])(
  'the text of %j is found',
  (body) => {
    expect(failed({ status: 422, ...body }).message).toBe(
      'Provider env refused the request (422): not here.',
    );
  },
);

test('an endpoint is shown without user, password and query', () => {
  const { message } = failed(refused(404, ''));
  expect(message).toBe('Model m-1 was not found at https://host.example/v1 (404).');
});

test.each([
  ['ECONNREFUSED', 'provider_unreachable', 'provider_unreachable'],
  ['ENOTFOUND', 'provider_unreachable', 'provider_unreachable'],
  ['ECONNRESET', 'provider_unreachable', 'stream_cut'],
  ['UND_ERR_SOCKET', 'provider_unreachable', 'stream_cut'],
  ['ETIMEDOUT', 'provider_timeout', 'provider_timeout'],
  ['UND_ERR_HEADERS_TIMEOUT', 'provider_timeout', 'provider_timeout'],
  ['UND_ERR_BODY_TIMEOUT', 'provider_timeout', 'provider_timeout'],
])('%s is %s while connecting', (code, connecting, streaming) => {
  const cause = new AggregateError([Object.assign(new Error('connect'), { code })]);
  const error = new TypeError('fetch failed', { cause });
  expect(failed(error)).toMatchObject({ kind: 'retryable', code: connecting });
  if (streaming === 'stream_cut') expect(failed(error, 'streaming').code).toBe('stream_cut');
});

test('what is nobody else’s fault is our bug', () => {
  const error = new TypeError('x is not a function');
  expect(failed(error, 'streaming')).toEqual({
    kind: 'bug',
    code: 'model_bug',
    message: 'The answer of Provider env could not be read: x is not a function.',
  });
  expect(failed(error, 'connecting').message).toBe(
    'The request to Provider env could not be built: x is not a function.',
  );
});
