/** How a chat's state changes by what is heard of its session, and by what its person does. Pure. */
import type { Approval, Entry, Event, Session, Task } from '../../api/wire.ts';
import type { Delta, LiveFrame } from '../../client/events.ts';
import { entryItems } from './entry-items.ts';
import { eventNote, statusAfter } from './event-notes.ts';
import {
  type ChatState,
  type Item,
  isUnfinished,
  MAX_ITEMS,
  MAX_OUTPUT,
  NOTHING,
  type Sent,
  type Tone,
  type Wishes,
} from './state.ts';

export type Action =
  /** Another session, or none, is shown from now on. */
  | { readonly do: 'show'; readonly session: Session | undefined }
  | { readonly do: 'entries'; readonly entries: readonly Entry[] }
  | { readonly do: 'live'; readonly live: LiveFrame }
  | { readonly do: 'event'; readonly event: Event }
  /** `isNew`: it has just changed; else it is part of what was there. */
  | { readonly do: 'task'; readonly task: Task; readonly isNew: boolean }
  /** These came to no good end before the log was read. */
  | { readonly do: 'failed'; readonly tasks: readonly Task[] }
  /** All that are open now. */
  | { readonly do: 'asked'; readonly open: readonly Approval[] }
  | { readonly do: 'lost'; readonly reason: string }
  | { readonly do: 'found' }
  | { readonly do: 'sent'; readonly sent: Sent }
  /** It came to nothing. */
  | { readonly do: 'unsent'; readonly key: string }
  | { readonly do: 'wish'; readonly wishes: Wishes }
  | { readonly do: 'note'; readonly text: string; readonly tone: Tone }
  | { readonly do: 'tell'; readonly lines: readonly string[] }
  /** One call, or all of them. */
  | { readonly do: 'open'; readonly callId?: string };

export function reduce(state: ChatState, action: Action): ChatState {
  switch (action.do) {
    case 'show':
      return { ...NOTHING, wishes: state.wishes, isOpen: state.isOpen, session: action.session };
    case 'entries':
      return action.entries.reduce(withEntry, state);
    case 'live':
      return withLive(state, action.live);
    case 'event':
      return withEvent(state, action.event);
    case 'task':
      return withTask(state, action);
    case 'failed':
      return action.tasks.reduce(withFailure, state);
    case 'asked':
      return withAsked(state, action.open);
    case 'lost':
      return note({ ...state, isLost: true }, `connection lost (${action.reason}), trying again`, 'warning');
    case 'found':
      return state.isLost ? note({ ...state, isLost: false }, 'connected again', 'good') : state;
    case 'sent':
      return { ...state, sent: [...state.sent, action.sent] };
    case 'unsent':
      return { ...state, sent: state.sent.filter(({ key }) => key !== action.key) };
    case 'wish':
      return { ...state, wishes: { ...state.wishes, ...action.wishes } };
    case 'note':
      return note(state, action.text, action.tone);
    case 'tell':
      return withItems(state, [{ kind: 'told', lines: action.lines }]);
    case 'open':
      return opened(state, action.callId);
  }
}

function opened(state: ChatState, callId: string | undefined): ChatState {
  if (callId === undefined) return { ...state, isOpen: !state.isOpen, opened: new Set() };
  const calls = new Set(state.opened);
  if (!calls.delete(callId)) calls.add(callId);
  return { ...state, opened: calls };
}

function note(state: ChatState, text: string, tone: Tone): ChatState {
  return withItems(state, [{ kind: 'note', text, tone }]);
}

function withItems(state: ChatState, added: readonly Item[]): ChatState {
  if (added.length === 0) return state;
  const items = [...state.items, ...added];
  const tooMany = Math.max(0, items.length - MAX_ITEMS);
  return { ...state, items: items.slice(tooMany), dropped: state.dropped + tooMany };
}

