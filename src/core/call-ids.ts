/**
 * The ids of calls as a conversation is told: each stands in it once. Some servers number the calls of each answer anew (`call_0`),
 * and OpenAI's Responses and Anthropic refuse a conversation that has an id twice, whoever gave it.
 */
export class ToldIds {
  readonly #before: ToldIds | undefined;
  /** How often an id was given, by its form that every provider takes. */
  readonly #times = new Map<string, number>();

  /** `before`: those of an earlier part of the conversation, which stay as they are. */
  constructor(before?: ToldIds) {
    this.#before = before;
  }

  /** The id itself the first time; from then on always the same others. */
  next(id: string): string {
    const times = this.#timesOf(id) + 1;
    this.#times.set(formOf(id), times);
    return times === 1 ? id : this.next(`${id}_${times}`);
  }

  #timesOf(id: string): number {
    const times = this.#times.get(formOf(id));
    if (times !== undefined || this.#before === undefined) return times ?? 0;
    return this.#before.#timesOf(id);
  }
}

function formOf(id: string): string {
  return id.replace(/[^a-zA-Z0-9_-]/g, '_');
}
