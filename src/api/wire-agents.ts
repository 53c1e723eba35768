/** Which agents there are, on the wire. */
import { z } from 'zod';
import { EFFORTS, STRATEGIES } from '../core/profile.ts';

const Mode = z.enum(['safe', 'plan', 'auto']);

const Fallback = z.object({ model: z.string(), weight: z.number() });
const effortOf = z
  .enum(EFFORTS)
  .nullable()
  .meta({ description: 'how much its model is to think; null: as the provider does by itself' });

const modeOf = Mode.meta({ description: 'how permission is asked where a task says nothing' });

export const Agents = z
  .object({
    data: z.array(
      z.object({
        name: z.string(),
        about: z.string().meta({ description: 'what it is for' }),
        model: z.string().nullable().meta({ description: 'null: the default one' }),
        fallbacks: z
          .array(Fallback)
          .meta({ description: 'which models answer where that one cannot, in order' }),
        strategy: z
          .enum(STRATEGIES)
          .nullable()
          .meta({ description: 'how one is chosen; null: as the models are' }),
        effort: effortOf,
        mode: modeOf,
        writes: z.boolean().meta({ description: 'whether its tools may change anything' }),
        tools: z.array(z.string()),
        servers: z
          .array(z.string())
          .meta({ description: 'MCP servers that it may have tools of beside those, by name' }),
        promptHash: z.string().meta({ description: 'SHA-256 of its prompt, in hexadecimal' }),
      }),
    ),
  })
  .meta({ id: 'Agents' });

export type Agents = z.infer<typeof Agents>;

export const TaskProfile = z
  .object({
    hash: z.string().meta({ description: '`data.profile` of `turn.started` events names it' }),
    agent: z.string(),
    prompt: z.string().meta({ description: 'what the agent was told, in every turn of the task' }),
    promptHash: z.string().meta({ description: 'SHA-256 of the prompt, in hexadecimal' }),
    tools: z.array(z.string()),
    model: z.string(),
    mode: Mode,
    temperature: z.number().nullable(),
    maxTokens: z.int().nullable(),
    effort: effortOf,
  })
  .meta({ id: 'TaskProfile', description: 'The agent of a task as it was when the task was accepted.' });
