/** The shapes of models on the wire. */
import { z } from 'zod';

export const ModelsQuery = z.strictObject({
  ask: z.enum(['true', 'false']).optional().meta({
    description: 'true: the providers are asked too which models they have; it takes seconds at most',
  }),
});

const dollars = z.number().meta({ description: 'US dollars for a million tokens' });
const prices = {
  input: dollars,
  output: dollars,
  cachedInput: dollars.optional(),
  cacheWrite: dollars.optional(),
};

export const ModelPrices = z
  .object({
    ...prices,
    long: z
      .object({ above: z.int(), ...prices })
      .optional()
      .meta({ description: 'of all of a request whose input has more than `above` tokens' }),
  })
  .meta({ id: 'ModelPrices' });

export const OfferedModel = z
  .object({
    model: z.string().meta({ description: '`provider/model`' }),
    contextTokens: z.int().nullable().meta({ description: 'tokens of a request and its answer together' }),
    outputTokens: z.int().nullable().meta({ description: 'tokens of the longest answer' }),
    images: z.boolean().nullable(),
    temperature: z.boolean().nullable().meta({ description: 'whether it takes one' }),
    prices: ModelPrices.nullable(),
    from: z
      .array(z.enum(['settings', 'provider', 'kept']))
      .meta({ description: 'where it is known from: the first counts. `kept`: Capybara’s own data' }),
  })
  .meta({ id: 'OfferedModel', description: 'A model; null is what nobody knows of it.' });
export type OfferedModel = z.infer<typeof OfferedModel>;

export const Models = z
  .object({
    data: z.array(
      z.object({
        provider: z.string(),
        kind: z.string(),
        defaultModel: z.string().nullable().meta({ description: '`provider/model`' }),
        models: z.array(OfferedModel),
        problem: z.string().nullable().meta({ description: 'why it could not be asked, in a sentence' }),
      }),
    ),
    default: z.string().nullable().meta({ description: 'the model of a task that names none' }),
    keptAsOf: z.iso.date().meta({ description: 'the day of Capybara’s own data' }),
  })
  .meta({ id: 'Models' });
export type Models = z.infer<typeof Models>;
