/** What a line that was sent means. */
import type { z } from 'zod';
import type { Approval, ResolveApproval } from '../../api/wire.ts';
import { answerOf } from '../questions.ts';

export type Meaning =
  | { readonly kind: 'nothing' }
  | { readonly kind: 'leave' }
  | { readonly kind: 'command'; readonly name: string; readonly args: string }
  | { readonly kind: 'answer'; readonly approval: Approval; readonly answer: z.infer<typeof ResolveApproval> }
  | { readonly kind: 'message'; readonly text: string };

const LEAVES = /^(exit|quit)$/i;
const COMMAND = /^\/([a-z][a-z-]*)(?:\s+([\s\S]*))?$/i;
/** A path, or a command to which something was glued. */
const GLUED = /^\/(([a-z][a-z-]*)\/\S*)/i;

interface Circumstances {
  readonly asked: Approval | undefined;
  readonly isAnswer: boolean;
  readonly commands?: readonly string[];
}

/**
 * `asked`: the question that stands at the input, if any. `isAnswer`: the line was begun after it came up: what was typed before
 * answers nothing. `commands`: names of those there are. A path that begins with a slash is no command, unless with the name of one.
 */
export function meaningOf(line: string, { asked, isAnswer, commands = [] }: Circumstances): Meaning {
  const text = line.trim();
  if (text === '') return { kind: 'nothing' };
  if (LEAVES.test(text)) return { kind: 'leave' };
  const [, name, args = ''] = COMMAND.exec(text) ?? [];
  if (name !== undefined) return { kind: 'command', name: name.toLowerCase(), args: args.trim() };
  const [, glued = '', begins = ''] = GLUED.exec(text) ?? [];
  if (commands.includes(begins.toLowerCase())) return { kind: 'command', name: glued, args: '' };
  const answer = asked && isAnswer ? answerOf(text, asked) : undefined;
  if (asked && answer) return { kind: 'answer', approval: asked, answer };
  return { kind: 'message', text };
}