/** Entries come in order; one that was read before changes nothing. */
function withEntry(state: ChatState, entry: Entry): ChatState {
  if (entry.position <= state.last) return state;
  const read = { ...state, last: entry.position };
  switch (entry.kind) {
    case 'user':
      return arrived(withItems(read, entryItems(entry)), entry);
    case 'assistant':
      return withItems(answered(read, turnName(entry)), entryItems(entry));
    case 'tool_result':
      return withResult(read, entry);
    default:
      return withItems(read, entryItems(entry));
  }
}

/** What was sent from here stands in the log: the oldest that says the same. */
function arrived(state: ChatState, { parts }: Entry): ChatState {
  const text = parts.map((part) => (part.type === 'text' ? part.text : '')).join('');
  const index = state.sent.findIndex((sent) => sent.text.trim() === text.trim());
  return index < 0 ? state : { ...state, sent: state.sent.toSpliced(index, 1) };
}

function answered(state: ChatState, turn?: string): ChatState {
  const { live } = state;
  const over = [...(live ? [live.attemptId] : []), ...(turn === undefined ? [] : [turn])];
  return { ...state, live: undefined, over: new Set([...state.over, ...over]) };
}

function turnName({ taskId, turn }: Pick<Entry, 'taskId' | 'turn'>): string {
  return `${taskId} ${turn}`;
}

function withResult(state: ChatState, { callId, status, parts }: Entry): ChatState {
  const result = parts.map((part) => (part.type === 'text' ? part.text : '')).join('');
  const files = parts.filter((part) => part.type === 'file');
  return withCall(state, callId, (call) => ({
    ...call,
    result,
    files,
    ...(status && { status }),
    output: '',
  }));
}

/** The newest of that name: some models number their calls from 0 in each answer. */
function withCall(
  state: ChatState,
  callId: string | undefined,
  change: (call: Extract<Item, { kind: 'call' }>) => Item,
): ChatState {
  const index = state.items.findLastIndex((item) => item.kind === 'call' && item.callId === callId);
  const call = state.items[index];
  return call?.kind === 'call' ? { ...state, items: state.items.with(index, change(call)) } : state;
}

function withLive(state: ChatState, frame: LiveFrame): ChatState {
  if (frame.sessionId !== state.session?.id) return state;
  if (frame.type === 'message.delta') {
    const { taskId = null, turn = null } = frame;
    return state.over.has(turnName({ taskId, turn })) ? state : withPiece(state, frame.data);
  }
  const { callId, text } = frame.data;
  return withCall(state, callId, (call) => ({ ...call, output: (call.output + text).slice(-MAX_OUTPUT) }));
}

/** A piece that text is missing before is left out: the whole answer will tell. */
function withPiece(state: ChatState, { attemptId, channel, offset, text }: Delta['data']): ChatState {
  if (state.over.has(attemptId)) return state;
  const begun = state.live?.attemptId === attemptId ? state : restarted(state, attemptId);
  const { live } = begun;
  const before = channel === 'text' ? live?.text : live?.reasoning;
  if (live === undefined || before === undefined || offset > before.length) return begun;
  const after = before + text.slice(before.length - offset);
  return { ...begun, live: { ...live, [channel]: after } };
}

function restarted(state: ChatState, attemptId: string): ChatState {
  const live = { attemptId, text: '', reasoning: '' };
  if (state.live === undefined) return { ...state, live };
  const over = new Set([...state.over, state.live.attemptId]);
  const told =
    state.live.text === '' ? state : note(state, 'the answer was cut off; it begins again', 'warning');
  return { ...told, live, over };
}

