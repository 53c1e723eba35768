/** What a chat shows, as data. Only `reduce` changes it. */
import type { Approval, CreateTask, Entry, Session, Task } from '../../api/wire.ts';
import type { ShownCall } from '../call-lines.ts';

/** Items that are kept of a conversation; what came before is told in one line. */
export const MAX_ITEMS = 2_000;
/** Of a call's live output, in characters: the newest. */
export const MAX_OUTPUT = 8_000;

export type Item =
  /** A person said it. `by`: who, where it is known. */
  | {
      readonly kind: 'said';
      readonly taskId: string | null;
      readonly text: string;
      readonly files: readonly FilePart[];
      readonly by?: string | undefined;
    }
  | { readonly kind: 'thought'; readonly text: string }
  /** What the model was told by Capybara. */
  | { readonly kind: 'notice'; readonly text: string }
  | { readonly kind: 'answer'; readonly text: string }
  | CallItem
  | { readonly kind: 'asked'; readonly approval: Approval }
  /** What Capybara has to say. */
  | { readonly kind: 'note'; readonly text: string; readonly tone: Tone }
  | { readonly kind: 'ended'; readonly task: Task }
  /** What a slash command answered, as lines that are painted and cleaned already. */
  | { readonly kind: 'told'; readonly lines: readonly string[] };

export type Tone = 'quiet' | 'good' | 'warning' | 'bad';
export type FilePart = Extract<Entry['parts'][number], { type: 'file' }>;

export interface CallItem extends ShownCall {
  readonly kind: 'call';
  readonly callId: string;
  readonly taskId: string | null;
}

/** An answer that is being written. */
export interface LiveText {
  readonly attemptId: string;
  readonly text: string;
  readonly reasoning: string;
}

/** What was sent from here and is not in the log yet. */
export interface Sent {
  readonly key: string;
  readonly text: string;
  /** `now`: to the task in hand, whose next turn takes it in. `task`: as a task of its own. */
  readonly when: 'now' | 'task';
}

/** What the next task is given. */
export type Wishes = Partial<Pick<CreateTask, 'agent' | 'model' | 'mode' | 'withoutTools'>>;

export interface ChatState {
  readonly session: Session | undefined;
  readonly items: readonly Item[];
  /** Items that are no longer kept. */
  readonly dropped: number;
  /** Position of the last entry that is shown. */
  readonly last: number;
  readonly live: LiveText | undefined;
  /** Attempts that were given up, and turns whose answer is whole: what still comes of them live is late. */
  readonly over: ReadonlySet<string>;
  /** Of the session, by id: those that are unfinished, and those that ended while this was looked at. */
  readonly tasks: ReadonlyMap<string, Task>;
  /** Open questions of the session and of those below it, the oldest first. */
  readonly asked: readonly Approval[];
  readonly sent: readonly Sent[];
  readonly isLost: boolean;
  readonly wishes: Wishes;
  /** Calls that are opened into what they did; all of them: `isOpen`. */
  readonly opened: ReadonlySet<string>;
  readonly isOpen: boolean;
}

export const NOTHING: ChatState = {
  session: undefined,
  items: [],
  dropped: 0,
  last: 0,
  live: undefined,
  over: new Set(),
  tasks: new Map(),
  asked: [],
  sent: [],
  isLost: false,
  wishes: {},
  opened: new Set(),
  isOpen: false,
};

export function isUnfinished({ status }: Pick<Task, 'status'>): boolean {
  return status === 'queued' || status === 'running' || status === 'waiting' || status === 'paused';
}

/** The task in hand: the oldest that is unfinished. */
export function taskInHand({ tasks }: Pick<ChatState, 'tasks'>): Task | undefined {
  return [...tasks.values()].filter(isUnfinished).toSorted((one, other) => (one.id < other.id ? -1 : 1))[0];
}

/** Those that wait behind it. */
export function tasksBehind(state: Pick<ChatState, 'tasks'>): Task[] {
  const inHand = taskInHand(state);
  return [...state.tasks.values()].filter((task) => isUnfinished(task) && task !== inHand);
}

/** The newest task, from which the next one takes what is not said. */
export function lastTask({ tasks }: Pick<ChatState, 'tasks'>): Task | undefined {
  return [...tasks.values()].toSorted((one, other) => (one.id < other.id ? 1 : -1))[0];
}
