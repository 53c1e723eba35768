export interface SseMessage {
  readonly id?: string;
  readonly event: string;
  readonly data: string;
}

/** Splits a stream into messages, however its chunks are cut (WHATWG HTML §9.2.6). */
export class SseParser {
  /** The last event ID: also of what has only an `id`, and is no message. */
  lastId = '';
  /** How long the server asks to be left alone before the next connection, in milliseconds; undefined where it said nothing. */
  retryMs: number | undefined;
  #rest = '';
  #id: string | undefined;
  #event = '';
  #data: string[] = [];

  push(text: string): SseMessage[] {
    const messages: SseMessage[] = [];
    const lines = `${this.#rest}${text}`.split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop() ?? '';
    for (const line of lines) {
      const message = this.#line(line);
      if (message) messages.push(message);
    }
    return messages;
  }

  #line(line: string): SseMessage | undefined {
    if (line === '') return this.#dispatch();
    const [, field = '', value = ''] = /^([^:]*)(?:: ?(.*))?$/s.exec(line) ?? [];
    if (field === 'id') this.#id = value;
    if (field === 'event') this.#event = value;
    if (field === 'data') this.#data.push(value);
    if (field === 'retry' && /^\d{1,9}$/.test(value)) this.retryMs = Number(value);
    return undefined;
  }

  #dispatch(): SseMessage | undefined {
    this.lastId = this.#id ?? this.lastId;
    const data = this.#data.join('\n');
    const message = {
      ...(this.#id !== undefined && { id: this.#id }),
      event: this.#event || 'message',
      data,
    };
    this.#id = undefined;
    this.#event = '';
    this.#data = [];
    return data === '' ? undefined : message;
  }
}
