/**
 * Marks a text as what somebody else wrote: data for the model, not words to it. The text cannot end its own mark: a tag
 * inside is defused.
 */
export function untrusted(source: string, text: string): string {
  return `<untrusted source="${source}">\n${text.replace(/<(?=\/?untrusted)/gi, '&lt;')}\n</untrusted>`;
}
