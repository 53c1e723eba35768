import type { Event, Task } from '../../api/wire.ts';
import { WAITS_FOR_LIMIT } from '../../core/router.ts';
import { withCode } from '../summary.ts';
import type { Tone } from './state.ts';

type TaskChange = Partial<Pick<Task, 'status' | 'waitingOn' | 'startedAt'>>;

/** How a task stands after an event. Its end is read with what it used. */
export function statusAfter({ type, at, data }: Event, task: Task): TaskChange | undefined {
  switch (type) {
    case 'task.started':
      return { status: 'running', waitingOn: null, startedAt: at };
    case 'task.waiting':
      return { status: 'waiting', waitingOn: data.on as Task['waitingOn'] };
    case 'task.paused':
      return { status: 'paused' };
    case 'task.resumed':
      return { status: task.waitingOn !== null && task.status === 'paused' ? 'waiting' : 'running' };
    default:
      return undefined;
  }
}

/** What a person is told of an event beside what the log shows. */
export function eventNote(event: Event): { text: string; tone: Tone } | undefined {
  const { type, data } = event;
  switch (type) {
    case 'turn.retried':
      return { text: `${failure(data)}; ${again(event)}`, tone: 'warning' };
    case 'turn.recovered':
      return { text: 'its worker was lost: another one goes on', tone: 'warning' };
    case 'task.waiting':
      return data.on === 'budget' || data.on === 'slot'
        ? {
            text: data.on === 'budget' ? 'waits for a higher limit' : 'waits for a free slot',
            tone: 'warning',
          }
        : undefined;
    case 'task.paused':
      return { text: `paused, until somebody types: capybara tasks resume ${event.taskId}`, tone: 'warning' };
    default:
      return undefined;
  }
}

function failure({ message, code }: Event['data']): string {
  const said = typeof message === 'string' && message !== '' ? message : 'no reason was given';
  return typeof code === 'string' ? withCode(said, code) : said;
}

function again({ at, data }: Event): string {
  if (typeof data.fallback === 'string') return `going on with ${data.fallback}`;
  const ms = Date.parse(String(data.dueAt)) - Date.parse(at);
  const what = data.code === WAITS_FOR_LIMIT ? 'going on' : 'trying again';
  return ms > 0 ? `${what} in ${Math.ceil(ms / 1000)} s` : what;
}
