/** Which agents there are, on the wire. */
import { z } from 'zod';

const Mode = z.enum(['safe', 'plan', 'auto']);

const modeOf = Mode.meta({ description: 'how permission is asked where a task says nothing' });

export const Agents = z
  .object({
    data: z.array(
      z.object({
        name: z.string(),
        about: z.string().meta({ description: 'what it is for' }),
        model: z.string().nullable().meta({ description: 'null: the default one' }),
        mode: modeOf,
        writes: z.boolean().meta({ description: 'whether its tools may change anything' }),
        tools: z.array(z.string()),
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
  })
  .meta({ id: 'TaskProfile', description: 'The agent of a task as it was when the task was accepted.' });
