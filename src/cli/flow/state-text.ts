import type { TreeNode } from '../../api/wire.ts';
import { plural } from '../tool-lines.ts';
import { oneLine } from '../untrusted-text.ts';

const UNKNOWN_COLUMNS = 40;

/** What an agent does, as a word and what stands behind its colon; '' where nothing does. */
export function stateText(node: TreeNode): readonly [word: string, detail: string] {
  const { state, doing, waitingOn, task } = node;
  switch (state) {
    case 'executing':
      return [state, doing ? callText(doing) : ''];
    case 'waiting':
      if (task?.status === 'paused') return [state, task.status];
      return [state, waitingOn ? waitText(waitingOn) : ''];
    case 'idle':
      return [state, task?.status === 'queued' || task?.status === 'cancelled' ? task.status : ''];
    default:
      return [state, ''];
  }
}

/** A command says by itself that it is one. */
function callText({ tool, about = '' }: NonNullable<TreeNode['doing']>): string {
  if (about === '') return tool;
  return tool === 'bash' ? about : `${tool} ${about}`;
}

function waitText({ on, children = 0 }: NonNullable<TreeNode['waitingOn']>): string {
  switch (on) {
    case 'approval':
      return 'an approval';
    case 'children':
      return children === 0 ? 'delegated tasks' : `${children} delegated ${plural(children, 'task')}`;
    case 'input':
      return 'an answer';
    case 'retry':
      return 'another try';
    case 'budget':
      return 'a higher limit';
    case 'slot':
      return 'a free slot';
    default:
      // Of a newer server.
      return oneLine(String(on), UNKNOWN_COLUMNS);
  }
}
