/**
 * Marks a text as what somebody else wrote: data for the model, not words to it. The text cannot end its own mark, nor can the name
 * of its source: a tag inside is defused.
 */
export function untrusted(source: string, text: string): string {
  const name = source.replaceAll('"', '&quot;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
  return `<untrusted source="${name}">\n${text.replace(/<(?=\/?untrusted)/gi, '&lt;')}\n</untrusted>`;
}