function withEvent(state: ChatState, event: Event): ChatState {
  if (event.type === 'approval.resolved') return withDecision(state, event);
  if (event.sessionId !== state.session?.id) return state;
  if (event.type === 'session.renamed') return renamed(state, event);
  const task = event.taskId === undefined ? undefined : state.tasks.get(event.taskId);
  const status = task && statusAfter(event, task);
  const known = task && status ? { ...state, tasks: changed(state, { ...task, ...status }) } : state;
  const begun =
    event.type === 'tool.started'
      ? withCall(known, String(event.data.callId), (call) => ({ ...call, status: 'started' }))
      : known;
  const told = eventNote(event);
  return told === undefined ? begun : note(begun, told.text, told.tone);
}

function renamed(state: ChatState, { data }: Event): ChatState {
  const { session } = state;
  return session && typeof data.title === 'string'
    ? { ...state, session: { ...session, title: data.title } }
    : state;
}

function changed({ tasks }: ChatState, task: Task): ReadonlyMap<string, Task> {
  return new Map([...tasks, [task.id, task]]);
}

function withTask(state: ChatState, { task, isNew }: { task: Task; isNew: boolean }): ChatState {
  const before = state.tasks.get(task.id);
  // An answer to the request that made it may come behind the events of its end.
  if (before !== undefined && !isUnfinished(before) && isUnfinished(task)) return state;
  const next = { ...state, tasks: changed(state, task) };
  const hasEnded = isNew && !isUnfinished(task) && before !== undefined && !isTold(state, task);
  return hasEnded ? unread(withEnd(closed(next), task)) : next;
}

/** Where the next task may have begun already, its end stands before that. */
function withEnd(state: ChatState, task: Task): ChatState {
  const ended: Item = { kind: 'ended', task };
  const later = state.items.findIndex(
    (item) => item.kind === 'said' && item.taskId !== null && item.taskId > task.id,
  );
  return later < 0 ? withItems(state, [ended]) : { ...state, items: state.items.toSpliced(later, 0, ended) };
}

/** Where what it was given is shown: else nobody would know why nothing came of that. */
function withFailure(state: ChatState, task: Task): ChatState {
  const isShown = state.items.some((item) => item.kind === 'said' && item.taskId === task.id);
  return isShown && !isTold(state, task) ? withEnd(state, task) : state;
}

/** What was said to a task that was stopped, or failed, before it could read it. */
function unread(state: ChatState): ChatState {
  const lost = state.sent.filter(({ when }) => when === 'now');
  const told = lost.map(({ text }): Item => {
    return { kind: 'note', text: `was not read before the task ended: ${text}`, tone: 'warning' };
  });
  return withItems({ ...state, sent: state.sent.filter(({ when }) => when !== 'now') }, told);
}

function isTold({ items }: ChatState, { id }: Task): boolean {
  return items.some((item) => item.kind === 'ended' && item.task.id === id);
}

/** Text of an answer that never became whole stays readable. */
function closed(state: ChatState): ChatState {
  const { live } = state;
  if (live === undefined) return state;
  const kept: Item[] = live.text === '' ? [] : [{ kind: 'answer', text: live.text }];
  return withItems(answered(state), kept);
}

/** Whoever answered. */
function withDecision(state: ChatState, { data }: Event): ChatState {
  const index = state.items.findLastIndex(
    (item) => item.kind === 'asked' && item.approval.id === data.approvalId,
  );
  const asked = state.asked.filter(({ id }) => id !== data.approvalId);
  const item = state.items[index];
  if (item?.kind !== 'asked') return { ...state, asked };
  const approval = { ...item.approval, status: data.decision as Approval['status'] };
  return { ...state, asked, items: state.items.with(index, { kind: 'asked', approval }) };
}

/** A question is shown once, where it came up. */
function withAsked(state: ChatState, open: readonly Approval[]): ChatState {
  const known = new Set(state.items.flatMap((item) => (item.kind === 'asked' ? [item.approval.id] : [])));
  const fresh = open.filter(({ id }) => !known.has(id));
  const added = withItems(
    state,
    fresh.map((approval) => ({ kind: 'asked' as const, approval })),
  );
  return { ...added, asked: open };
}
