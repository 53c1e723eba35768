/** What providers mean by an error: each has words and statuses of its own for the same thing. */
import type { Report } from './report.ts';

type Said = Pick<Report, 'code' | 'text'>;

/** How they say that the conversation does not fit, where they have no code for it. */
const OVERFLOW_TEXT = new RegExp(
  [
    'prompt is too long',
    'input is too long',
    'maximum (context|prompt) length',
    'exceed(s|ed)? (the )?(available |maximum |max |model.s )?(context|model token) (size|length|window|limit)',
    'exceeds (the )?maximum (allowed )?(token|input|sequence) (size|length|limit)',
    'context (length|window|size) (exceeded|exceeds|of .* exceeded|is exceeded|has been exceeded)',
    'input token count .* exceeds',
    'token count of \\d+ exceeds',
    'input tokens exceeded',
    'tokens in the prompt cannot exceed',
    'too many tokens: size limit exceeded',
    'longer than the (maximum model|model.s context|maximum context) length',
    'greater than the context length',
    'context length of only \\d+',
    'reached context length of',
    'range of input length should be',
    'tokens \\+ .max_new_tokens. must be',
    'reduce the length of the (messages|prompt|input)',
  ].join('|'),
  'i',
);
const OVERFLOW_CODES = [
  ...['context_length_exceeded', 'exceed_context_size_error', 'context_window_exceeded'],
  'model_max_prompt_tokens_exceeded',
];
/** Of the answer that is asked for: to shorten the conversation would not help. */
const ANSWER_TEXT = /max_(completion_)?tokens\b.{0,60}\btoo large/i;

export function isOverflow({ code, text }: Said, status = 400): boolean {
  if ([401, 403, 404, 429].includes(status) || ANSWER_TEXT.test(text)) return false;
  return status === 413 || OVERFLOW_CODES.includes(code) || OVERFLOW_TEXT.test(text);
}

const QUOTA_CODES = [
  ...['insufficient_quota', 'billing_hard_limit_reached', 'billing_not_active'],
  ...['exceeded_current_quota_error', 'Arrearage'],
];
/** Of Anthropic at 400, xAI and OpenRouter at 403, Z.ai at 429. Google says "check your plan and billing" of a mere rate. */
const QUOTA_TEXT =
  /credit balance is too low|any credits|reached your specified api usage limits|insufficient (balance|credits|funds)|key limit exceeded/i;

export function cannotPay({ code, text }: Said, status: number): boolean {
  return status === 402 || QUOTA_CODES.includes(code) || QUOTA_TEXT.test(text);
}

/** Of Google and xAI at 400. */
const KEY_TEXT = /\b(API key not valid|(invalid|incorrect) API key|API key (has )?expired)\b/i;

export function refusesKey({ text }: Said, status: number): boolean {
  return status === 401 || status === 403 || (status === 400 && KEY_TEXT.test(text));
}

const MODEL_CODES = ['model_not_found', 'invalid_model'];
/** Of OpenRouter, DeepSeek, Mistral and LiteLLM at 400. */
const MODEL_TEXT = /not a valid model|\bmodel\b.{0,200}\b(not|doesn.t) exist|invalid model( name|:)/i;

export function hasNoModel({ code, text }: Said, status: number): boolean {
  return status === 404 || (status === 400 && (MODEL_CODES.includes(code) || MODEL_TEXT.test(text)));
}
