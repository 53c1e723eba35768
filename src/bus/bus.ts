/**
 * Live messages between processes: what need not last. Any message may be lost; Postgres has the truth, and everyone who
 * listens also asks it once a second.
 */
export type BusMessage =
  /** The tree `rootId` has committed events up to `seq`. */
  | { readonly type: 'events'; readonly rootId: string; readonly seq: number }
  /** Text of an answer that is being written. `offset` counts UTF-16 units since the attempt's answer began. */
  | {
      readonly type: 'delta';
      readonly rootId: string;
      readonly sessionId: string;
      readonly taskId: string;
      readonly turn: number;
      readonly attemptId: string;
      readonly channel: 'text' | 'reasoning';
      readonly offset: number;
      readonly text: string;
    }
  /** Output of a running call. */
  | {
      readonly type: 'tool_output';
      readonly rootId: string;
      readonly sessionId: string;
      readonly taskId: string;
      readonly turn: number;
      readonly callId: string;
      readonly text: string;
    }
  /** Whoever runs this task: look at its cancel mark now. */
  | { readonly type: 'cancel'; readonly rootId: string; readonly taskId: string }
  | { readonly type: 'pause'; readonly rootId: string; readonly taskId: string }
  /** The worker that runs background commands of this turn's session: look at the turn. */
  | {
      readonly type: 'pinned';
      readonly rootId: string;
      readonly workerId: string;
      readonly turnId: string;
      readonly wake: number;
    };

export interface Bus {
  /** Sends without waiting; a failure to send is logged, never thrown. */
  publish(message: BusMessage): void;
  /** Hears every message of all trees from the moment the promise resolves. Returns how to stop. */
  subscribe(listener: (message: BusMessage) => void): Promise<() => Promise<void>>;
  close(): Promise<void>;
}
