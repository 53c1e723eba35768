import type { Look } from './look.ts';
import { MarkdownProse } from './markdown/markdown-prose.ts';
import type { Shape } from './render.ts';
import { WatchedCalls } from './watched-calls.ts';

/** For a screen. `isOpen`: each call is opened into what it was given and what came of it. */
export function watchedShape(look: Look, isOpen: boolean): Shape {
  return {
    text: new MarkdownProse(look),
    reasoning: new MarkdownProse(look, look.theme.quiet),
    calls: new WatchedCalls({ look, isOpen }),
    signs: look.signs,
    isSpaced: true,
  };
}
