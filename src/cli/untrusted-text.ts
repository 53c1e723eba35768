/**
 * Text that a model or a command wrote, made safe to print: it must not be able to move the cursor, set a title, write to
 * the clipboard or turn the direction of what a person reads.
 */
import { cut } from './text-width.ts';

// ESC with a CSI, an OSC/DCS/… string, or one letter: the whole sequence goes.
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
const SEQUENCES = /\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]*[0-~])/g;
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
const CONTROLS = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** Newlines and tabs stay; a carriage return starts a line; other control characters show as `␛`, `␀`, … or `�`. */
export function neutralised(text: string): string {
  return text.replace(SEQUENCES, '').replace(/\r\n?/g, '\n').replace(CONTROLS, visible);
}

// What nobody sees, so that two texts that differ in it look the same: format characters and variation selectors, what is not
// assigned or private, and blanks that are no plain space.
const INVISIBLE =
  /[^\P{C}\n\t]|\p{Default_Ignorable_Code_Point}|(?! )\p{Zs}|[\u2800\u{13441}\u{13442}\u{16fe4}\u{1d159}]/gu;
// Terminals leave out marks beyond the few that a language puts on one letter.
const HEAPED = /(?<=[\p{Mn}\p{Me}]{3})[\p{Mn}\p{Me}]/gu;

/** As `neutralised`, with nothing left out: for who decides by this text what may be done. A tab and a newline stay. */
export function unhidden(text: string): string {
  return text.replace(CONTROLS, visible).replace(INVISIBLE, '\ufffd').replace(HEAPED, '\ufffd');
}

function visible(character: string): string {
  const code = character.charCodeAt(0);
  if (code < 0x20) return String.fromCharCode(0x2400 + code);
  return code === 0x7f ? '\u2421' : '\ufffd';
}

/** On one line of at most `columns`, cut with `…`. */
export function oneLine(text: string, columns: number): string {
  return cut(neutralised(text).replace(/\s+/g, ' ').trim(), columns);
}
