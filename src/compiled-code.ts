/** Where compiled code is kept, for the programs that Capybara runs by its own Node: it makes up most of their start. */
import { getCompileCacheDir } from 'node:module';
import { dirname } from 'node:path';

/** What such a program is to have in its environment. Not for what runs confined, or as somebody else. */
export function keptCode(): { readonly NODE_COMPILE_CACHE?: string } {
  const directory = getCompileCacheDir();
  // Node keeps what each of its versions has compiled in a directory below the one that it was given.
  return directory === undefined ? {} : { NODE_COMPILE_CACHE: dirname(directory) };
}
