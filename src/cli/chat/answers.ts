/** What the person here answers to what agents ask. */
import type { Approval } from '../../api/wire.ts';
import { ProblemError } from '../../client/client.ts';
import type { Connection } from '../connection.ts';
import { type Answer, isYes } from '../questions.ts';
import type { Style } from '../terminal.ts';
import { madeRuleText } from '../whole-call.ts';
import type { Action } from './reduce.ts';
import type { ChatState } from './state.ts';

export interface AnswersOptions {
  readonly connection: Connection;
  readonly state: () => ChatState;
  readonly tell: (action: Action) => void;
  readonly style: Style;
  /** The person leaves. */
  readonly signal: AbortSignal;
  /** Milliseconds of a clock that does not jump. */
  readonly now?: () => number;
}

export class Answers {
  readonly #options: AnswersOptions;
  readonly #now: () => number;
  /** When each question stood at the input first. */
  readonly #shown = new Map<string, number>();
  #sure: { readonly approval: Approval; readonly answer: Answer } | undefined;

  constructor(options: AnswersOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
  }

  /** `always` was answered: it is asked about once more. */
  get isSure(): boolean {
    const [first] = this.#options.state().asked;
    if (first !== undefined && !this.#shown.has(first.id)) this.#shown.set(first.id, this.#now());
    return this.#sure !== undefined && this.#sure.approval.id === first?.id;
  }

  /** What was typed before answers nothing. */
  shownAt({ id }: Approval): number {
    return this.#shown.get(id) ?? Number.POSITIVE_INFINITY;
  }

  /** Whether the line was the answer to that. */
  async confirms(line: string): Promise<boolean> {
    const sure = this.isSure ? this.#sure : undefined;
    this.#sure = undefined;
    if (sure === undefined || !isYes(line)) return false;
    await this.#send(sure.approval, sure.answer);
    return true;
  }

  async give(approval: Approval, answer: Answer): Promise<void> {
    if (answer.decision === 'allow_always') this.#sure = { approval, answer };
    else await this.#send(approval, answer);
    this.#options.tell({ do: 'found' });
  }

  /** The first answer counts: where another person was faster, that is told. */
  async #send(approval: Approval, answer: Answer): Promise<void> {
    const { connection, tell, style, signal } = this.#options;
    try {
      const made = await connection.clientUntil(signal).resolveApproval(approval.id, answer);
      const rule = madeRuleText(made, style).trimEnd();
      if (rule !== '') tell({ do: 'tell', lines: rule.split('\n') });
    } catch (error) {
      if (!(error instanceof ProblemError) || error.problem.status !== 409) throw error;
      tell({ do: 'note', text: error.message, tone: 'warning' });
    }
  }
}
