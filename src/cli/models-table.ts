/** Models as `capybara models list` shows them. */
import type { z } from 'zod';
import type { Models, OfferedModel } from '../api/wire.ts';
import { table } from './table.ts';

type Shown = z.infer<typeof Models>;
type Prices = NonNullable<OfferedModel['prices']>;

const HEADING = ['MODEL', 'WINDOW', 'OUTPUT', 'IMAGES', '$/M IN', 'CACHED', 'OUT', 'KNOWN FROM'];

export function modelsTable({ data, keptAsOf }: Shown, only?: string | undefined): string {
  const providers = data.filter(({ provider }) => only === undefined || provider === only);
  const rows = providers.flatMap(({ models }) => models.map((model) => rowOf(model, keptAsOf)));
  return rows.length === 0 ? '' : table(HEADING, rows);
}

function rowOf(
  { model, contextTokens, outputTokens, images, prices, from }: OfferedModel,
  keptAsOf: string,
): string[] {
  const words = { settings: 'settings', provider: 'provider', kept: `data of ${keptAsOf}` };
  return [
    ...[model, tokens(contextTokens), tokens(outputTokens)],
    images === null ? '?' : images ? 'yes' : 'no',
    ...pricesOf(prices),
    from.map((source) => words[source]).join(', ') || '-',
  ];
}

/** `1.05M`, `128k`; `?` is what nobody knows. */
function tokens(count: number | null): string {
  if (count === null) return '?';
  if (count >= 1_000_000) return `${Number((count / 1_000_000).toFixed(2))}M`;
  return count >= 1_000 ? `${Math.floor(count / 1_000)}k` : String(count);
}

/** `+`: a long request costs more. */
function pricesOf(prices: Prices | null): string[] {
  if (prices === null) return ['?', '?', '?'];
  const more = prices.long === undefined ? '' : '+';
  const cached = prices.cachedInput === undefined ? '-' : `${prices.cachedInput}${more}`;
  return [`${prices.input}${more}`, cached, `${prices.output}${more}`];
}

/** A line for each provider that could not be asked. */
export function problemsOf({ data }: Shown, only?: string | undefined): string[] {
  return data
    .filter(({ provider }) => only === undefined || provider === only)
    .flatMap(({ problem }) => (problem === null ? [] : [problem]));
}
