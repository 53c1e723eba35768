/** The data of an event stream's messages, however its bytes are cut (WHATWG HTML §9.2.6). Ends where the body does. */
export async function* dataOf(body: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  const held = new HeldLines();
  for await (const bytes of body) yield* held.take(decoder.decode(bytes, { stream: true }));
  // Some servers leave out the blank line behind the last message.
  yield* held.take(`${decoder.decode()}\n\n`);
}

class HeldLines {
  #pieces: string[] = [];
  #data: string[] = [];

  /** The messages that are whole. A line is put together once, in however many pieces it comes. */
  take(text: string): string[] {
    const lines = text.split('\n');
    const rest = lines.pop() ?? '';
    const messages = lines.flatMap((end) => {
      const line = [...this.#pieces, end].join('').replace(/\r$/, '');
      this.#pieces = [];
      return this.#line(line);
    });
    if (rest !== '') this.#pieces.push(rest);
    return messages;
  }

  #line(line: string): string[] {
    if (line.startsWith('data:')) this.#data.push(line.slice('data:'.length).replace(/^ /, ''));
    if (line !== '' || this.#data.length === 0) return [];
    const message = this.#data.join('\n');
    this.#data = [];
    return [message];
  }
}
