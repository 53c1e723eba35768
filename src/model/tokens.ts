/** Counts tokens as newer models of OpenAI do; what others count differently is corrected by what they say. */
import type { CountTokens } from '../core/context-size.ts';

/** Longer words of one script would take time that grows with their square. */
const SLICE = 512;

let loading: Promise<CountTokens> | undefined;

/** Loaded when it is first needed: its tables take long. The very same function each time. */
export function tokenCounter(): Promise<CountTokens> {
  loading ??= load();
  return loading;
}

async function load(): Promise<CountTokens> {
  const { countTokens } = await import('gpt-tokenizer/encoding/o200k_base');
  // What looks like a mark of the tokenizer's is text here, whoever wrote it.
  const asText = { disallowedSpecial: new Set<string>() };
  return (text) => {
    let tokens = 0;
    for (let from = 0; from < text.length; from += SLICE)
      tokens += countTokens(text.slice(from, from + SLICE), asText);
    return tokens;
  };
}
