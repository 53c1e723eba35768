/** The kept data on models, `known-models.csv`: facts with a date, and nothing where one is not known. */
import { readFileSync } from 'node:fs';
import type { ModelSettings, Prices } from '../core/provider.ts';
import type { Offers } from './makers.ts';

interface KnownModel extends ModelSettings {
  readonly maker: string;
  readonly names: readonly string[];
}

export interface KnownModels {
  /** The day as of which the facts were gathered. */
  readonly asOf: string;
  readonly models: readonly KnownModel[];
}

const FILE = new URL('./known-models.csv', import.meta.url);
const COLUMNS = 'maker,names,context,output,images,temperature,above,input,cached,write,answer';

let read: KnownModels | undefined;

export function knownModels(): KnownModels {
  read ??= parseKnownModels(readFileSync(FILE, 'utf8'));
  return read;
}

/**
 * What the kept data says of a model where it is offered. Prices are the maker's own: at another's address nobody knows them; nor
 * how much of a model's window a server on one's own machine was started with.
 */
export function knownModel(offers: Offers, model: string): ModelSettings {
  const found = named(knownModels().models, model, offers.maker);
  if (found === undefined) return {};
  const { maker, names, prices, contextTokens, outputTokens, ...takes } = found;
  if (offers.isLocal) return takes;
  const lengths = { ...given({ contextTokens, outputTokens }), ...takes };
  return maker === offers.maker && prices !== undefined ? { ...lengths, prices } : lengths;
}

/** The names of what a maker has. */
export function namesOf(maker: string | undefined): string[] {
  return knownModels().models.flatMap((known) => (known.maker === maker ? known.names.slice(0, 1) : []));
}

function named(models: readonly KnownModel[], model: string, maker: string | undefined) {
  const own = models.filter((known) => maker === undefined || known.maker === maker);
  const all = own.flatMap((known) => known.names.map((name) => [name, known] as const));
  return spellings(model)
    .map((name) => saidOf(all, name))
    .find((found) => found !== undefined);
}

/** Behind a gateway a model's name has its maker's before it, points for dashes, and what is paid for it behind a colon. */
function spellings(model: string): string[] {
  const bare = (model.toLowerCase().split('/').at(-1) ?? '').replace(/:.*$/, '');
  return [bare, bare.replaceAll('.', '-')];
}

/** What is dated, or the latest of it, is what its name says without that. */
const DATED = /^-(\d{3,8}|\d{4}-\d{2}-\d{2}|\d{2}-\d{4}|latest)$/;

/** Of the longest of the names that `model` is, or begins with before a date. */
export function saidOf<Value>(
  named: Iterable<readonly [name: string, value: Value]>,
  model: string,
): Value | undefined {
  const fitting = [...named].filter(
    ([name]) => name === model || (model.startsWith(name) && DATED.test(model.slice(name.length))),
  );
  return fitting.toSorted(([one], [other]) => other.length - one.length)[0]?.[1];
}

/** Throws where a line is not one: the file is Capybara's own. */
export function parseKnownModels(text: string): KnownModels {
  const lines = text.split('\n').filter((line) => line !== '');
  const asOf = lines.map((line) => /^# As of: (\d{4}-\d\d-\d\d)$/.exec(line)?.[1]).find(Boolean) ?? '';
  const [columns, ...rows] = lines.filter((line) => !line.startsWith('#'));
  if (asOf === '' || columns !== COLUMNS)
    throw new Error('the kept data on models has no date, or other columns');
  const models: KnownModel[] = [];
  for (const row of rows) {
    const cells = row.split(',');
    if (cells.length !== COLUMNS.split(',').length) throw new Error(`no line of the kept data: ${row}`);
    const last = models.at(-1);
    if (cells[6] === '') models.push(modelOf(cells));
    else if (last?.prices !== undefined && cells[1] === last.names.join(' '))
      models.splice(-1, 1, {
        ...last,
        prices: { ...last.prices, long: { above: Number(cells[6]), ...pricesOf(cells) } },
      });
    else throw new Error(`no line of the kept data: ${row}`);
  }
  return { asOf, models };
}

function modelOf(cells: readonly string[]): KnownModel {
  const [maker = '', names = '', context, output, images, temperature] = cells;
  return {
    maker,
    names: names.split(' '),
    ...given({ contextTokens: number(context), outputTokens: number(output) }),
    ...given({ images: yesOrNo(images), temperature: yesOrNo(temperature) }),
    ...(cells[7] === '' ? {} : { prices: pricesOf(cells) }),
  };
}

function pricesOf(cells: readonly string[]): Prices {
  const [input, cachedInput, cacheWrite, output] = cells.slice(7).map(number);
  if (input === undefined || output === undefined)
    throw new Error(`no price in the kept data: ${cells.join(',')}`);
  return { input, output, ...given({ cachedInput, cacheWrite }) };
}

function number(cell: string | undefined): number | undefined {
  if (!cell) return undefined;
  if (!/^\d+(\.\d+)?$/.test(cell)) throw new Error(`no number in the kept data: ${cell}`);
  return Number(cell);
}

function yesOrNo(cell: string | undefined): boolean | undefined {
  return cell === 'yes' ? true : cell === 'no' ? false : undefined;
}

/** Without what is undefined. */
function given<Fields extends Record<string, unknown>>(fields: Fields): Partial<Fields> {
  return Object.fromEntries(
    Object.entries(fields).filter(([, value]) => value !== undefined),
  ) as Partial<Fields>;
}
