/** What chat paints with. A theme without colours leaves text as it is. */
import type { Paint } from './terminal.ts';

export const THEMES = ['terminal', 'dark', 'light', 'plain'] as const;
export type ThemeName = (typeof THEMES)[number];

/** In words, for who chooses one. */
export const ABOUT_THEMES: Readonly<Record<ThemeName, string>> = {
  terminal: 'the sixteen colours of your terminal',
  dark: 'soft colours for a dark background',
  light: 'strong colours for a light background',
  plain: 'bold and dim, without colours',
};

/** Kinds of text. `keyword` and those behind it: of code. */
const ROLES = [
  ...['accent', 'heading', 'link', 'inline', 'quiet', 'good', 'warning', 'bad', 'other'],
  ...['keyword', 'string', 'number', 'comment', 'name', 'type', 'added', 'removed'],
] as const;
type Role = (typeof ROLES)[number];

export type Theme = Readonly<Record<Role | 'bold' | 'italic' | 'underline' | 'struck' | 'inverse', Paint>> & {
  readonly themeName: ThemeName;
};

/** SGR parameters that begin and end it. */
type Sgr = readonly [begin: string, end: string];
const DIM: Sgr = ['2', '22'];
const BOLD: Sgr = ['1', '22'];
const basic = (code: number): Sgr => [String(code), '39'];
const of256 = (code: number): Sgr => [`38;5;${code}`, '39'];
const NONE: Sgr | undefined = undefined;

type Palette = Readonly<Record<Role, Sgr | undefined>>;

const TERMINAL: Palette = {
  ...{ accent: basic(36), heading: BOLD, link: basic(34), inline: basic(36), quiet: DIM },
  ...{ good: basic(32), warning: basic(33), bad: basic(31), other: basic(35) },
  ...{ keyword: basic(35), string: basic(32), number: basic(33), comment: DIM, name: basic(34) },
  ...{ type: basic(36), added: basic(32), removed: basic(31) },
};

const PALETTES: Readonly<Record<ThemeName, Palette>> = {
  terminal: TERMINAL,
  dark: {
    ...{ accent: of256(80), heading: of256(222), link: of256(75), inline: of256(180), quiet: of256(245) },
    ...{ good: of256(114), warning: of256(179), bad: of256(203), other: of256(176) },
    ...{ keyword: of256(176), string: of256(150), number: of256(209), comment: of256(243) },
    ...{ name: of256(111), type: of256(80), added: of256(114), removed: of256(203) },
  },
  light: {
    ...{ accent: of256(30), heading: of256(94), link: of256(25), inline: of256(88), quiet: of256(242) },
    ...{ good: of256(28), warning: of256(130), bad: of256(160), other: of256(90) },
    ...{ keyword: of256(90), string: of256(28), number: of256(130), comment: of256(244) },
    ...{ name: of256(25), type: of256(30), added: of256(28), removed: of256(160) },
  },
  plain: {
    ...{ accent: BOLD, heading: BOLD, link: NONE, inline: BOLD, quiet: DIM },
    ...{ good: NONE, warning: BOLD, bad: BOLD, other: NONE },
    ...{ keyword: BOLD, string: NONE, number: NONE, comment: DIM, name: NONE },
    ...{ type: NONE, added: NONE, removed: DIM },
  },
};

/** `isColored`: false, as `NO_COLOR` and terminals without colours want it, leaves everything as it is. */
export function createTheme(themeName: ThemeName, isColored: boolean): Theme {
  const paint = (sgr: Sgr | undefined): Paint =>
    sgr === undefined || !isColored
      ? (text) => text
      : (text) => (text === '' ? '' : `\x1b[${sgr[0]}m${text}\x1b[${sgr[1]}m`);
  const palette = PALETTES[themeName];
  const roles = Object.fromEntries(ROLES.map((role) => [role, paint(palette[role])]));
  return {
    ...(roles as Record<Role, Paint>),
    bold: paint(BOLD),
    italic: paint(['3', '23']),
    underline: paint(['4', '24']),
    struck: paint(['9', '29']),
    inverse: paint(['7', '27']),
    themeName,
  };
}

export function isTheme(name: string): name is ThemeName {
  return (THEMES as readonly string[]).includes(name);
}
