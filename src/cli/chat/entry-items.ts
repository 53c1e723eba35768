import type { Entry } from '../../api/wire.ts';
import { textOf } from '../../core/entry.ts';
import type { Item } from './state.ts';

/** What is shown of an entry of the log. Results are shown with their calls. */
export function entryItems(entry: Entry): Item[] {
  const { kind, parts, by, taskId } = entry;
  switch (kind) {
    case 'user':
      return [
        {
          kind: 'said',
          taskId,
          text: textOf(parts),
          files: parts.filter((part) => part.type === 'file'),
          by,
        },
      ];
    case 'assistant':
      return answerItems(entry);
    case 'revert':
      return [{ kind: 'note', text: revertText(entry), tone: 'warning' }];
    case 'pruning':
      return [{ kind: 'note', text: 'old output was taken out of what the model sees', tone: 'quiet' }];
    case 'compaction':
      return [{ kind: 'note', text: 'a summary stands for what came before, for the model', tone: 'quiet' }];
    case 'notice':
      return [{ kind: 'notice', text: textOf(parts) }];
    case 'tool_result':
      return [];
  }
}

function answerItems({ parts, taskId }: Entry): Item[] {
  const thought = parts.map((part) => (part.type === 'reasoning' ? part.text : '')).join('');
  const text = textOf(parts);
  const calls = parts.flatMap((part): Item[] =>
    part.type === 'tool'
      ? [
          {
            kind: 'call',
            taskId,
            ...{ callId: part.callId, name: part.name, arguments: part.arguments, status: 'requested' },
            ...{ output: '', result: '', files: [] },
          },
        ]
      : [],
  );
  return [
    ...(thought.trim() === '' ? [] : [{ kind: 'thought' as const, text: thought }]),
    ...(text.trim() === '' ? [] : [{ kind: 'answer' as const, text }]),
    ...calls,
  ];
}

function revertText({ to = 0 }: Entry): string {
  return to === 0
    ? 'the model sees nothing of what stands above: its context begins here'
    : `taken back to entry ${to}: the model sees nothing of what came after that, up to here`;
}
