/** The one printer of JSON: what it says is the same for programs, and nothing in it steers a terminal or turns the direction of a text. */

// Beyond what JSON escapes by itself.
const STEERING = /[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** With a line break at its end. */
export function jsonText(value: unknown, indent?: number): string {
  return `${JSON.stringify(value, null, indent).replace(STEERING, escaped)}\n`;
}

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
