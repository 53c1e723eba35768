/** Code in the colours of its language. */
import { createRequire } from 'node:module';
import type { Theme } from '../themes.ts';

/** Lines of code, painted; undefined where nobody knows the language. */
export type Highlight = (code: string, language: string | undefined, theme: Theme) => string[] | undefined;

/** Longer code is shown as it is: a screen that is drawn many times a second must not wait. */
export const MAX_HIGHLIGHTED = 50_000;

// Its declarations would put those of a browser into the whole program.
const load = createRequire(import.meta.url);
interface Library {
  getLanguage(name: string): unknown;
  highlight(
    code: string,
    options: { readonly language: string; readonly ignoreIllegals: boolean },
  ): { readonly value: string };
}

/** Loads a few dozen languages, which takes a moment. */
export function loadHighlight(): Highlight {
  const library = load('highlight.js/lib/common') as Library;
  return (code, language, theme) => {
    if (language === undefined || code.length > MAX_HIGHLIGHTED) return undefined;
    if (library.getLanguage(language) === undefined) return undefined;
    const { value } = library.highlight(code, { language, ignoreIllegals: true });
    return paintedLines(value, theme);
  };
}

/** Loads it when the first code of a known language is to be seen. */
export function lazyHighlight(): Highlight {
  let loaded: Highlight | undefined;
  return (code, language, theme) => {
    if (language === undefined) return undefined;
    loaded ??= loadHighlight();
    return loaded(code, language, theme);
  };
}

const PAINTS: readonly (readonly [classes: RegExp, role: 'keyword' | keyof Theme])[] = [
  [/keyword|literal|meta-keyword|selector-tag|template-tag/, 'keyword'],
  [/string|regexp|char|symbol|link|code/, 'string'],
  [/number|bullet|variable\.constant/, 'number'],
  [/comment|quote|doctag/, 'comment'],
  [/title|name|attr|section|selector|property|function/, 'name'],
  [/type|built_in|class|tag/, 'type'],
  [/addition/, 'added'],
  [/deletion/, 'removed'],
];

function paintOf(classes: string, theme: Theme): (text: string) => string {
  const [, role] = PAINTS.find(([pattern]) => pattern.test(classes)) ?? [];
  const paint = role === undefined ? undefined : theme[role];
  return typeof paint === 'function' ? paint : (text) => text;
}

const TOKEN = /<span class="([^"]*)">|<\/span>|[^<]+/g;
const ENTITIES: Readonly<Record<string, string>> = {
  ...{ '&lt;': '<', '&gt;': '>', '&quot;': '"', '&#x27;': "'", '&amp;': '&' },
};

/** The library answers with nested spans: the innermost says how its text is painted, line by line. */
function paintedLines(html: string, theme: Theme): string[] {
  const around: ((text: string) => string)[] = [];
  let painted = '';
  for (const [token, classes] of html.matchAll(TOKEN)) {
    if (classes !== undefined) around.push(paintOf(classes, theme));
    else if (token === '</span>') around.pop();
    else painted += eachLine(unescaped(token), around.at(-1));
  }
  return painted.split('\n');
}

function eachLine(text: string, paint: ((text: string) => string) | undefined): string {
  return paint === undefined ? text : text.split('\n').map(paint).join('\n');
}

function unescaped(text: string): string {
  return text.replace(/&(?:lt|gt|quot|amp|#x27);/g, (entity) => ENTITIES[entity] ?? entity);
}
