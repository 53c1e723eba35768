/** What the model is told behind what a person said, and behind where the agent has been: before its next answer, and once. */
import type { NewEntry } from '../core/entry.ts';
import { attachedNotices } from './attachments.ts';
import { instructionNotices } from './instructions.ts';
import { mentioned } from './mentions.ts';
import type { Run } from './run.ts';
import type { Shell } from './shell.ts';

type Notice = Extract<NewEntry, { kind: 'notice' }>;

export async function saidNotices(shell: Shell, run: Run): Promise<readonly Notice[]> {
  const attached = await attachedNotices(shell, run);
  const { notices, paths } = await mentioned(shell, run);
  return [...attached, ...notices, ...(await instructionNotices(shell, run, paths))];
}
